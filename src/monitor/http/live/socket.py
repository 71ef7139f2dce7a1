"""One client's socket."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.errors import MonitorError
from monitor.domain.live import Message, Position, Reader, Session, Stream
from monitor.http.live.close_codes import CloseCode, close_code_of
from monitor.http.live.frame_transport import FrameTransport

STALL_S = 10.0
"""How long a socket may stay congested."""


class Socket:
    """
    A reader and a session on a transport.

    ``ahead_ticks`` counts how long it has waited for the stream to reach its position. ``metrics_version`` is that of
    the newest metrics it was sent: older ones that it missed are of no use, so none are kept. ``since`` is in Unix
    seconds; ``close_reason`` is empty while this side has not closed it.
    """

    __slots__ = (
        "ahead_ticks", "close_reason", "congested_since", "is_open",
        "metrics_version", "reader", "session", "since", "transport",
    )  # fmt: skip

    def __init__(self, transport: FrameTransport, session: Session, since: float) -> None:
        self.transport = transport
        self.session = session
        self.since = since
        self.reader = Reader()
        self.metrics_version = 0
        self.ahead_ticks = 0
        self.congested_since: float | None = None
        self.is_open = True
        self.close_reason = ""

    def send_numbered(self, message: Message, now: float) -> None:
        """Write a numbered message, unless the socket must be sent another one first."""
        reader, transport = self.reader, self.transport
        if reader.cursor != message.seq - 1 or transport.congested or not self.is_open:
            return
        if now >= self.session.grant.expires_at:
            self.end(CloseCode.UNAUTHENTICATED, "token expired")
        elif reader.advance(message):
            transport.write(message)

    def send_unnumbered(self, message: Message, now: float) -> bool:
        """Write a message without a number if the socket is at its position; return whether it is."""
        if self.reader.cursor != message.seq or self.transport.congested or not self.is_open:
            return False
        if now >= self.session.grant.expires_at:
            self.end(CloseCode.UNAUTHENTICATED, "token expired")
        elif self.reader.passes(message):
            self.transport.write(message)
        return True

    def start(self, stream: Stream, snapshot: Message) -> bool:
        """Write *snapshot* and the messages since; ``False`` if some are no longer there."""
        if not self.is_open:
            return True
        if not self.reader.start(stream, snapshot):
            return False
        self.transport.write(snapshot)
        self.catch_up(stream)
        return True

    def resume(self, stream: Stream, position: Position) -> bool:
        """Write the messages since *position*; ``False`` if some are no longer there."""
        if not self.reader.resume(stream, position):
            return False
        self.catch_up(stream)
        return True

    def catch_up(self, stream: Stream) -> None:
        """Write missed messages until the transport is congested."""
        if self.reader.is_lost(stream):
            self.end(CloseCode.TOO_SLOW, "too slow")
            return
        if not self.is_open or self.transport.congested or self.reader.cursor < 0:
            return
        for message in self.reader.unread(stream):
            self.transport.write(message)
            if self.transport.congested:
                return

    def check(
        self, stream: Stream, now: float, is_revoked: Callable[[str], bool], holds_key: Callable[[str], bool]
    ) -> None:
        """Close it if its token is no longer good or it reads too slowly."""
        try:
            self.session.check_token(now, is_revoked, holds_key)
        except MonitorError as error:
            self.fail(error)
            return
        if not self.transport.congested:
            self.congested_since = None
        elif self.congested_since is None:
            self.congested_since = now
        if self.reader.is_lost(stream) or now - (self.congested_since or now) > STALL_S:
            self.end(CloseCode.TOO_SLOW, "too slow")

    def fail(self, error: MonitorError, message: Message | None = None) -> None:
        """Send *error* as *message*, and close if it is of a kind that closes. The reason never holds a detail."""
        if message is not None and self.is_open and not self.transport.congested:
            self.transport.write(message)
        code = close_code_of(error)
        if code is not None:
            self.end(code, error.slug)

    def end(self, code: CloseCode, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self.close_reason = reason
            self.transport.end(code, reason)
