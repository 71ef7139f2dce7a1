"""Many clients of a live feed in one process, light enough that the server is what a round waits for."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from benchmarks.support import PATIENCE_S

MARK = b'"sent":'
PING, PONG, LONG = 0x89, 0x8A, 126


class Publishing(Protocol):
    """A server that sends a message to all its sockets."""

    def publish(self, times: int) -> None: ...


class Reader(asyncio.Protocol):
    """One client: parses frames, finds the mark in messages and answers pings, without which a server closes it."""

    def __init__(self, clients: Clients, request: bytes) -> None:
        self._clients = clients
        self._request = request
        self._open = False
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = data
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(head.decode())
            self._open, data = True, rest
            self._clients.opened()
        self._rest = data[self._take(data) :]

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.lost()

    def _take(self, data: bytes) -> int:
        """Take the complete frames at the begin of *data*; return where they end. Servers mask nothing."""
        at = 0
        while len(data) - at >= 2:
            length, begin = data[at + 1], at + 2
            if length >= LONG:
                begin += 2 if length == LONG else 8
                if len(data) < begin:
                    break
                length = int.from_bytes(data[at + 2 : begin])
            end = begin + length
            if len(data) < end:
                break
            if data[at] == PING:
                # A mask of zeros leaves the payload as it is.
                self._transport.write(bytes((PONG, 0x80 | length, 0, 0, 0, 0)) + data[begin:end])
            elif (mark := data.rfind(MARK, begin, end)) >= 0:
                begin = mark + len(MARK)
                self._clients.arrived(float(data[begin : data.index(b",", begin)]))
            at = end
        return at


class Clients:
    """Many clients, which know when the last of them has the newest message."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.transports: list[asyncio.Transport] = []
        self._open = 0
        self._got = 0
        self._sent = 0.0
        self._last: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.all_open = asyncio.Event()
        self.closing = False

    def opened(self) -> None:
        self._open += 1
        if self._open == self.count:
            self.all_open.set()

    def lost(self) -> None:
        if not self.closing and not self._last.done():
            self._last.set_exception(ConnectionError("the server closed a socket that takes what it sends"))

    def arrived(self, sent: float) -> None:
        if sent > self._sent:
            self._sent, self._got = sent, 0
        self._got += 1
        if self._got == self.count and not self._last.done():
            self._last.set_result(time.monotonic() - sent)

    async def round(self, server: Publishing, *, times: int = 1) -> float:
        """Publish a message, *times* as long as usual; return the seconds until the last client had it."""
        self._last = asyncio.get_running_loop().create_future()
        server.publish(times)
        async with asyncio.timeout(PATIENCE_S):
            return await self._last
