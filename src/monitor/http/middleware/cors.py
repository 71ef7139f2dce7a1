"""
Requests from pages of listed origins (https://fetch.spec.whatwg.org/#http-cors-protocol).

Litestar's middleware overwrites ``Vary`` and refuses a preflight in plain text. This one adds to ``Vary``, and refuses
by the absence of permission.
"""

from __future__ import annotations

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from monitor.http.requests.hosts import known_origins, parse_origin

_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
_EXPOSED = b"ETag, Location, Retry-After, X-Request-ID"
_MAX_AGE_S = b"600"


class Cors:
    """
    Lets pages of *origins* (such as ``https://dash.example.com``) read responses. Credentials are never allowed: tokens
    travel in a header.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self.app = app
        self._origins = known_origins(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": self._preflight(origin)})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._permission(origin)]
            await send(message)

        await self.app(scope, receive, answer)

    def _permission(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        vary = (b"vary", b"Origin")
        if not self._is_listed(origin):
            return [vary]
        return [vary, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

    def _preflight(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        headers = self._permission(origin)
        if self._is_listed(origin):
            headers += [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _REQUEST_HEADERS),
                (b"access-control-max-age", _MAX_AGE_S),
            ]
        return headers

    def _is_listed(self, origin: bytes) -> bool:
        return parse_origin(origin.decode("latin-1")) in self._origins
