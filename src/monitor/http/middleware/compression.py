"""Compression of what no handler has compressed itself."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from monitor.http.responses.conditional import select
from monitor.http.responses.headers import encoded


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
        accepted = dict(scope["headers"]).get(b"accept-encoding", b"").decode("latin-1")
        start: Any = None

        async def compress(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and message["type"] == "http.response.body":
                # With Vary, the handler has chosen between plain and compressed.
                if not message.get("more_body") and b"vary" not in dict(start["headers"]):
                    selected = select(message["body"], accepted)
                    message["body"] = selected.body
                    fields = [field for field in start["headers"] if field[0] != b"content-length"]
                    length = (b"content-length", b"%d" % len(selected.body))
                    start["headers"] = [*fields, *encoded(selected.headers), length]
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, compress)
