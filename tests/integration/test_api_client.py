"""The HTTP client of the commands, on a server that answers badly."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from monitor.cli.api_client import PATIENCE_S, TRIES, ApiClient, ApiRefused
from monitor.cli.common import CommandError
from tests.integration.processes import environment
from tests.servers import free_port

Script = list[tuple[int, dict[str, str], bytes] | None]


@contextmanager
def scripted(script: Script) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve the answers of *script* in turn, the last one for ever; ``None`` closes the connection without one."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append({"path": self.path, **dict(self.headers)})
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = script.pop(0) if len(script) > 1 else script[0]
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def client(url: str, waits: list[float], notices: list[str] | None = None) -> ApiClient:
    notice = (notices if notices is not None else []).append
    return ApiClient(url, "t0ken", notice=notice, sleep=waits.append)


def test_a_call_waits_as_long_as_it_is_told_and_repeats_what_was_lost() -> None:
    waits: list[float] = []
    notices: list[str] = []
    answers: Script = [(429, {"Retry-After": "7"}, b"{}"), (503, {}, b"{}"), None, (200, {}, b'{"ok": true}')]
    with scripted(answers) as (url, seen):
        calls = client(f"{url}/prefix/", waits, notices)
        answer = calls.call("POST", "webhooks", {"name": "a"}, Idempotency_Key="k")
        calls.close()
    assert answer.body == {"ok": True}
    assert waits[:2] == [7.0, 1.0]
    assert len(waits) == 3
    assert notices[0] == "the server answers 429; going on in 7 s …"
    assert [one["path"] for one in seen] == ["/prefix/api/v1/webhooks"] * 4
    assert {(one["Idempotency-Key"], one["Authorization"]) for one in seen} == {("k", "Bearer t0ken")}


def test_patience_is_bounded() -> None:
    waits: list[float] = []
    with scripted([(503, {"Retry-After": "9999"}, b'{"detail": "down"}')]) as (url, seen):
        calls = client(url, waits)
        with pytest.raises(ApiRefused, match="503: down"):
            calls.get("webhooks")
        calls.close()
    assert (len(seen), waits) == (TRIES, [60.0] * (TRIES - 1))


def test_a_limit_of_the_rate_is_no_failure_however_often_it_comes() -> None:
    waits: list[float] = []
    limited: Script = [(429, {"Retry-After": "2"}, b"{}")] * (3 * TRIES)
    with scripted([*limited, (200, {}, b"{}")]) as (url, seen):
        calls = client(url, waits)
        assert calls.get("webhooks").status == 200
        calls.close()
    assert (len(seen), waits) == (3 * TRIES + 1, [2.0] * 3 * TRIES)
    with scripted([(429, {"Retry-After": "60"}, b'{"detail": "slower"}')]) as (url, seen):
        calls = client(url, waits := [])
        with pytest.raises(ApiRefused, match="429: slower"):
            calls.get("webhooks")
        calls.close()
    assert sum(waits) == PATIENCE_S


def test_a_pause_asked_of_one_thread_is_kept_by_all_and_said_once() -> None:
    waits: list[float] = []
    notices: list[str] = []
    with scripted([(503, {"Retry-After": "30"}, b"{}"), (200, {}, b"{}")]) as (url, seen):
        calls = client(url, waits, notices)
        calls.get("webhooks")
        other = threading.Thread(target=calls.get, args=("silences",))
        other.start()
        other.join()
        calls.close()
    assert waits[0] == 30.0
    assert 0 < waits[1] <= 30.0
    assert (len(waits), len(seen), len(notices)) == (2, 3, 1)


def test_a_stopped_client_makes_no_pause_and_says_what_may_have_been_done() -> None:
    with scripted([(503, {"Retry-After": "60"}, b'{"detail": "down"}'), None]) as (url, seen):
        calls = ApiClient(url, "t0ken")
        calls.stop()
        with pytest.raises(ApiRefused, match="503: down"):
            calls.call("POST", "webhooks", {})
        with pytest.raises(CommandError, match="so it may have been done"):
            calls.call("POST", "webhooks", {})
        calls.close()
    assert len(seen) == 2


def test_a_call_under_way_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        calls = ApiClient(f"http://127.0.0.1:{silent.getsockname()[1]}", "t0ken")
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(calls.get, "webhooks")
            taken, _ = silent.accept()
            with taken:
                assert taken.recv(1)
                calls.stop()
                calls.cut()
                with pytest.raises(CommandError, match="so it may have been done"):
                    under_way.result(30)
        calls.close()


@pytest.mark.parametrize(
    ("status", "headers", "body", "says"),
    [
        (301, {"Location": "https://other.example.com"}, b"", "redirects to https://other.example.com; give that"),
        (200, {}, b"<html>", "502: no answer of Monitor; is this the right --url?"),
        (404, {}, b"<html>", "404: no answer of Monitor"),
        (401, {}, b'{"detail": "It has expired."}', "401: It has expired. Make a new token with `monitor token`."),
        (
            422,
            {},
            b'{"detail": "See errors.", "errors": [{"pointer": "/url", "detail": "wrong"}]}',
            "422: See errors. /url: wrong",
        ),
    ],
)
def test_what_is_refused_is_said_in_a_line(status: int, headers: dict[str, str], body: bytes, says: str) -> None:
    with scripted([(status, headers, body)]) as (url, _):
        calls = client(url, [])
        with pytest.raises(ApiRefused) as refused:
            calls.get("webhooks", label="a=b", q=None)
        calls.close()
    assert says in str(refused.value)


def test_where_nothing_listens_the_url_is_doubted() -> None:
    with pytest.raises(CommandError, match="is it the right --url"):
        client(f"http://127.0.0.1:{free_port()}", []).get("webhooks")
    for url in ("127.0.0.1:8000", "ftp://x", "http://x?y", ""):
        with pytest.raises(CommandError, match="is not the URL of a server"):
            ApiClient(url, "t")


@pytest.mark.processes
@pytest.mark.parametrize(
    "command", [("diff", "-"), ("export",), ("export", "webhooks"), ("export", "webhooks", "--json")]
)
def test_a_reader_that_leaves_ends_a_command_without_a_word(command: tuple[str, ...]) -> None:
    row = {"id": "0", "version": 1, "name": "n" * 90, "url": "https://a.example.com/", "labels": {}}
    # More than the buffer of a pipe, so that there is something left to write.
    page = {"items": [row] * 1000 if command[0] == "export" else [], "next_cursor": None}
    wanted = [{"name": f"{number:090}", "url": "https://a.example.com/"} for number in range(1000)]
    silences: dict[str, Any] = {"items": [], "next_cursor": None}
    with scripted([(200, {}, json.dumps(page).encode()), (200, {}, json.dumps(silences).encode())]) as (url, _):
        running = subprocess.Popen(
            [sys.executable, "-m", "monitor", *command, "--url", url],
            env=environment(TOKEN="t0ken"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        with running.stdin:
            if command[0] == "diff":
                running.stdin.write(json.dumps({"owner": "shop", "webhooks": wanted}).encode())
        assert running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read().decode()
        running.stderr.close()
        left = [line for line in said.splitlines() if "several webhooks have the name" not in line]
        assert (running.wait(60), left) == (141, [])
