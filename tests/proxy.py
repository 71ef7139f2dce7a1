"""A TCP proxy in front of a server, which does to its connections what a network does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import msgspec

TERMINATE = b"X\x00\x00\x00\x04"
"""The last message of a client of PostgreSQL, which has no answer."""


class Stream(msgspec.Struct):
    """One connection through the proxy. What a *swallowed* one is sent is taken, and nothing comes back."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    swallowed: bool = False
    tried: bool = False
    """Whether it was asked something since it was swallowed."""
    answered: bool = True
    """Whether the server wrote last."""


class Proxy:
    """
    Passes bytes on to the server of *url*, PostgreSQL or Redis.

    Attributes:
        url: that of the server, through the proxy.
        swallows_new: connections made from now on are swallowed, too.
        accepted: connections since the start.
        round_trips: how often a client wrote after its server had written.
        bytes: passed in both directions.
    """

    def __init__(self, url: str) -> None:
        self._server_url = urlsplit(url)
        self._streams: list[Stream] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallows_new = False
        self.accepted = 0
        self.round_trips = 0
        self.bytes = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._server_url.netloc.rpartition("@")
        self.url = urlunsplit(self._server_url._replace(netloc=f"{user}{at}127.0.0.1:{port}", query=""))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lead_to(self, url: str) -> None:
        """Lead connections that are made from now on to another server."""
        self._server_url = urlsplit(url)

    def swallow(self) -> None:
        """Take what the present connections are sent, pass nothing on and close none, as a NAT that forgot them."""
        for stream in self._streams:
            stream.swallowed = True

    @property
    def tried(self) -> int:
        """How many of the swallowed connections were asked something since."""
        return sum(stream.tried for stream in self._streams)

    def cut(self) -> None:
        """End the present connections."""
        for stream in self._streams:
            stream.near.close()
            stream.far.close()
        self._streams.clear()

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        self.accepted += 1
        far_in, far_out = await self._connect()
        stream = Stream(near_out, far_out, self.swallows_new)
        self._streams.append(stream)
        for source, sink, asks in ((near_in, far_out, True), (far_in, near_out, False)):
            task = asyncio.create_task(self._copy(stream, source, sink, asks))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = parse_qs(self._server_url.query).get("host")
        if folder:
            return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.{self._server_url.port or 5432}")
        return await asyncio.open_connection(self._server_url.hostname, self._server_url.port or 5432)

    async def _copy(self, stream: Stream, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asks: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if not stream.swallowed:
                    self.bytes += len(data)
                    self.round_trips += asks and stream.answered
                    stream.answered = not asks
                    sink.write(data)
                elif not data.startswith(TERMINATE):
                    stream.tried = True
        # The end of a swallowed connection does not come through either.
        if not stream.swallowed:
            sink.close()
