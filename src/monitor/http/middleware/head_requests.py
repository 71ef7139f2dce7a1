"""HEAD (RFC 9110 section 9.3.2): what GET would answer, without its body. Load balancers and ``curl -I`` ask so."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Asks the application for a GET, so that no route has to know of HEAD, and keeps the body back."""

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
            # Who asked, and for which route, is told in the log line of the request.
            asked["method"] = "HEAD"
            scope.update(asked)
