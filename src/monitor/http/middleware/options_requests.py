"""OPTIONS (RFC 9110 section 9.3.7): which methods an address has."""

from __future__ import annotations

from http import HTTPStatus

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from monitor.http.responses.headers import with_head


class OptionsRequests:
    """Handles OPTIONS in place of Litestar, whose own handler names the methods of a single handler."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "OPTIONS":
            await self.app(scope, receive, send)
            return
        methods = _methods(scope["litestar_app"], scope["path_template"])
        allow = (b"allow", ", ".join(with_head(methods)).encode())
        await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": [allow]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _methods(app: Litestar, template: str) -> set[str]:
    routes = (route for route in app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return {str(method) for route in routes for method in route.methods}
