"""One connection to a receiver, and which bytes on it are an answer."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Protocol, cast

from monitor.adapters.egress.answer import AnswerReader
from monitor.adapters.egress.pending import PendingExchange

WHOLE_BODY_BYTES = 65_536
PIECE_BYTES = 262_144

Key = tuple[str, str, int, bool]


class Listener(Protocol):
    """What becomes of the exchange under way."""

    def answered(self, connection: Connection, exchange: PendingExchange) -> None:
        """``connection.reader`` holds the verdict."""
        ...

    def broken(self, connection: Connection, exchange: PendingExchange, error: Exception | None) -> None:
        """The connection ended before there was a verdict."""
        ...

    def ended(self, connection: Connection) -> None:
        """A connection ended with nothing under way."""
        ...


class Connection(asyncio.Protocol):
    """
    Carries one exchange after the other, and decides which bytes are an answer.

    Unsolicited bytes are none (RFC 9112 section 9.2): these end the connection. An answer counts once the whole request
    has been handed to the kernel. One that refuses a request still under way counts at once and ends the connection;
    one that accepts it waits for the rest of the request, unless the connection was used before: there it may be a
    second answer to the request before.

    Attributes:
        early: the answer began before the whole request was handed over.
        unasked: bytes came although no request had been written.
        uses: requests begun.
    """

    __slots__ = (
        "_clock", "_idle_poll", "_listener", "_paused", "_raw", "_rest", "_transport", "early", "exchange",
        "idle_since", "is_tls", "key", "lost", "opened_at", "pooled", "reader", "unasked", "uses",
    )  # fmt: skip

    def __init__(self, key: Key, sock: socket.socket, listener: Listener, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._listener = listener
        self._idle_poll = select.poll()
        self._idle_poll.register(sock.fileno(), select.POLLIN)
        self._paused = False
        self._raw: asyncio.Transport | None = None
        self._rest: memoryview | None = None
        self._transport: asyncio.Transport | None = None
        self.early = False
        self.exchange: PendingExchange | None = None
        self.idle_since = self.opened_at = clock()
        self.is_tls = False
        self.key = key
        self.lost: Exception | None = None
        self.pooled = False
        self.reader = AnswerReader()
        self.unasked = False
        self.uses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = self._transport = cast("asyncio.Transport", transport)
        # Without a buffer that counts as written, "not paused" means that the kernel has everything.
        self._raw.set_write_buffer_limits(high=0)

    def secured(self, transport: asyncio.Transport) -> None:
        """Go on over TLS."""
        self._transport = transport
        self.is_tls = True
        # TLS pauses at its limit, TCP above it.
        transport.set_write_buffer_limits(high=1, low=0)

    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def is_silent(self) -> bool:
        """Whether it is open and nothing waits to be read: neither unsolicited bytes nor its end."""
        return self.is_open() and not self._idle_poll.poll(0)

    async def quiet(self, for_s: float) -> None:
        """Wait for bytes that the receiver sends before it has a request, and let the loop read what is there."""
        await asyncio.sleep(for_s)
        while self.is_open() and not self.is_tls and not self.is_silent():  # noqa: ASYNC110 - it polls a socket
            await asyncio.sleep(0)

    def begin(self, exchange: PendingExchange) -> None:
        """Write the request."""
        self.exchange = exchange
        self.uses += 1
        if self.unasked or self._transport is None or self._transport.is_closing():
            self._break(self.lost)
            return
        exchange.written_at = self._clock()
        body = exchange.request.body
        if len(body) <= WHOLE_BODY_BYTES:
            self._transport.write(exchange.head + body)
        else:
            self._rest = memoryview(body)
            self._transport.write(exchange.head)
            self._write_on()

    def drop(self) -> None:
        """End it at once. Closing would wait for a receiver that never reads to take the rest."""
        # A TLS transport of Python 3.11 fails on a second abort.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.unasked = True
            self._break(None)
            return
        if exchange.first_byte_at is None:
            exchange.first_byte_at = self._clock()
            self.early = not self._is_handed_over()
        if self.reader.feed(data):
            self._judge(exchange)

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self._end(exc)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_on()
        self.look_again()

    def has_verdict(self) -> bool:
        """Whether there is a head that counts, even if the answer is not complete."""
        head = self.reader.head
        return head is not None and (not self.early or head.status >= 300 or self._is_handed_over())

    def look_again(self) -> None:
        """Judge an answer that waits until its request has been handed over."""
        if self.early and self.exchange is not None and self.reader.done:
            self._judge(self.exchange)

    def _write_on(self) -> None:
        while self._rest and not self._paused and self._transport is not None:
            piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
            self._transport.write(piece)

    def _is_handed_over(self) -> bool:
        """Whether neither we, nor TLS, nor the transport holds back anything of the request."""
        if self._rest or self._paused:
            return False
        return not self.is_tls or self._raw is None or not self._raw.get_write_buffer_size()

    def _judge(self, exchange: PendingExchange) -> None:
        if self.early:
            self.reader.cut("the answer came before the whole request was sent")
        if self.reader.head is None or self.has_verdict():
            self.exchange = None
            self._listener.answered(self, exchange)
        elif self.uses > 1:
            self._break(None)

    def _end(self, error: Exception | None) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.first_byte_at is not None:
            self.reader.end(broken=error is not None)
            self._judge(exchange)
        if self.exchange is not None or exchange is None:
            self._break(error)

    def _break(self, error: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        self.drop()
        if exchange is None:
            self._listener.ended(self)
        else:
            self._listener.broken(self, exchange, error)
