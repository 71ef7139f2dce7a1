"""
A load generator for GETs, in a process of its own: ``python -m benchmarks.hammer HOST PORT CONNECTIONS SECONDS``.

Takes heads of requests on standard input and prints one line of JSON. One head is sent again and again for SECONDS;
several are sent once each, whatever SECONDS says, so that no answer can have been remembered. A client of a web
framework would be slower than the servers it is to measure, and would hide what tells them apart.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import cast

import msgspec
import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Hammered(msgspec.Struct, frozen=True):
    """What came of it; latencies in milliseconds."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


class Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete, until there is none."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float], wanted: bytes) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._latencies = latencies
        self._wanted = wanted
        self._data = b""
        self._missing = 0
        self._started = 0.0
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._data += data
            end = self._data.find(HEAD_END)
            if end < 0:
                return
            head = self._data[:end].lower()
            at = head.find(LENGTH)
            length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self.errors += not head.startswith(self._wanted)
            self._missing = length - (len(self._data) - end - len(HEAD_END))
            self._data = b""
        if self._missing <= 0:
            self._latencies.append(time.perf_counter() - self._started)
            self._missing = 0
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.errors += 1
            self.done.set_result(None)

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.done.set_result(None)
            return
        self._started = time.perf_counter()
        self._transport.write(request)


async def hammer(
    host: str, port: int, connections: int, seconds: float, requests: list[bytes], wanted: bytes
) -> Hammered:
    """Keep *connections* busy; an answer that does not begin with *wanted* is an error."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    once = len(requests) > 1
    sent = iter(requests) if once else itertools.repeat(requests[0])
    started = time.perf_counter()
    made = [
        await loop.create_connection(lambda: Connection(sent, latencies, wanted), host, port)
        for _ in range(connections)
    ]
    if once:
        await asyncio.gather(*(protocol.done for _, protocol in made))
    else:
        await asyncio.sleep(seconds * 0.2)
        latencies.clear()
        started = time.perf_counter()
        await asyncio.sleep(seconds)
    elapsed, found = time.perf_counter() - started, sorted(latencies)
    errors = sum(protocol.errors for _, protocol in made)
    for transport, _ in made:
        transport.abort()
    middle, late = (found[int(len(found) * q)] * 1000 if found else 0.0 for q in (0.5, 0.99))
    return Hammered(len(found), errors, elapsed, middle, late)


def main() -> None:
    """Run as told on the command line."""
    host, port, connections, seconds = sys.argv[1:5]
    requests = [head + HEAD_END for head in sys.stdin.buffer.read().split(HEAD_END) if head]
    result = uvloop.run(hammer(host, int(port), int(connections), float(seconds), requests, b"http/1.1 200"))
    print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
