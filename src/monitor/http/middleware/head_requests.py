"""HEAD (RFC 9110 section 9.3.2): what GET would answer, without its body. Used by load balancers and ``curl -I``."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Passes HEAD on as GET and drops the body, so that no route handles HEAD itself."""

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

        # A copy: the server looks at the original to learn that no body follows the length of one.
        asked: Any = {**scope, "method": "GET"}
        try:
            await self.app(asked, receive, answer)
        finally:
            # Subject and route, for the log line of the request.
            asked["method"] = "HEAD"
            scope.update(asked)
