"""
Smoke test of the README's first command line, with nothing but the standard library.

``python tests/smoke.py COMMAND`` runs *COMMAND* in a shell in the current directory, with a port and a data directory
appended. It must become ready, sign a token, deliver one event to a receiver of ours with a valid signature, and leave
with exit code 0 and no process behind when asked to stop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

READY_DEADLINE_S = 600.0
"""The command may create an environment and install into it first."""
DELIVERY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 40.0
PAYLOAD = b'{"order":  "smoke-1"}'
"""Two blanks: the body arrives byte for byte, not as JSON written anew."""


class Receiver(ThreadingHTTPServer):
    """Answers 200 and keeps what arrives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.arrived: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        self.server.arrived.put(({name.lower(): value for name, value in self.headers.items()}, body))

    def log_message(self, *_args: object) -> None:
        """Stay silent; the arrival itself is what counts."""


def main(command: str) -> None:
    receiver, program = Receiver(), next(word for word in command.split() if word.endswith("bin/monitor"))
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    # Short, since PostgreSQL's Unix socket lies inside.
    with TemporaryDirectory(prefix="monitor-smoke-", dir="/tmp") as name:
        port, data_dir = free_port(), Path(name) / "data"
        shell = subprocess.Popen(
            ["bash", "-c", f"{command} --port {port} --data-dir {data_dir}"], start_new_session=True
        )
        family: set[int] = set()
        try:
            base = f"http://127.0.0.1:{port}"
            eventually(lambda: is_ready(shell, base), READY_DEADLINE_S, "ready")
            deliver_one_event(base, program, data_dir, receiver)
            family = relatives(shell.pid, str(data_dir))
            os.kill(monitor_process(family), signal.SIGTERM)
            code = shell.wait(STOP_DEADLINE_S)
            check(code == 0, f"exit code after SIGTERM is {code}")
            eventually(lambda: not family & set(processes()), 5, "every process gone")
        finally:
            for pid in (family or relatives(shell.pid, str(data_dir))) & set(processes()):
                os.kill(pid, signal.SIGTERM)
            receiver.shutdown()
    say("passed")


def deliver_one_event(base: str, program: str, data_dir: Path, receiver: Receiver) -> None:
    """Make a token, a webhook and an event, and check what arrives."""
    token = subprocess.run(
        [program, "token", "--role", "admin", "--subject", "smoke", "--data-dir", str(data_dir)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    webhook = post(
        f"{base}/api/v1/webhooks",
        token,
        json.dumps({"name": "smoke", "url": receiver.url, "event_types": ["smoke.test"]}).encode(),
    )
    post(f"{base}/api/v1/events", token, b'{"type": "smoke.test", "payload": ' + PAYLOAD + b"}")
    headers, body = receiver.arrived.get(timeout=DELIVERY_DEADLINE_S)
    check(body == PAYLOAD, f"the body arrived as {body!r}")
    check(is_signed(webhook["secret"], headers, body), "the signature does not match")
    say("delivered and signed")


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Verify a Standard Webhooks ``v1`` signature, written apart from the product's own code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split()


def is_ready(shell: subprocess.Popen[bytes], base: str) -> bool:
    check(shell.poll() is None, f"the command ended early with code {shell.returncode}")
    try:
        with urllib.request.urlopen(f"{base}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def post(url: str, token: str, body: bytes) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=body, headers={"authorization": f"Bearer {token}", "content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            decoded: dict[str, Any] = json.load(answer)
            return decoded
    except urllib.error.HTTPError as error:
        fail(f"POST {url} answered {error.code}: {error.read().decode(errors='replace')}")


def monitor_process(family: set[int]) -> int:
    """Return the pid that a service manager would signal: the oldest `monitor up`, not the shell around it."""
    running = processes()
    ours = sorted(
        pid for pid in family if "monitor up" in running.get(pid, (0, ""))[1] and "bash" not in running[pid][1][:12]
    )
    check(bool(ours), "no `monitor up` is running")
    return ours[0]


def relatives(root: int, data_dir: str) -> set[int]:
    """Return *root*, every process on *data_dir*, and all their descendants.

    PostgreSQL detaches itself, so its parent does not tell whose it is; its command line does.
    """
    running = processes()
    found = {root} | {pid for pid, (_, command) in running.items() if data_dir in command and pid != os.getpid()}
    grown = True
    while grown:
        children = {pid for pid, (parent, _) in running.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return found


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the command line of each live process."""
    proc = Path("/proc")
    if not (proc / "self/stat").exists():
        return _processes_by_ps()
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold blanks and parentheses itself.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # ended while we looked
            if state != "Z":
                found[int(entry.name)] = (int(parent), command)
    return found


def _processes_by_ps() -> dict[int, tuple[int, str]]:
    lines = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat=,command="], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    rows = [line.split(maxsplit=3) for line in lines]
    return {int(row[0]): (int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    started = time.monotonic()
    while not condition():
        check(time.monotonic() - started < deadline_s, f"not {what} after {deadline_s:g} s")
        time.sleep(0.1)
    say(f"{what} after {time.monotonic() - started:.1f} s")


def check(holds: bool, complaint: str) -> None:
    if not holds:
        fail(complaint)


def fail(complaint: str) -> NoReturn:
    raise SystemExit(f"smoke test failed: {complaint}")


def say(text: str) -> None:
    print(f"smoke: {text}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
