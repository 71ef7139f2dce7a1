"""
Accepts events in front of routing and the framework, which cost more than everything else about a small event.

:class:`PublishFastPath` takes a plain request with a token verified before, and does what the layers behind it would
do, no more and no less: token, role, rate, budget of bodies, decoding, response. Any other request takes the full path.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.auth.tokens import Principal, TokenVerifier
from monitor.domain.errors import Malformed, Unavailable
from monitor.domain.services.publish import Publisher
from monitor.domain.vocab import Actor, Role
from monitor.http.middleware.body_budget import BodyBudget
from monitor.http.middleware.rate_limit import RateLimiter
from monitor.http.requests.body import JSON, read
from monitor.http.requests.events import PublishRequest, publish
from monitor.http.requests.hosts import ServedHosts
from monitor.http.responses.conditional import select
from monitor.http.responses.headers import encoded, request_id_of
from monitor.http.responses.problems import raw_error

MAX_BYTES = 64 * 1024
"""A larger body takes the full path, whose costs it outweighs."""

MAX_KEY_BYTES = 255
ROLE = Role.PUBLISHER

_BEARER = b"Bearer "
_JSON = JSON.encode()
_UNUSUAL = frozenset({b"origin", b"content-encoding", b"expect"})
_ACCEPTED = 202


class PublishFastPath:
    """
    Stands behind ``Edge``, which answers for request id, security headers and log line on both paths.

    Args:
        path: of the route; with a query string, a request takes the full path.
        now: Unix seconds, against which tokens are checked.
    """

    def __init__(
        self,
        app: ASGIApp,
        publisher: Publisher,
        verifier: TokenVerifier,
        limiter: RateLimiter,
        budget: BodyBudget,
        *,
        path: str,
        now: Callable[[], float],
        hosts: ServedHosts | None = None,
    ) -> None:
        self.app = app
        self._publisher = publisher
        self._recall = verifier.recall
        self._limiter = limiter
        self._budget = budget
        self._path = path
        self._now = now
        self._serves = (hosts or ServedHosts()).serves

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] != self._path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        pairs = list(scope["headers"])
        headers = dict(pairs)
        # A header sent twice may be one that must be refused.
        is_plain = len(headers) == len(pairs) and self._is_plain(scope, headers)
        principal = self._caller(headers) if is_plain else None
        # A refusal, too, is left to the full path: it counts nothing.
        if principal is None or self._limiter.check(principal.subject) is not None:
            await self.app(scope, receive, send)
            return
        scope["user"], scope["path_template"] = principal, self._path
        status, fields, body = await self._respond(scope, receive, headers, principal)
        selected = select(body, headers.get(b"accept-encoding", b"").decode("latin-1"))
        fields += [*encoded(selected.headers), (b"content-length", b"%d" % len(selected.body))]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": selected.body, "more_body": False})

    def _is_plain(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether nothing but token, budget and body may refuse the request."""
        size, key = headers.get(b"content-length", b""), headers.get(b"idempotency-key")
        return (
            not scope["query_string"]
            and headers.get(b"content-type") == _JSON
            and size.isdigit()
            and len(size) <= len(str(MAX_BYTES))
            and 0 < int(size) <= MAX_BYTES
            and (key is None or (0 < len(key) <= MAX_KEY_BYTES and key.isascii()))
            and _UNUSUAL.isdisjoint(headers)
            and self._serves(headers.get(b"host", b""))
        )

    def _caller(self, headers: dict[bytes, bytes]) -> Principal | None:
        """Return the principal of a token verified before that may publish."""
        authorization = headers.get(b"authorization", b"")
        if not authorization.startswith(_BEARER):
            return None
        try:
            principal = self._recall(authorization[len(_BEARER) :], self._now())
        except Unavailable:
            return None
        return principal if principal is not None and principal.role.includes(ROLE) else None

    async def _respond(
        self, scope: Scope, receive: Receive, headers: dict[bytes, bytes], principal: Principal
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        request_id, subject, size = request_id_of(scope), principal.subject, int(headers[b"content-length"])
        try:
            self._budget.take(subject, size)
            try:
                body = await _body(receive)
                key, traceparent = headers.get(b"idempotency-key"), headers.get(b"traceparent")
                accepted = await publish(
                    self._publisher,
                    read(body, PublishRequest),
                    Actor(subject, principal.role, request_id),
                    key=None if key is None else key.decode(),
                    body=body,
                    traceparent=None if traceparent is None else traceparent.decode("latin-1"),
                )
            finally:
                self._budget.give_back(subject, size)
        except Exception as error:  # noqa: BLE001 - every error has its problem
            return raw_error(error, scope["path"], request_id)
        return _ACCEPTED, [(b"content-type", _JSON)], msgspec.json.encode(accepted)


async def _body(receive: Receive) -> bytes:
    """Read a body, which the server ends at its announced length. Raises ``Malformed`` if the client disconnects."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Malformed("The request, or one of its parameters, cannot be read.")
        pieces.append(message["body"])
        if not message["more_body"]:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
