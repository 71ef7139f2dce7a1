"""A server to look at: ``monitor up`` as a process, a receiver for its deliveries, and its API as scripts use it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx

from tests.integration.processes import environment
from tests.servers import free_port

START_S = 180.0


def until(holds: Callable[[], Any], *, within_s: float = START_S) -> Any:
    """Wait until *holds* returns something true, and return that."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline, f"still not so after {within_s} s"
        time.sleep(0.05)
    return found


class Site:
    """``monitor up`` on a port and a data directory of its own; it may be stopped and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.token = ""
        self._folder = folder
        self._settings = settings
        self._log = folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["up", "--port", str(self.port), "--data-dir", str(self._folder / "data")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *arguments], env=environment(**self._settings), stdout=log, stderr=log
            )
        link = until(lambda: re.search(r"#token=([\w.-]+)", self._said()))
        self.token = link[1]

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=60)
            self._process = None

    def issue(self, role: str, *options: str) -> str:
        """Return a token of *role*, made by the command line."""
        arguments = ["token", "--role", role, "--subject", f"the-{role}", "--data-dir", str(self._folder / "data")]
        arguments += options
        made = subprocess.run(
            [sys.executable, "-m", "monitor", *arguments], env=environment(), capture_output=True, text=True, check=True
        )
        return made.stdout.strip()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API as an admin and return what it answers; every error fails the test."""
        headers = {"Authorization": f"Bearer {self.token}"}
        response = httpx.request(method, f"{self.base}/api/v1/{path}", headers=headers, json=body, timeout=30)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def create(self, url: str, **members: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "webhooks", {"name": "a webhook", "url": url, **members})
        return made

    def _said(self) -> str:
        assert self._process is not None
        text = self._log.read_text(errors="replace")
        assert self._process.poll() is None, text
        return text


class Receiver:
    """Answers every POST with ``status``, ``headers`` and ``body``, which tests change at will; keeps ``requests``."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"thank you"
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(receiver.body)))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    return Handler
