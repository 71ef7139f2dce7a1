"""Receivers that speak raw bytes on loopback sockets: what an HTTP library would never let them do."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import SO_LINGER, SOL_SOCKET

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Behaviour = Callable[[Reader, Writer], Awaitable[None]]


class Receiver:
    """A server that speaks raw bytes and remembers what reached it."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []

    def url(self, host: str = "127.0.0.1", *, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook?a=%20b"

    async def read_request(self, reader: Reader) -> bool:
        """Take one whole request; false when the peer has closed."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            self.requests.append(head + await reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return True


@asynccontextmanager
async def receiver(
    behave: Callable[[Receiver], Behaviour], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    this = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        this.connections += 1
        try:
            await behave(this)(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls, limit=1 << 21)
    this.port = server.sockets[0].getsockname()[1]
    try:
        yield this
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answering(*answers: bytes) -> Callable[[Receiver], Behaviour]:
    """Answer each request of a connection with the next of *answers*, the last one for ever."""

    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            count = 0
            while await this.read_request(reader):
                writer.write(answers[min(count, len(answers) - 1)])
                await writer.drain()
                count += 1

        return behave

    return make


def after_request(act: Callable[[Writer], Awaitable[None]]) -> Callable[[Receiver], Behaviour]:
    """Read one request, then do *act*."""

    def make(this: Receiver) -> Behaviour:
        async def behave(reader: Reader, writer: Writer) -> None:
            await this.read_request(reader)
            await act(writer)

        return behave

    return make


async def hang(writer: Writer) -> None:
    await asyncio.get_running_loop().create_future()


async def drip_body(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def drip_head(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def continue_for_ever(writer: Writer) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def reset(writer: Writer) -> None:
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def flood(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()
