"""HEAD (RFC 9110 section 9.3.2): the response to GET without its body, as load balancers and ``curl -I`` request it."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Turns HEAD into GET for all routes, and drops the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        # A copy: by the original the server sees that no body follows its Content-Length.
        as_get: Any = {**scope, "method": "GET"}
        try:
            await self.app(as_get, receive, answer)
        finally:
            # The log line of the request holds subject and route.
            as_get["method"] = "HEAD"
            scope.update(as_get)
