"""HTTP client of the commands that call a server: kept connections, bounded patience, every refusal in one line."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from monitor import __version__
from monitor.cli.common import CommandError

ANSWER_S = 30.0
TRIES = 6
LONGEST_WAIT_S = 60.0
PATIENCE_S = 600.0
"""How long one call waits in all for a server that limits its rate (429), which is no failure of it."""

PAGE_ROWS = 200

_LATER = frozenset({429, 503})
REMEDIES = {
    401: "Make a new token with `monitor token`.",
    403: "Use a token of the role that this needs.",
    421: "Give --url a host that MONITOR_HTTP__ALLOWED_HOSTS of the server lists.",
}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


class ApiRefused(CommandError):
    """The server answered with a problem (RFC 9457)."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class ApiClient:
    """
    Calls one server.

    A call that was answered 429 or 503, or whose answer was lost, is made again after a pause; so a POST needs an
    Idempotency-Key, and a write with If-Match may find its own change. Threads may share a client: each has its own
    connection, and new calls of all keep a pause that the server required of one.

    Args:
        url: with scheme, and with a path where the server has a prefix.
        notice: is given a line on each longer pause.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        notice: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise CommandError(f"{url!r} is not the URL of a server; write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token
        self._notice = notice
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def get(self, path: str, **query: Any) -> Answer:
        """Read ``/api/v1/{path}``. Raises as :meth:`call`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urlencode(given)}" if given else path)

    def pages(self, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of each page of a list. Raises as :meth:`call`."""
        cursor = None
        while True:
            page = self.get(path, limit=PAGE_ROWS, cursor=cursor, **query).body
            yield page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """
        Call ``/api/v1/{path}``; underscores in the names of *headers* stand for hyphens.

        Raises:
            ApiRefused: the server refuses.
            CommandError: no server answers there.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self._token}", "User-Agent": f"Monitor/{__version__}"}
        encoded = None
        if body is not None:
            encoded, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        target = f"{self._parts.path.rstrip('/')}/api/v1/{path}"
        left, waited_s = TRIES - 1, 0.0
        self._keep_pause()
        while True:
            is_last = left == 0 or self._stopped.is_set()
            try:
                answer = self._exchange(method, target, encoded, sent)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if self._stopped.is_set():
                    raise CommandError("its answer was not awaited, so it may have been done.") from None
                if isinstance(error, ssl.SSLError):
                    raise CommandError(
                        f"{self.url}: TLS fails: {error}; SSL_CERT_FILE names other authorities."
                    ) from None
                if is_last or isinstance(error, ConnectionRefusedError):
                    raise CommandError(f"{self.url} does not answer ({error}); is it the right --url?") from None
                self._sleep(min(2.0 ** (TRIES - left - 2), LONGEST_WAIT_S))
                left -= 1
                continue
            if answer.status not in _LATER or is_last or waited_s >= PATIENCE_S:
                break
            waited_s += self._pause(answer)
            left -= answer.status != 429
        if answer.status >= 300:
            raise _refusal(self.url, answer)
        return answer

    def stop(self) -> None:
        """End the pauses of calls under way, and make none again; callable from a signal handler."""
        self._stopped.set()

    def cut(self) -> None:
        """End calls under way; their answers are lost. After :meth:`stop`."""
        for connection in list(self._connections.values()):
            if (sock := connection.sock) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections of all threads; no call is under way."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _drop(self) -> None:
        if (connection := self._connections.pop(threading.get_ident(), None)) is not None:
            connection.close()

    def _exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = self._connections.get(threading.get_ident())
        if connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=ANSWER_S)
            self._connections[threading.get_ident()] = connection
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        content, found = response.read(), {name.lower(): value for name, value in response.getheaders()}
        try:
            return Answer(response.status, found, json.loads(content) if content else None)
        except ValueError:
            return Answer(response.status if response.status >= 300 else 502, found, None)

    def _keep_pause(self) -> None:
        """Wait for the end of a pause that the server required of another thread."""
        if (wait_s := self._paused_until - time.monotonic()) > 0:
            self._sleep(wait_s)

    def _pause(self, answer: Answer) -> float:
        """Wait as long as *answer* requires, and return how long that was."""
        text = answer.headers.get("retry-after", "")
        wait_s = max(min(float(text) if text.isdecimal() else 1.0, LONGEST_WAIT_S), 0.05)
        with self._lock:
            now = time.monotonic()
            is_news = self._paused_until <= now
            self._paused_until = max(self._paused_until, now + wait_s)
        if is_news and wait_s > 1:
            self._notice(f"the server answers {answer.status}; going on in {wait_s:.0f} s …")
        self._sleep(wait_s)
        return wait_s


def server_time(answer: Answer) -> Any:
    """Return the time in the ``Date`` of *answer*. Raises :class:`CommandError` if there is none."""
    try:
        return parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        raise CommandError("the answer has no Date header; is this a server of Monitor?") from None


def _refusal(url: str, answer: Answer) -> ApiRefused:
    problem = answer.body if isinstance(answer.body, dict) else {}
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "elsewhere")
        return ApiRefused(f"{url} redirects to {where}; give that as --url.", answer.status)
    text = problem.get("detail") or problem.get("title") or "no answer of Monitor; is this the right --url?"
    errors = [
        f"{error.get('pointer', '')}: {error.get('detail', '')}"
        for error in problem.get("errors", ())
        if error["detail"] != text
    ]
    remedy = REMEDIES.get(answer.status, "")
    return ApiRefused(" ".join(filter(None, [f"{answer.status}: {text}", *errors, remedy])), answer.status)
