"""Routes of the session of a browser: a token in a cookie that no script can read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from litestar import Controller, Response, delete, get, post

from monitor.auth.tokens import Principal
from monitor.domain.errors import Malformed
from monitor.domain.views.tokens import SessionView
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import OPEN, bearer_token, requires
from monitor.http.openapi.responses import problems
from monitor.http.requests.session_cookie import MAX_TOKEN_BYTES, check_own_page, is_https, set_cookie
from monitor.http.routes.services import AnyRequest


def session_controller(now: Callable[[], float], *, https: bool) -> type[Controller]:
    """
    Return the routes.

    Args:
        now: Unix seconds.
        https: clients reach us over TLS, although it may end in front of us.
    """

    class SessionController(Controller):
        """The session of a browser."""

        path = "/session"
        tags = ("session",)

        @get(
            "/",
            summary="Read the session",
            description="Whose token this is, sent as cookie or header, and until when it is valid. Role: viewer.",
            opt=requires(Role.VIEWER),
            responses=problems(400, 401, 403, 429),
            sync_to_thread=False,
        )
        def read_session(self, request: AnyRequest) -> SessionView:
            return _view_of(request.user)

        @post(
            "/",
            status_code=200,
            summary="Start a session",
            description="Puts the token of the Authorization header into a cookie that no script can read and that"
            " ends with the token. Replaces the session that there is. Role: viewer.",
            opt=requires(Role.VIEWER),
            responses=problems(400, 401, 403, 429),
            sync_to_thread=False,
        )
        def start_session(self, request: AnyRequest) -> Response[SessionView]:
            headers, secure = request.scope["headers"], is_https(request.scope["scheme"], https=https)
            check_own_page(headers, secure=secure)
            token = bearer_token(headers)
            if len(token) > MAX_TOKEN_BYTES:
                raise Malformed(f"Browsers keep no cookie with a token longer than {MAX_TOKEN_BYTES:,} bytes.")
            principal: Principal = request.user
            left_s = max(1, int(principal.expires_at - now()))
            cookie = set_cookie(headers, token, secure=secure, max_age_s=left_s)
            return Response(_view_of(principal), headers={"set-cookie": cookie})

        @delete(
            "/",
            summary="End the session",
            description="Removes the cookie. The token stays valid; revoke it where it may have leaked. Open to all:"
            " a cookie that is not good any more can be removed as well.",
            opt=OPEN,
            responses=problems(400),
            sync_to_thread=False,
        )
        def end_session(self, request: AnyRequest) -> Response[None]:
            headers, secure = request.scope["headers"], is_https(request.scope["scheme"], https=https)
            # A page of another origin cannot send this: DELETE needs a preflight, and none allows credentials.
            return Response(None, headers={"set-cookie": set_cookie(headers, "", secure=secure, max_age_s=0)})

    return SessionController


def _view_of(principal: Any) -> SessionView:
    return SessionView(
        subject=principal.subject,
        role=principal.role,
        expires_at=datetime.fromtimestamp(principal.expires_at, UTC),
    )
