"""HTTP client of the commands that call a server: one connection, bounded patience, every refusal in one line."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from monitor import __version__
from monitor.cli.common import CommandError

ANSWER_S = 30.0
TRIES = 6
LONGEST_WAIT_S = 60.0
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
    Idempotency-Key, and a write with If-Match may find its own change.

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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise CommandError(f"{url!r} is not the URL of a server; write it like http://127.0.0.1:8000.")
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token
        self._notice = notice
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None

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
        for left in reversed(range(TRIES)):
            try:
                answer = self._exchange(method, f"{self._parts.path.rstrip('/')}/api/v1/{path}", encoded, sent)
            except ssl.SSLError as error:
                raise CommandError(f"{self.url}: TLS fails: {error}; SSL_CERT_FILE names other authorities.") from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if left == 0 or isinstance(error, ConnectionRefusedError):
                    raise CommandError(f"{self.url} does not answer ({error}); is it the right --url?") from None
                self._sleep(min(2.0 ** (TRIES - left - 2), LONGEST_WAIT_S))
                continue
            if answer.status not in _LATER or left == 0:
                break
            self._pause(answer)
        if answer.status >= 300:
            raise _refusal(self.url, answer)
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._parts.hostname or "", self._parts.port, timeout=ANSWER_S)
        self._connection.request(method, target, body, headers)
        response = self._connection.getresponse()
        content, found = response.read(), {name.lower(): value for name, value in response.getheaders()}
        try:
            return Answer(response.status, found, json.loads(content) if content else None)
        except ValueError:
            return Answer(response.status if response.status >= 300 else 502, found, None)

    def _pause(self, answer: Answer) -> None:
        text = answer.headers.get("retry-after", "")
        wait_s = min(float(text) if text.isdecimal() else 1.0, LONGEST_WAIT_S)
        if wait_s >= 1:
            self._notice(f"the server answers {answer.status}; going on in {wait_s:.0f} s …")
        self._sleep(max(wait_s, 0.05))


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
