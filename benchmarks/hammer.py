"""
A load generator for one GET, in a process of its own: ``python -m benchmarks.hammer HOST PORT CONNECTIONS SECONDS``.

Takes the request's head on standard input and prints one line of JSON. A client of a web framework would be slower
than the servers it is to measure, and would hide what tells them apart.
"""

from __future__ import annotations

import asyncio
import sys
import time
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
    """Sends the request again as soon as its answer is complete."""

    def __init__(self, request: bytes, latencies: list[float], wanted: bytes) -> None:
        self._request = request
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

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)


async def hammer(host: str, port: int, connections: int, seconds: float, request: bytes, wanted: bytes) -> Hammered:
    """Keep *connections* busy for *seconds*; an answer that does not begin with *wanted* is an error."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    made = [
        await loop.create_connection(lambda: Connection(request, latencies, wanted), host, port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds * 0.2)
    latencies.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, found = time.perf_counter() - started, sorted(latencies)
    for transport, _ in made:
        transport.abort()
    errors = sum(protocol.errors for _, protocol in made)
    middle, late = (found[int(len(found) * q)] * 1000 if found else 0.0 for q in (0.5, 0.99))
    return Hammered(len(found), errors, elapsed, middle, late)


def main() -> None:
    """Run as told on the command line."""
    host, port, connections, seconds = sys.argv[1:5]
    request = sys.stdin.buffer.read()
    result = uvloop.run(hammer(host, int(port), int(connections), float(seconds), request, b"http/1.1 200"))
    print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
