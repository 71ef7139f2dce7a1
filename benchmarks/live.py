"""
The live feed: from a message to the last of many sockets, next to a bare loop of ``send``; and what a socket costs.

Server and clients are two processes; the clock is the machine's, so both can read it. ``python -m benchmarks.live
{feed|bare}`` is the server: it prints its port, then publishes for each line it reads.
"""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psutil
from litestar import Litestar

from benchmarks.live_clients import Clients, Reader
from benchmarks.support import PATIENCE_S, Figure, Figures, median, process, quantile, scratch
from monitor.adapters.clock import SystemClock
from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import TokenPolicy, TokenVerifier, issue
from monitor.bootstrap.supervise import Supervisor
from monitor.domain.live import Stream
from monitor.domain.services.live_feed import LiveFeed
from monitor.domain.vocab import Role
from monitor.http.live import Hub, LiveEndpoint, live_route
from monitor.http.live.frames import encode_entry
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.server.server import Server

SIZES = (100, 1000, 5000)
JUDGED = 1000
"""So many sockets and more are held to the limits; fewer show how times grow."""

ROUNDS = 200

PAD = "x" * 420
KEY = "BENCH_LIVE_KEY"
POLICY = TokenPolicy("bench", "bench")
SLOW_S = 30.0
SLOW_TIMES = 10
"""Longer messages, so that even a busy machine sends more than the buffers of the slow one hold."""

SLOW_PER_S = 100.0
SLOW_BYTES_PER_S = 100
FINISH_S = 15.0


async def run() -> list[Figure]:
    figures = Figures("live")
    raise_limit()
    for count in SIZES:
        await _fan_out(figures, count)
    await _beside_a_slow_one(figures, SIZES[0])
    return figures.all


async def _fan_out(figures: Figures, count: int) -> None:
    """Both servers at once, in turns for each message: whatever else the machine does, it does to both."""
    samples: dict[str, list[float]] = {"bare": [], "feed": []}
    async with AsyncExitStack() as stack:
        held = {}
        for kind in samples:
            server = await stack.enter_async_context(_server(kind))
            held[kind] = server, await stack.enter_async_context(server.clients(count))
        for _ in range(ROUNDS):
            for kind, (server, clients) in held.items():
                samples[kind].append(await clients.round(server))
        memory = {kind: server.grown_bytes / count / 1024 for kind, (server, _) in held.items()}
    for name, of in (("p50", median), ("p99", lambda taken: quantile(taken, 0.99))):
        bare, feed = of(samples["bare"]), of(samples["feed"])
        figures.note(f"{count} sockets, last message, bare send loop, {name}", bare * 1000, "ms")
        figures.note(f"{count} sockets, last message, feed, {name}", feed * 1000, "ms")
        ratio = f"{count} sockets, last message, feed to bare, {name}"
        if name == "p99" and count >= JUDGED:
            figures.at_most(1.0, ratio, feed / bare, "×")
        else:
            figures.note(ratio, feed / bare, "×")
    figures.note(f"{count} sockets, memory each, bare send loop", memory["bare"], "KiB")
    if count >= JUDGED:
        figures.at_most(28, f"{count} sockets, memory each, feed", memory["feed"], "KiB")


async def _beside_a_slow_one(figures: Figures, count: int) -> None:
    """One reader at 100 bytes a second beside good ones, at 100 messages a second."""
    async with _server("feed") as server, server.clients(count - 1) as clients:
        alone = [await clients.round(server, times=SLOW_TIMES) for _ in range(ROUNDS)]
        slow = await SlowReader.connect(server)
        server.mark()
        beside = []
        until = time.monotonic() + SLOW_S
        while time.monotonic() < until:
            started = time.monotonic()
            beside.append(await clients.round(server, times=SLOW_TIMES))
            await asyncio.sleep(max(0.0, 1 / SLOW_PER_S - (time.monotonic() - started)))
        grown = server.grown_bytes
        closed = await slow.finish()
    figures.note("last of 999 alone, p99", quantile(alone, 0.99) * 1000, "ms")
    figures.note("last of 999 beside a reader at 100 B/s, p99", quantile(beside, 0.99) * 1000, "ms")
    figures.at_most(1.5, "the same, beside to alone", quantile(beside, 0.99) / quantile(alone, 0.99), "x")
    figures.at_most(16, "memory that such a reader costs", grown / 2**20, "MiB")
    figures.note("close code that it got", closed, "")


# Clients ---------------------------------------------------------------------------------------------------------


