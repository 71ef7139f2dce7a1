"""
Receivers on loopback in a process of their own, fast enough never to be the limit.

``python -m benchmarks.receivers N MANNER`` listens on N ports and prints them. Every line on standard input is answered
by a line of JSON: ``count`` by the numbers so far, ``arrivals`` by the first arrival of each message. Ends with its
input.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from benchmarks.support import PATIENCE_S, process

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_ID = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]+)")
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_INTERIM = b"HTTP/1.1 100 C\r\n\r\n" * 550_000
_STALLED = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx"
SLOW_S = 2.0

Answer = Callable[[asyncio.Transport], None]


def late(transport: asyncio.Transport) -> None:
    asyncio.get_running_loop().call_later(SLOW_S, transport.write, _ANSWER)


MANNERS: dict[str, Answer] = {
    "at-once": lambda transport: transport.write(_ANSWER),
    "late": late,
    "interim-flood": lambda transport: transport.write(_INTERIM),
    "stalled-body": lambda transport: transport.write(_STALLED),
}
"""How a request is answered: by 200, by 200 after two seconds, by 10 MB of 1xx, by a body that never ends."""


class Count(msgspec.Struct, frozen=True):
    """``first_ns`` and ``last_ns`` are readings of the machine's monotonic clock."""

    requests: int
    messages: int
    first_ns: int
    last_ns: int


class Tally:
    """What all ports received."""

    def __init__(self) -> None:
        self.requests = 0
        self.arrivals: dict[str, int] = {}
        self.last_ns = 0

    def count(self) -> Count:
        return Count(self.requests, len(self.arrivals), min(self.arrivals.values(), default=0), self.last_ns)


class Receiver(asyncio.Protocol):
    """Reads just enough of HTTP/1.1 to find where a request ends, and has it answered."""

    def __init__(self, tally: Tally, answer: Answer) -> None:
        self._tally = tally
        self._answer = answer
        self._buffer = b""
        self._since_ns = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._since_ns = time.monotonic_ns()
        self._buffer += data
        while (end := self._end_of_request()) is not None:
            self._note(self._buffer[:end])
            self._buffer = self._buffer[end:]
            self._answer(self._transport)

    def _end_of_request(self) -> int | None:
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return None
        length = _LENGTH.search(self._buffer, 0, head)
        end = head + 4 + (int(length[1]) if length else 0)
        return end if len(self._buffer) >= end else None

    def _note(self, request: bytes) -> None:
        self._tally.requests += 1
        self._tally.last_ns = self._since_ns
        if (found := _ID.search(request)) is not None:
            self._tally.arrivals.setdefault(found[1].decode(), self._since_ns)


class Receivers:
    """The process, seen from the benchmark."""

    def __init__(self, child: asyncio.subprocess.Process, ports: list[int]) -> None:
        self._child = child
        self.pid = child.pid
        self.urls = [f"http://127.0.0.1:{port}/hook" for port in ports]

    async def count(self) -> Count:
        return msgspec.json.decode(await self._ask(b"count\n"), type=Count)

    async def arrivals(self) -> dict[str, int]:
        return msgspec.json.decode(await self._ask(b"arrivals\n"), type=dict[str, int])

    async def forget(self) -> None:
        """Start counting from zero."""
        await self._ask(b"forget\n")

    async def until(self, messages: int, *, every_s: float = 0.02) -> Count:
        """Wait for so many messages. Raises ``TimeoutError``."""
        async with asyncio.timeout(PATIENCE_S):
            while (count := await self.count()).messages < messages:
                await asyncio.sleep(every_s)
        return count

    async def _ask(self, line: bytes) -> bytes:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line)
        return await self._child.stdout.readline()


@asynccontextmanager
async def receivers(ports: int, log: Path, manner: str = "at-once") -> AsyncIterator[Receivers]:
    """Start receivers on so many ports, which answer as :data:`MANNERS` says."""
    async with process("-m", "benchmarks.receivers", str(ports), manner, env={}, log=log) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield Receivers(child, msgspec.json.decode(await child.stdout.readline(), type=list[int]))
        child.stdin.close()
        await child.wait()


async def _serve(ports: int, answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    tally = Tally()
    servers = [
        await loop.create_server(lambda: Receiver(tally, answer), "127.0.0.1", 0, backlog=1024) for _ in range(ports)
    ]
    _print([server.sockets[0].getsockname()[1] for server in servers])
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).strip():
        if command == b"forget":
            tally.requests = 0
            tally.arrivals.clear()
        _print(tally.arrivals if command == b"arrivals" else tally.count())


def _print(value: object) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), MANNERS[sys.argv[2]]))
