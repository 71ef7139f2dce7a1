"""The live feed behind a real server, without a database: sockets, tokens, and a feed to speak through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from monitor.adapters.clock import SystemClock
from monitor.adapters.redis.feed_log import RedisFeedLog
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
from tests import servers
from tests.integration.support import JWT_KEY, Api, eventually

Opening = connect
ORIGIN = "https://dash.example.com"
POLICY = TokenPolicy("monitor", "monitor")
CLOCK = SystemClock()


def name() -> str:
    return CLOCK.token_bytes(8).hex()


def feed_log(redis_url: str, prefix: str, producer: str | None = None) -> RedisFeedLog:
    """Return a log under *prefix*."""
    return RedisFeedLog(redis_url, producer=producer or name(), new_epoch=name, now=CLOCK.now, prefix=f"{{{prefix}}}:")


@dataclass
class LiveServer:
    """One process's worth of sockets."""

    hub: Hub
    feed: LiveFeed
    server: Server
    ring: KeyRing
    revoked: set[str]
    state: dict[str, Any]
    port: int

    def token(self, subject: str = "ada", *, role: Role = Role.VIEWER, ttl_s: float = 300, jti: str = "") -> str:
        return issue(self.ring, POLICY, subject=subject, role=role, ttl_s=ttl_s, now=time.time(), jti=jti or name())

    def connect(self, token: str | None = None, *, query: str = "", **options: Any) -> Opening:
        """Open a socket with the token in the header; ``token=""`` sends none."""
        token = self.token() if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        options.setdefault("additional_headers", headers)
        options.setdefault("compression", None)
        return connect(f"ws://127.0.0.1:{self.port}/ws/dashboard{query}", proxy=None, **options)

    def browse(self, *offers: str, origin: str = ORIGIN, **options: Any) -> Opening:
        """Open a socket as a browser does."""
        return self.connect("", subprotocols=[Subprotocol(offer) for offer in offers], origin=origin, **options)


@asynccontextmanager
async def live_server(
    redis_url: str | None = None, *, max_per_user: int = 5, prefix: str = ""
) -> AsyncIterator[LiveServer]:
    state: dict[str, Any] = {"told": 0}

    async def snapshot() -> bytes:
        return json.dumps(state).encode()

    log = None if redis_url is None else feed_log(redis_url, prefix)
    stream = Stream(name(), encode_entry)
    ring, revoked = KeyRing([Key("test", "HS256", JWT_KEY)]), set[str]()
    verifier = TokenVerifier(ring, POLICY, is_revoked=revoked.__contains__)
    hub = Hub(
        stream,
        snapshot,
        now=time.time,
        is_revoked=revoked.__contains__,
        holds_key=ring.holds,
        max_per_user=max_per_user,
    )
    feed = LiveFeed(log, stream, hub, now=CLOCK.now, new_epoch=name)
    endpoint = LiveEndpoint(hub, verifier, now=time.time, new_id=name, allowed_origins=[ORIGIN])

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with Supervisor().running({**hub.loops(), **feed.loops()}):
            yield

    limiter = LocalRateLimiter(per_s=1e6, burst=1_000_000, ticks_s=time.monotonic)
    litestar = Litestar(
        [live_route(endpoint)],
        openapi_config=None,
        lifespan=[lifespan],
        **litestar_options(verifier=verifier, now=time.time, limiter=limiter),
    )
    app = Application(litestar, build_edge(litestar, new_id=name, ticks_s=time.monotonic))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = Server(app, hub.drain)
    serving = asyncio.create_task(server.serve([listener]))
    await eventually(lambda: server.started)
    try:
        yield LiveServer(hub, feed, server, ring, revoked, state, listener.getsockname()[1])
    finally:
        server.stop()
        await serving
        if log is not None:
            await log.__aexit__()


@dataclass
class Viewer:
    """A client as the documentation tells one to be: keeps what it saw, and its position."""

    frames: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    async def watch(self, socket: ClientConnection) -> None:
        """Read until the socket is closed."""
        try:
            async for text in socket:
                self.frames.append(json.loads(text))
        except ConnectionClosed:
            pass
        assert socket.close_code is not None
        self.closed = (socket.close_code, socket.close_reason or "")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def query(self) -> str:
        return f"?epoch={self.frames[-1]['epoch']}&seq={self.frames[-1]['seq']}"


@asynccontextmanager
async def watching(opening: Opening) -> AsyncIterator[tuple[Viewer, ClientConnection]]:
    """A viewer that reads along for the length of the block."""
    viewer = Viewer()
    async with opening as socket:
        reading = asyncio.create_task(viewer.watch(socket))
        try:
            yield viewer, socket
        finally:
            await socket.close()
            await reading


async def flood_a_slow_reader(live: LiveServer) -> tuple[int, str, list[int]]:
    """Publish until a socket that does not read is closed; return its close, and what a viewer got of each message."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", live.port))
    small.setblocking(False)
    async with (
        watching(live.connect(live.token("bob"))) as (viewer, _),
        live.connect(sock=small, max_queue=1, ping_interval=None) as slow,
    ):
        await eventually(lambda: viewer.frames)
        count = 0
        while live.hub.count == 2 and count < 10_000:
            for _ in range(20):
                count += 1
                live.feed.publish("alert_new", {"i": count, "pad": "x" * 4000})
            await eventually(lambda: viewer.frames[-1]["seq"] == live.feed.stream.seq == count)  # noqa: B023
        code, reason = await close_of(slow)
        return code, reason, [frame["data"]["i"] for frame in viewer.of("alert_new")]


@contextmanager
def redis_on(port: int) -> Iterator[None]:
    """Run a Redis that keeps nothing on a port that was chosen before."""
    command = [servers.redis_executable(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def socket_of(api: Api, token: str) -> Opening:
    """Open a socket to the whole product, as ``served`` runs it."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"ws://{api.client.base_url.netloc.decode()}/ws/dashboard"
    return connect(url, additional_headers=headers, compression=None, proxy=None)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        frame: dict[str, Any] = json.loads(await socket.recv())
    return frame


async def close_of(socket: ClientConnection) -> tuple[int, str]:
    """Read to the end; return code and reason."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""