class SlowReader:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._rest = b""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, server: ServerProcess) -> SlowReader:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        await loop.sock_sendall(sock, server.request)
        return cls(sock)

    async def _read(self) -> None:
        while True:
            await asyncio.get_running_loop().sock_recv(self._socket, SLOW_BYTES_PER_S)
            await asyncio.sleep(1)

    async def finish(self) -> float:
        """Read the rest at once; return the close code, 0 if there is none."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        tail = b""
        try:
            async with asyncio.timeout(FINISH_S):
                while data := await asyncio.get_running_loop().sock_recv(self._socket, 65_536):
                    tail = (tail + data)[-64:]
        except (TimeoutError, ConnectionError):
            tail += b""
        self._socket.close()
        at = tail.rfind(b"\x03\xf5")
        return 1013.0 if at >= 0 else 0.0


class ServerProcess:
    def __init__(self, child: asyncio.subprocess.Process, port: int, key: str) -> None:
        ring = KeyRing([Key("bench", "HS256", key)])
        token = issue(ring, POLICY, subject="bench", role=Role.VIEWER, ttl_s=3600, now=time.time(), jti="bench")
        self.port = port
        self.request = (
            f"GET /ws/dashboard HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._child = child
        self._process = psutil.Process(child.pid)
        self.mark()

    def mark(self) -> None:
        self._before = self._process.memory_info().rss

    @property
    def grown_bytes(self) -> float:
        return float(self._process.memory_info().rss - self._before)

    def publish(self, times: int) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(b"%d\n" % times)

    @asynccontextmanager
    async def clients(self, count: int) -> AsyncIterator[Clients]:
        clients, loop = Clients(count), asyncio.get_running_loop()
        for start in range(0, count, 200):
            batch = [
                loop.create_connection(lambda: Reader(clients, self.request), "127.0.0.1", self.port)
                for _ in range(min(200, count - start))
            ]
            clients.transports += [transport for transport, _ in await asyncio.gather(*batch)]
        async with asyncio.timeout(PATIENCE_S):
            await clients.all_open.wait()
        # Snapshots are on their way, in both servers at most a moment after the handshake.
        await asyncio.sleep(1)
        try:
            yield clients
        finally:
            clients.closing = True
            for transport in clients.transports:
                transport.abort()


@asynccontextmanager
async def _server(kind: str) -> AsyncIterator[ServerProcess]:
    key = secrets.token_urlsafe(32)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(scratch())
        command = process("-m", "benchmarks.live", kind, env={KEY: key}, log=directory / "log")
        child = await stack.enter_async_context(command)
        assert child.stdout is not None
        yield ServerProcess(child, int(await child.stdout.readline()), key)


def raise_limit() -> None:
    """Let this process open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# Servers ---------------------------------------------------------------------------------------------------------


class Bare:
    """A raw ASGI application: no check of anything, and a loop of ``send``."""

    def __init__(self) -> None:
        self._sends: dict[Any, None] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "{}"})
        self._sends[send] = None
        while (await receive())["type"] != "websocket.disconnect":
            pass
        del self._sends[send]

    async def publish(self, times: int) -> None:
        text = f'{{"type":"alert_new","epoch":"e","seq":1,"data":{{"sent":{time.monotonic()},"pad":"{PAD * times}"}}}}'
        for send in tuple(self._sends):
            await send({"type": "websocket.send", "text": text})


def _feed(key: str) -> tuple[Application, Callable[[int], None]]:
    clock = SystemClock()

    async def snapshot() -> bytes:
        return b"{}"

    def name() -> str:
        return clock.new_id().hex

    ring = KeyRing([Key("bench", "HS256", key)])
    verifier = TokenVerifier(ring, POLICY, is_revoked=lambda _jti: False)
    stream = Stream(name(), encode_entry)
    hub = Hub(
        stream, snapshot, now=time.time, is_revoked=lambda _jti: False, holds_key=ring.holds, max_per_user=100_000
    )
    feed = LiveFeed(None, stream, hub, now=clock.now, new_epoch=name)
    endpoint = LiveEndpoint(hub, verifier, now=time.time, new_id=name)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with Supervisor().running({**hub.loops(), **feed.loops()}):
            yield

    limiter = LocalRateLimiter(per_s=1e6, burst=1_000_000, ticks_s=time.monotonic)
    options = litestar_options(verifier=verifier, now=time.time, limiter=limiter)
    litestar = Litestar([live_route(endpoint)], openapi_config=None, lifespan=[lifespan], **options)
    app = Application(litestar, build_edge(litestar, new_id=name, ticks_s=time.monotonic))
    return app, lambda times: feed.publish("alert_new", {"sent": time.monotonic(), "pad": PAD * times})


async def _serve(kind: str) -> None:
    options: dict[str, Any] = {}
    if kind == "bare":
        bare = Bare()
        app: Any = bare
        publish: Callable[[int], None]
        options = {"ws": "websockets-sansio", "lifespan": "off"}

        def publish_bare(times: int) -> None:
            tasks.add(task := asyncio.create_task(bare.publish(times)))
            task.add_done_callback(tasks.discard)

        publish = publish_bare
    else:
        app, publish = _feed(os.environ[KEY])
    tasks: set[asyncio.Task[None]] = set()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = Server(app, backlog=4096, **options)
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    print(listener.getsockname()[1], flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    loop.add_signal_handler(15, server.stop)
    reading = asyncio.create_task(_read(lines, publish))
    await serving
    reading.cancel()


async def _read(lines: asyncio.StreamReader, publish: Callable[[int], None]) -> None:
    while line := await lines.readline():
        publish(int(line))


if __name__ == "__main__":
    raise_limit()
    import structlog
    import uvloop

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    uvloop.run(_serve(sys.argv[1]))
