"""
Authentication and the role of each route.

Every route declares its role in ``opt``: ``@get("/x", opt=requires(Role.VIEWER))``, or ``opt=OPEN`` for the health
probes. A route without a declared role is refused to every token. The token comes in ``Authorization``; where there is
no such header, in the session cookie of a browser (:mod:`monitor.http.requests.session_cookie`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.auth.tokens import Principal, TokenVerifier
from monitor.domain.errors import Forbidden, Malformed, MissingToken, Unauthenticated
from monitor.domain.vocab import Actor, Role
from monitor.http.middleware.edge import client_address
from monitor.http.requests.session_cookie import check_cookie_use, is_https, session_token
from monitor.http.responses.headers import request_id_of

OPEN: dict[str, Any] = {"role": None}

_UNDECLARED = object()
_SCHEME = b"bearer "
_B64TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


def requires(role: Role) -> dict[str, Any]:
    """Return the ``opt`` of a route that *role* and every role above it may call."""
    return {"role": role}


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """
    Read the one ``Authorization: Bearer`` header (RFC 6750 section 2.1), spaces counted strictly.

    Raises:
        MissingToken: no header, or another scheme (RFC 6750 section 3.1 wants no error code for either).
        Malformed: several headers.
        Unauthenticated: no single ``b64token`` after the scheme.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise MissingToken("Send a token: Authorization: Bearer <token>.")
    if len(values) > 1:
        raise Malformed("Send one Authorization header, not several.")
    value = values[0]
    scheme = value[: len(_SCHEME)].lower()
    if scheme.strip() != _SCHEME.strip():
        raise MissingToken("Only the Bearer scheme is understood: Authorization: Bearer <token>.")
    token = value[len(_SCHEME) :]
    if scheme != _SCHEME or _B64TOKEN.fullmatch(token) is None:
        raise Unauthenticated("Send one token after a single space: Authorization: Bearer <token>.")
    return token.decode("ascii")


class Authenticate:
    """
    Verifies the token of every HTTP request to a route that is not open, and puts the principal in ``request.user``.

    Sockets pass: their handshake has its own refusals.

    Args:
        https: clients reach us over TLS, although it may end in front of us.
    """

    def __init__(self, app: ASGIApp, verifier: TokenVerifier, now: Callable[[], float], *, https: bool = False) -> None:
        self.app = app
        self._verifier = verifier
        self._now = now
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and not _is_socket(scope):
            scope["user"] = self._caller(scope)
        await self.app(scope, receive, send)

    def _caller(self, scope: Scope) -> Principal | None:
        needed = scope["route_handler"].opt.get("role", _UNDECLARED)
        if needed is None:
            return None
        principal = self._verifier.verify(self._token(scope), self._now())
        if not isinstance(needed, Role):
            raise Forbidden("No role may call this route.")
        if not principal.role.includes(needed):
            # Set here, so that the log line of a refusal names the caller.
            scope["user"] = principal
            raise Forbidden(f"This needs the role {needed.value}; the token has {principal.role.value}.")
        return principal

    def _token(self, scope: Scope) -> str:
        """Return the token of the header, which a cookie never adds to, or that of the cookie."""
        headers = scope["headers"]
        if any(name == b"authorization" for name, _ in headers):
            return bearer_token(headers)
        secure = is_https(scope["scheme"], https=self._https)
        token = session_token(headers, secure=secure)
        if token is None:
            return bearer_token(headers)
        check_cookie_use(scope["method"], headers, secure=secure)  # type: ignore[typeddict-item]
        return token


def _is_socket(scope: Scope) -> bool:
    """Whether the route accepts handshakes alone, and answers 426 to a plain request."""
    return "socket" in scope["route_handler"].opt


def actor_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Actor:
    """Return the actor of this request, for the audit log. Only for routes that are not open."""
    principal: Principal = connection.user
    scope = connection.scope
    return Actor(principal.subject, principal.role, request_id_of(scope), client_address(scope))
