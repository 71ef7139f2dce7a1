"""Compression of what no handler has compressed itself."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from monitor.http.responses.conditional import select
from monitor.http.responses.headers import encoded, list_header


class Compress:
    """
    Compresses bodies that are sent in one message, and adds ``Vary``.

    Litestar's own middleware sends gzip to ``gzip;q=0``, and varies compressed responses only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        accepted = list_header(scope["headers"], b"accept-encoding") or ""
        start: Any = None

        async def compress(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and message["type"] == "http.response.body":
                # The handler may have chosen between plain and compressed itself. Without a body there is no choice.
                has_chosen = b"Accept-Encoding" in dict(start["headers"]).get(b"vary", b"")
                if message["body"] and not message.get("more_body") and not has_chosen:
                    selected = select(message["body"], accepted)
                    message["body"] = selected.body
                    fields = [field for field in start["headers"] if field[0] != b"content-length"]
                    length = (b"content-length", b"%d" % len(selected.body))
                    start["headers"] = [*fields, *encoded(selected.headers), length]
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, compress)
