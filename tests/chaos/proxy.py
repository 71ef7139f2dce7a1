"""A TCP proxy before a server: it delays, garbles, swallows and cuts, all connections or one inside a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Connect = Callable[[], Awaitable[tuple[Reader, Writer]]]

DELAY_S = 0.3
GONE_S = 20.0
"""Longer than either end waits for the other."""

IN_TRANSACTION = b"Z\x00\x00\x00\x05T"
"""The end of what PostgreSQL answers inside a transaction: ReadyForQuery with its status."""

NONSENSE = (
    b":42\r\n",
    b"*0\r\n",
    b"+OK\r\n",
    b"\x00\xff\xfe garbage \r\n",
    b"-ERR what\r\n",
    b"$-1\r\n",
    b"%1\r\n+a\r\n",
)


class Link:
    """One connection through the proxy. A swallowed one stays open and carries nothing more."""

    def __init__(self, client: Writer, server: Writer) -> None:
        self.ends = (client, server)
        self.swallowed = False
        self.in_transaction = False

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """``mode`` is ``pass``, ``delay``, ``garble`` (what the server answers) or ``swallow``, for all that passes now."""

    def __init__(self, connect: Connect) -> None:
        self.mode = "pass"
        self.port = 0
        self.links: set[Link] = set()
        self._connect = connect
        self._garbled = 0

    def cut(self) -> int:
        """Abort every connection; return how many there were."""
        links = [*self.links]
        for link in links:
            link.cut()
        return len(links)

    async def take_transaction(self, within_s: float) -> Link | None:
        """Return a connection that is inside a transaction right now, if there is one in time."""
        for _ in range(int(within_s / 0.001)):
            for link in self.links:
                if link.in_transaction and not link.swallowed:
                    return link
            await asyncio.sleep(0.001)
        return None

    async def handle(self, reader: Reader, writer: Writer) -> None:
        try:
            there, back = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, back)
        self.links.add(link)
        pumps = [
            asyncio.create_task(self._pump(link, reader, back, answers=False)),
            asyncio.create_task(self._pump(link, there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if link.swallowed:
                # Neither end of a connection whose host vanished learns of the other's end.
                await asyncio.wait(pumps, timeout=GONE_S)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            link.cut()
            self.links.discard(link)

    async def _pump(self, link: Link, source: Reader, target: Writer, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                link.in_transaction = answers and data.endswith(IN_TRANSACTION)
                if self.mode == "swallow":
                    link.swallowed = True
                elif self.mode == "delay":
                    await asyncio.sleep(DELAY_S)
                elif self.mode == "garble" and answers:
                    self._garbled += 1
                    data = NONSENSE[self._garbled % len(NONSENSE)]
                if not link.swallowed:
                    target.write(data)
                    await target.drain()


@asynccontextmanager
async def proxy(connect: Connect) -> AsyncIterator[Proxy]:
    made = Proxy(connect)
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.cut()
        await server.wait_closed()
