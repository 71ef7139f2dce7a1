"""
How frames reach a socket.

:class:`LiveProtocol`, the ``ws`` class of our server, is uvicorn's ``websockets-sansio`` protocol. It offers itself to
the application as the ASGI extension ``monitor.frame_transport``: one encoded frame goes to each connection unchanged,
and a peer that does not read can be detected and cut off. On any other server :class:`AsgiFrameTransport` does the
same by the ASGI ``send``, more slowly.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from litestar.types import Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from monitor.domain.live import Message
from monitor.http.server.connection import malformed

EXTENSION = "monitor.frame_transport"

LINGER_S = 30.0
"""How long a peer that does not read is left to take its close frame; then its buffers are freed."""

KERNEL_BYTES = 128 * 1024
"""What the kernel may hold for one socket, before it doubles it for its own books."""

MAX_FRAGMENTS = 64
ASGI_BACKLOG = 64
"""Frames that wait for a foreign server before its socket counts as congested."""


class FrameTransport(Protocol):
    """One open socket. Nothing here waits or raises; on a socket that is closing nothing happens."""

    on_drained: Callable[[], None]
    """Called when a congested socket can take more."""

    @property
    def congested(self) -> bool:
        """Whether the peer takes less than it was sent. Writing more now would pile up in memory."""
        ...

    def write(self, message: Message) -> None: ...

    def end(self, code: int, reason: str) -> None:
        """Close with *code*; *reason* has at most 123 bytes (RFC 6455 section 5.5)."""
        ...


class LiveProtocol(WebSocketsSansIOProtocol):
    """See the module. ``end`` closes also where the peer reads nothing, for which ASGI has no word."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.congested = False
        self.on_drained: Callable[[], None] = _ignore

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Else the kernel keeps megabytes for a peer that does not read, and tells us late.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # A handshake is handed over whole. Of one that its parser does not take uvicorn says nothing, and waits.
            self.transport.write(malformed("The handshake has a body, or headers too many or too long."))
            self.transport.close()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            # The application starts in a task of its own, so it sees this.
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = self

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # A refusal ends the handshake, too; uvicorn would log an error for each.
            self.handshake_complete = True

    def write(self, message: Message) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(message.frame)

    def end(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        # The peer's answer is read even if it was not read before, for it ends the connection.
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def shutdown(self) -> None:
        super().shutdown()
        if self.congested:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.congested = True
        # Else pings from a peer that does not read would pile up pongs.
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.congested = False
        if not self.read_paused:
            self.transport.resume_reading()
        self.on_drained()

    def handle_cont(self, event: Any) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            # The size of a message is limited, but empty fragments have none.
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()


class AsgiFrameTransport:
    """A transport on any ASGI server: what is written waits in line for :meth:`pump`."""

    def __init__(self) -> None:
        self.on_drained: Callable[[], None] = _ignore
        self._line: deque[dict[str, Any]] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    @property
    def congested(self) -> bool:
        return len(self._line) >= ASGI_BACKLOG

    def write(self, message: Message) -> None:
        self._put({"type": "websocket.send", "text": message.text})

    def end(self, code: int, reason: str) -> None:
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._ended = True

    async def pump(self, send: Send) -> None:
        """Send what is written until the socket is closed."""
        while True:
            while self._line:
                event = self._line.popleft()
                await send(event)  # type: ignore[arg-type]
                if event["type"] == "websocket.close":
                    return
                if len(self._line) == ASGI_BACKLOG - 1:
                    self.on_drained()
            self._filled.clear()
            await self._filled.wait()

    def _put(self, event: dict[str, Any]) -> None:
        if not self._ended:
            self._line.append(event)
            self._filled.set()


def _ignore() -> None:
    """Nobody listens yet."""
