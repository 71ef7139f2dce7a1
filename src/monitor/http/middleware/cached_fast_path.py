"""
Answers a cached view from memory, in front of routing and the framework.

:class:`CachedFastPath` remembers which view a request target was answered with. While that view is fresh in memory it
does what the layers behind it would do, no more and no less: token, role, rate, entity tag, compression, headers, log
line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from monitor.auth.tokens import Principal, TokenVerifier
from monitor.domain.vocab import Role
from monitor.http.middleware.edge import Edge
from monitor.http.middleware.rate_limit import RateLimiter
from monitor.http.middleware.stack import COMPRESS_FROM_BYTES
from monitor.http.responses.cached import _REVALIDATE, Answer, CachedViews
from monitor.http.responses.conditional import not_modified
from monitor.http.responses.headers import incoming_request_id

MAX_TARGETS = 4096
"""Request targets that are remembered; the oldest goes first."""

MAX_TARGET_BYTES = 512


FULL_RESPONSE = "monitor.full_response"
"""The ASGI extension of our own server: a callable that takes the head and the body of a 200, and writes both."""
_JSON = (b"content-type", b"application/json")
_GZIPPED = [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]


class CachedFastPath:
    """
    Args:
        now: Unix seconds, against which tokens are checked.
        ticks_s: a monotonic clock in seconds.
        cors: whether an answer depends on its caller's origin; who names one takes the long way.
    """

    def __init__(
        self,
        edge: Edge,
        views: CachedViews,
        verifier: TokenVerifier,
        limiter: RateLimiter,
        *,
        now: Callable[[], float],
        ticks_s: Callable[[], float],
        cors: bool = False,
    ) -> None:
        self._edge = edge
        self._peek = views.peek
        self._recall = verifier.recall
        self._limiter = limiter
        self._now = now
        self._ticks_s = ticks_s
        self._targets: dict[tuple[bytes, bytes], tuple[str, str, Role]] = {}
        # By what names the bytes: equal tags are equal bodies.
        self._heads: dict[tuple[str, bool], bytes] = {}
        self._vary = [(b"vary", b"Origin")] if cors else []
        self._common = [
            (b"cache-control", _REVALIDATE.encode()),
            *(header for header in edge.headers if header[0] != b"cache-control"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            await self._edge(scope, receive, send)
            return
        target = (scope["raw_path"], scope["query_string"])
        remembered = self._targets.get(target)
        if remembered is None:
            await self._edge(scope, receive, send)
            self._remember_target(scope, target)
        elif not await self._respond(scope, send, *remembered):
            await self._edge(scope, receive, send)

    def _remember_target(self, scope: Scope, target: tuple[bytes, bytes]) -> None:
        """Remember view, route and role of *target*, if a cached view was its answer and a token is needed for it."""
        view = scope["state"].get("cached_view")
        if view is None or len(target[0]) + len(target[1]) > MAX_TARGET_BYTES:
            return
        role = scope["route_handler"].opt["role"]
        if isinstance(role, Role):
            if len(self._targets) >= MAX_TARGETS:
                del self._targets[next(iter(self._targets))]
            self._targets[target] = (view, scope.get("path_template") or "", role)

    async def _respond(self, scope: Scope, send: Send, view: str, route: str, role: Role) -> bool:
        """Answer, unless the caller must be refused, or needs more than this path knows."""
        started_s = self._ticks_s()
        pairs = list(scope["headers"])
        headers = dict(pairs)
        # A header sent twice may be one that must be refused.
        if len(headers) != len(pairs) or b"origin" in headers:
            return False
        principal = self._authorize(headers.get(b"authorization", b""), role)
        answer = None if principal is None else self._peek(view)
        if principal is None or answer is None or answer.stale:
            return False
        if await self._limiter.check(principal.subject) is not None:
            return False
        request_id = incoming_request_id(pairs) if b"x-request-id" in headers else None
        request_id = request_id or self._edge.new_id()
        extensions: dict[str, Any] = scope.get("extensions") or {}
        whole = extensions.get(FULL_RESPONSE)
        if whole is not None and self._write_full(whole, answer, headers, request_id):
            self._edge.record("GET", route, 200, self._ticks_s() - started_s, request_id, principal.subject)
            return True
        fields = [*self._common, (b"etag", answer.etag.encode()), (b"x-request-id", request_id.encode())]
        status, body = 200, answer.body
        tag = headers.get(b"if-none-match")
        if tag is not None and not_modified(tag.decode("latin-1"), answer.etag):
            status, body = 304, b""
        else:
            if len(body) >= COMPRESS_FROM_BYTES and b"gzip" in headers.get(b"accept-encoding", b""):
                body = answer.gzipped()
                fields += _GZIPPED
            fields += [_JSON, (b"content-length", b"%d" % len(body))]
        fields += self._vary
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        self._edge.record("GET", route, status, self._ticks_s() - started_s, request_id, principal.subject)
        return True

    def _write_full(
        self, write: Callable[[bytes, bytes], bool], answer: Answer, headers: dict[bytes, bytes], request_id: str
    ) -> bool:
        """Answer in one piece if nothing but the whole body is asked for."""
        if b"if-none-match" in headers:
            return False
        packed = len(answer.body) >= COMPRESS_FROM_BYTES and b"gzip" in headers.get(b"accept-encoding", b"")
        known = self._heads.get((answer.etag, packed))
        if known is None:
            known = self._head(answer, packed=packed)
            if len(self._heads) >= MAX_TARGETS:
                self._heads.clear()
            self._heads[answer.etag, packed] = known
        return write(b"%bx-request-id: %b\r\n\r\n" % (known, request_id.encode()), self._body(answer, packed=packed))

    def _head(self, answer: Answer, *, packed: bool) -> bytes:
        """Return the headers of *answer* as they are written, but for the request's id."""
        fields = [*self._common, (b"etag", answer.etag.encode()), *(_GZIPPED if packed else ()), _JSON]
        length = (b"content-length", b"%d" % len(self._body(answer, packed=packed)))
        return b"".join(b"%b: %b\r\n" % field for field in (*fields, length, *self._vary))

    @staticmethod
    def _body(answer: Answer, *, packed: bool) -> bytes:
        return answer.gzipped() if packed else answer.body

    def _authorize(self, authorization: bytes, role: Role) -> Principal | None:
        """Return the principal of a token verified before that includes *role*; refusals are left to the full path."""
        if not authorization.startswith(b"Bearer "):
            return None
        principal = self._recall(authorization[len(b"Bearer ") :], self._now())
        return principal if principal is not None and principal.role.includes(role) else None
