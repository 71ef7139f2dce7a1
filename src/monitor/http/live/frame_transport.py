"""
How frames reach a socket.

Our server's WebSocket protocol offers itself to the application as the ASGI extension :data:`EXTENSION`: one encoded
frame goes to each connection unchanged, and a peer that does not read can be detected and cut off. On any other server
:class:`AsgiFrameTransport` does the same by the ASGI ``send``, more slowly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from litestar.types import Send

from monitor.domain.live import Message
from monitor.http.live.frames import text_of

EXTENSION = "monitor.frame_transport"

ASGI_BACKLOG = 64
"""Frames queued for another server before its socket counts as congested."""


class FrameTransport(Protocol):
    """One open socket. Nothing here waits or raises; on a socket that is closing nothing happens."""

    on_drained: Callable[[], None]
    """Called when a congested socket can take more."""

    @property
    def congested(self) -> bool:
        """Whether the peer reads slower than it is sent to. More would pile up in memory."""
        ...

    def write(self, message: Message) -> None: ...

    def end(self, code: int, reason: str) -> None:
        """Close with *code*; *reason* has at most 123 bytes (RFC 6455 section 5.5)."""
        ...


class AsgiFrameTransport:
    """A transport on any ASGI server: a queue that :meth:`pump` sends."""

    def __init__(self) -> None:
        self.on_drained: Callable[[], None] = _ignore
        self._queue: deque[dict[str, Any]] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    @property
    def congested(self) -> bool:
        return len(self._queue) >= ASGI_BACKLOG

    def write(self, message: Message) -> None:
        self._put({"type": "websocket.send", "text": text_of(message)})

    def end(self, code: int, reason: str) -> None:
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._ended = True

    async def pump(self, send: Send) -> None:
        """Send what is written until the socket is closed."""
        while True:
            while self._queue:
                event = self._queue.popleft()
                await send(event)  # type: ignore[arg-type]
                if event["type"] == "websocket.close":
                    return
                if len(self._queue) == ASGI_BACKLOG - 1:
                    self.on_drained()
            self._filled.clear()
            await self._filled.wait()

    def _put(self, event: dict[str, Any]) -> None:
        if not self._ended:
            self._queue.append(event)
            self._filled.set()


def _ignore() -> None:
    """No callback is set yet."""
