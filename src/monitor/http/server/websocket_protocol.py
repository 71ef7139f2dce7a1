"""The server's WebSocket protocol: uvicorn's ``websockets-sansio``, with bounds on what a peer can make it hold."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader, InvalidMethod, InvalidUpgrade
from websockets.http11 import Response

from monitor.domain.errors import Malformed, MonitorError
from monitor.domain.live import Message
from monitor.http.live.frame_transport import EXTENSION
from monitor.http.responses.headers import API_HEADERS
from monitor.http.responses.problems import MethodNotAllowed, UpgradeRequired, raw_problem
from monitor.http.server.http_protocol import refusal

LINGER_S = 30.0
"""How long a peer that does not read may take to accept its close frame; then its buffers are freed."""

KERNEL_BYTES = 128 * 1024
"""What the kernel may buffer for one socket; Linux doubles it for its bookkeeping."""

MAX_FRAGMENTS = 64


class LiveProtocol(WebSocketsSansIOProtocol):
    """
    The :class:`~monitor.http.live.frame_transport.FrameTransport` of our own server.

    ``end`` also closes a connection to a peer that reads nothing, which ASGI cannot express.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.congested = False
        self.on_drained: Callable[[], None] = lambda: None
        # The library's own refusals are plain text without our headers.
        self.conn.reject = self._rejection  # type: ignore[method-assign]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Else the kernel buffers megabytes for a peer that does not read, and congestion shows late.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # A handshake arrives in one piece. One that its parser rejects leaves uvicorn waiting without an answer.
            self.transport.write(refusal(Malformed("The handshake has a body, or headers too many or too long.")))
            self.transport.close()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            # The application starts in its own task, after this callback.
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = self

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # A refusal ends the handshake, too; uvicorn would log an error for each.
            self.handshake_complete = True

    def write(self, message: Message) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(message.encoded)

    def end(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        # The peer's close frame ends the connection, so reading resumes even if it was paused.
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

    def _rejection(self, status: HTTPStatus | int, text: str) -> Response:
        """Return the problem response to a handshake that breaks RFC 6455, in place of the library's."""
        del text
        status, headers, body = raw_problem(_handshake_error(self.conn.handshake_exc), "", None)
        fields = Headers((name.decode(), value.decode()) for name, value in (*headers, *API_HEADERS))
        # The library adds its own.
        fields.pop("upgrade", None)
        fields["connection"] = "close"
        fields["content-length"] = str(len(body))
        return Response(status, HTTPStatus(status).phrase, fields, body)


def _handshake_error(cause: Exception | None) -> MonitorError:
    if isinstance(cause, InvalidUpgrade):
        return UpgradeRequired("Connect by WebSocket.")
    if isinstance(cause, InvalidMethod):
        return MethodNotAllowed("A handshake is a GET.")
    if isinstance(cause, InvalidHeader):
        return Malformed(f"The handshake has no {cause.name} header, several, or a wrong one.")
    return Malformed("The handshake cannot be read.")
