"""The outermost layer: request id in and out, security headers, one log line per request."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from monitor.domain.errors import Unavailable, UnknownOutcome
from monitor.http.responses.headers import API_HEADERS, HSTS, Headers, incoming_request_id
from monitor.http.responses.problems import raw_problem

_log = structlog.get_logger()

SAFE = ("GET", "HEAD", "OPTIONS")

FULL_RESPONSE = "monitor.full_response"
"""The ASGI extension of our own server: a callable that takes head, body and status of a response, and writes all."""

_WHOLE = frozenset({200, 201, 202})
"""Statuses of responses with a body that are written at once; others are rare."""

WriteLine = Callable[[str, str | None, int, float, str, str | None, str | None], None]


@lru_cache(maxsize=1024)
def _address(host: str) -> str | None:
    """Return *host* if it is an IP address: a trusted proxy may pass on what a client has written."""
    bare = host.partition("%")[0]
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return None
    return bare


def client_address(scope: Scope) -> str | None:
    """Return the address of the client, which a trusted proxy may have sent; none for a Unix socket."""
    client = scope.get("client")
    return None if client is None else _address(client[0])


class Edge:
    """
    Wraps the whole application, so that responses of no route (404, 405, preflight) are treated alike.

    The line ``http_request`` holds the route template, never the path, and nothing that a client sent but its request
    id and the token's subject. Its address is that of the connection, or the one that a trusted proxy adds.

    Args:
        new_id: makes a request id.
        ticks_s: a monotonic clock in seconds.
        observe: counts (method, route template, status, seconds) of each response.
        write_line: takes (method, route template, status, seconds, request id, subject, client) of each response;
            without it, the general logger gets the line.
        https: adds ``Strict-Transport-Security``; only right when clients reach us over TLS.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        new_id: Callable[[], str],
        ticks_s: Callable[[], float],
        https: bool = False,
        observe: Callable[[str, str, int, float], None] | None = None,
        write_line: WriteLine | None = None,
    ) -> None:
        self.app = app
        self._write_line = write_line or self._log_line
        self._observe = observe
        self.new_id = new_id
        self._ticks_s = ticks_s
        self.headers = (*API_HEADERS, HSTS) if https else API_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        started_s = self._ticks_s()
        request_id = incoming_request_id(scope["headers"]) or self.new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status, start = 0, None
        extensions: Any = scope.get("extensions") or {}
        write = extensions.get(FULL_RESPONSE) if scope["method"] != "HEAD" else None

        async def answer(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._complete(message["headers"], request_id)
                if write is not None:
                    start = message
                    return
            elif start is not None and write is not None:
                begun, start = start, None
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    body = message.get("body", b"")
                    head = _whole_head(begun, body)
                    if head is not None and write(head, body, status):
                        return
                await send(begun)
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except asyncio.CancelledError:
            # The server stops, and waits no longer. It would answer 500 in plain text.
            if status and start is None:
                raise
            status, headers, body = raw_problem(_given_up(scope["method"]), scope["path"], request_id)
            await answer({"type": "http.response.start", "status": status, "headers": headers})
            await answer({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            user: Any = scope.get("user")
            subject = user.subject if user is not None else None
            elapsed_s = self._ticks_s() - started_s
            client = client_address(scope)
            self.record(scope["method"], scope.get("path_template"), status, elapsed_s, request_id, subject, client)

    def record(
        self,
        method: str,
        route: str | None,
        status: int,
        elapsed_s: float,
        request_id: str,
        subject: str | None,
        client: str | None,
    ) -> None:
        """Count one response and write its line."""
        if self._observe is not None:
            self._observe(method, route or "", status, elapsed_s)
        self._write_line(method, route, status, elapsed_s, request_id, subject, client)

    def _log_line(
        self,
        method: str,
        route: str | None,
        status: int,
        elapsed_s: float,
        request_id: str,
        subject: str | None,
        client: str | None,
    ) -> None:
        _log.info(
            "http_request",
            method=method,
            route=route,
            status=status,
            ms=round(elapsed_s * 1000, 3),
            request_id=request_id,
            subject=subject,
            client=client,
        )

    def _complete(self, headers: Headers, request_id: str) -> list[tuple[bytes, bytes]]:
        """Return *headers*, followed by those of ours that the response did not set."""
        complete = list(headers)
        present = {name.lower() for name, _ in complete}
        complete += [header for header in self.headers if header[0] not in present]
        complete.append((b"x-request-id", request_id.encode()))
        return complete


def _whole_head(start: Any, body: bytes) -> bytes | None:
    """Return the head of a response that declares the length of *body*, as it is sent; ``None`` for any other."""
    fields = start["headers"]
    if start["status"] not in _WHOLE or (b"content-length", b"%d" % len(body)) not in fields:
        return None
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    # A field that would end its line would begin one of its own; ASGI's messages are checked for that.
    is_plain = head.count(b"\n") == head.count(b"\r") == len(fields) and b"connection: " not in head.lower()
    return head + b"\r\n" if is_plain else None


def _given_up(method: str) -> Unavailable:
    """Return the error of a request that the server no longer waits for."""
    if method in SAFE:
        return Unavailable("The server is stopping; try again.")
    detail = "The server is stopping, and the request may have been carried out. Repeat it with its Idempotency-Key."
    return UnknownOutcome(detail)
