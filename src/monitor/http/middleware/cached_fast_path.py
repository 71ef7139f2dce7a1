"""
Serves a cached view from memory, in front of routing and the framework.

:class:`CachedFastPath` remembers the view that a request target showed. While that view is fresh in memory, it does
what the layers behind it would do, no more and no less: token, role, rate, entity tag, compression, headers, log line.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from monitor.auth.tokens import Principal, TokenVerifier
from monitor.domain.errors import MonitorError
from monitor.domain.vocab import Role
from monitor.http.middleware.edge import FULL_RESPONSE, Edge, client_address
from monitor.http.middleware.rate_limit import RateLimiter
from monitor.http.requests.hosts import ServedHosts
from monitor.http.requests.session_cookie import check_cookie_use, is_https, session_token
from monitor.http.responses.cached import CachedViews
from monitor.http.responses.conditional import (
    PRIVATE,
    AcceptedCodings,
    Representation,
    Selected,
    accepted_codings,
    entity_tag,
    select,
)
from monitor.http.responses.headers import encoded, incoming_request_id

MAX_TARGETS = 4096
"""Request targets that are remembered; the oldest goes first."""

MAX_TARGET_BYTES = 512

_BEARER = b"Bearer "

Views = tuple[str, str]
"""What a target shows below the role admin, and with it: the same, mostly."""


class CachedFastPath:
    """
    Args:
        now: Unix seconds, against which tokens are checked.
        ticks_s: a monotonic clock in seconds.
        cors: whether a response depends on its request's origin; a request with one takes the full path.
        hosts: the hosts that are served; a request for another one takes the full path.
        https: clients reach us over TLS, although it may end in front of us.
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
        hosts: ServedHosts | None = None,
        https: bool = False,
    ) -> None:
        self._edge = edge
        self._https = https
        self._peek = views.peek
        self._recall = verifier.recall
        self._limiter = limiter
        self._now = now
        self._ticks_s = ticks_s
        self._targets: dict[tuple[bytes, bytes], tuple[Views, str, Role]] = {}
        self._serves = (hosts or ServedHosts()).serves
        # By digest and acceptable codings: equal digests are equal bodies.
        self._heads: dict[tuple[str, AcceptedCodings], tuple[bytes, bool]] = {}
        self._vary = [(b"vary", b"Origin")] if cors else []
        self._common = [
            *encoded(PRIVATE),
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
        """Remember views, route and role of *target*, if it showed a cached view to a token."""
        views = scope["state"].get("cached_view")
        if views is None or len(target[0]) + len(target[1]) > MAX_TARGET_BYTES:
            return
        role = scope["route_handler"].opt["role"]
        if isinstance(role, Role):
            if len(self._targets) >= MAX_TARGETS:
                del self._targets[next(iter(self._targets))]
            self._targets[target] = (views, scope.get("path_template") or "", role)

    async def _respond(self, scope: Scope, send: Send, views: Views, route: str, role: Role) -> bool:
        """Respond, unless the request must be refused or needs the full path; return whether it had its response."""
        started_s = self._ticks_s()
        pairs = list(scope["headers"])
        headers = dict(pairs)
        # A header sent twice may be one that must be refused.
        if len(headers) != len(pairs) or b"origin" in headers or not self._serves(headers.get(b"host", b"")):
            return False
        token = self._token(scope, headers)
        principal = None if token is None else self._authorize(token, role)
        answer = None if principal is None else self._peek(views[principal.role.includes(Role.ADMIN)])
        if principal is None or answer is None or answer.stale:
            return False
        if self._limiter.check(principal.subject) is not None:
            return False
        request_id = incoming_request_id(pairs) if b"x-request-id" in headers else None
        request_id = request_id or self._edge.new_id()
        accepted = headers.get(b"accept-encoding", b"").decode("latin-1")
        known = headers.get(b"if-none-match")
        extensions: dict[str, Any] = scope.get("extensions") or {}
        write = extensions.get(FULL_RESPONSE)
        status = 200
        if write is None or known is not None or not self._write_full(write, answer, accepted, request_id):
            if_none_match = None if known is None else known.decode("latin-1")
            selected = self._select(answer, accepted, if_none_match)
            status = selected.status
            fields = [*self._fields(selected), (b"x-request-id", request_id.encode())]
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": selected.body, "more_body": False})
        elapsed_s = self._ticks_s() - started_s
        self._edge.record("GET", route, status, elapsed_s, request_id, principal.subject, client_address(scope))
        return True

    def _write_full(
        self, write: Callable[[bytes, bytes], bool], answer: Representation, accepted: str, request_id: str
    ) -> bool:
        """Write a 200 in one piece, with headers encoded once for all responses with this body."""
        key = (answer.digest, accepted_codings(accepted))
        found = self._heads.get(key)
        if found is None:
            selected = self._select(answer, accepted, None)
            head = b"".join(b"%b: %b\r\n" % field for field in self._fields(selected))
            if len(self._heads) >= MAX_TARGETS:
                self._heads.clear()
            found = self._heads[key] = (head, "content-encoding" in selected.headers)
        head, is_gzipped = found
        body = answer.gzipped() if is_gzipped else answer.body
        return write(b"%bx-request-id: %b\r\n\r\n" % (head, request_id.encode()), body)

    @staticmethod
    def _select(answer: Representation, accepted: str, if_none_match: str | None) -> Selected:
        tag = entity_tag(answer.digest)
        return select(answer.body, accepted, tag=tag, if_none_match=if_none_match, gzipped=answer.gzipped)

    def _fields(self, selected: Selected) -> list[tuple[bytes, bytes]]:
        """Return all headers but the request's id."""
        fields = [*self._common, *encoded(selected.headers), *self._vary]
        if selected.status == HTTPStatus.OK:
            fields += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(selected.body))]
        return fields

    def _token(self, scope: Scope, headers: dict[bytes, bytes]) -> bytes | None:
        """Return the one token; where it is none, or may not be used, the full path gives the reason."""
        authorization = headers.get(b"authorization")
        if authorization is not None:
            return authorization[len(_BEARER) :] if authorization.startswith(_BEARER) else None
        if b"cookie" not in headers:
            return None
        pairs, secure = headers.items(), is_https(scope["scheme"], https=self._https)
        try:
            check_cookie_use("GET", pairs, secure=secure)
            token = session_token(pairs, secure=secure)
        except MonitorError:
            return None
        return None if token is None else token.encode()

    def _authorize(self, token: bytes, role: Role) -> Principal | None:
        """Return the principal of a token verified before that includes *role*; refusals are left to the full path."""
        principal = self._recall(token, self._now())
        return principal if principal is not None and principal.role.includes(role) else None
