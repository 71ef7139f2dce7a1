"""A path prefix behind a proxy: ``https://example.com/monitor/`` is this service's ``/``."""

from __future__ import annotations

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


class UnderRootPath:
    """
    Takes the prefix off the paths of requests, and puts it before the paths in ``Location``.

    A proxy may leave the prefix in or take it out: a path without it is served as it is.

    Args:
        root_path: begins with a slash and does not end with one.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self._root = root_path
        self._raw = root_path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {ScopeType.HTTP, ScopeType.WEBSOCKET}:
            await self.app(scope, receive, send)
            return
        inner: Any = scope
        if f"{scope['path']}/".startswith(f"{self._root}/"):
            inner = {**scope, "path": scope["path"].removeprefix(self._root) or "/"}
            if (raw := inner.get("raw_path")) is not None:
                inner["raw_path"] = raw.removeprefix(self._raw) or b"/"

        async def prefixed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [self._with_prefix(name, value) for name, value in message["headers"]]
            await send(message)

        await self.app(inner, receive, prefixed)

    def _with_prefix(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        return (name, self._raw + value) if name.lower() == b"location" and value.startswith(b"/") else (name, value)
