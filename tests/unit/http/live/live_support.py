"""The live feed behind wires that remember, on a clock that stands until it is moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from monitor.auth.tokens import TokenVerifier
from monitor.domain.live import Message, Session, SocketGrant, Stream
from monitor.domain.live.stream import RING_MESSAGES
from monitor.domain.services.live_feed import LiveFeed
from monitor.domain.vocab import Role
from monitor.http.live import Hub, LiveEndpoint
from monitor.http.live.frame_transport import EXTENSION
from monitor.http.live.frames import encode_entry, text_of
from monitor.http.live.socket import Socket
from tests.unit.http.support import NOW
from tests.waiting import until

ORIGIN = "https://dash.example.com"
OWN = "monitor.test"


class FakeFrameTransport:
    """Remembers what was written; congested when the test says so."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ended: tuple[int, str] | None = None
        self.congested = False
        self.on_drained: Callable[[], None] = lambda: None

    def write(self, message: Message) -> None:
        assert self.ended is None
        self.messages.append(message)

    def end(self, code: int, reason: str) -> None:
        assert self.ended is None
        assert len(reason.encode()) <= 123
        self.ended = (code, reason)

    def drain(self) -> None:
        self.congested = False
        self.on_drained()

    @property
    def written(self) -> list[dict[str, Any]]:
        return [json.loads(text_of(message)) for message in self.messages]

    @property
    def seen(self) -> list[tuple[str, int]]:
        return [(message.kind.value, message.seq) for message in self.messages]


class World:
    """One process: a feed, a hub, and the state that snapshots show."""

    def __init__(self, *, max_per_user: int = 5, capacity: int = RING_MESSAGES) -> None:
        self.now = NOW
        self.state: Any = {}
        self.failure: Exception | None = None
        self.revoked: set[str] = set()
        self.removed_keys: set[str] = set()
        self.reading: Callable[[], None] = lambda: None
        self._epochs = 0
        self.stream = Stream(self._epoch(), encode_entry, capacity=capacity)
        self.hub = Hub(
            self.stream,
            self._snapshot,
            now=lambda: self.now,
            is_revoked=self.revoked.__contains__,
            holds_key=lambda key_id: key_id not in self.removed_keys,
            max_per_user=max_per_user,
            sleep=self._sleep,
        )
        self.feed = LiveFeed(
            None,
            self.stream,
            self.hub,
            now=lambda: datetime.fromtimestamp(self.now, UTC),
            new_epoch=self._epoch,
        )

    def open(
        self, subject: str = "ada", *, expires_in_s: float = 300, key_id: str = "key"
    ) -> tuple[Socket, FakeFrameTransport]:
        """Enter a socket that has yet to be begun."""
        transport = FakeFrameTransport()
        grant = SocketGrant(subject, Role.VIEWER, f"jti-{subject}", self.now + expires_in_s, key_id)
        self.hub.reserve(grant)
        socket = Socket(transport, Session(grant), self.now)
        self.hub.add(socket)
        return socket, transport

    async def watch(self, subject: str = "ada", **options: Any) -> tuple[Socket, FakeFrameTransport]:
        """Enter a socket and give it its snapshot."""
        socket, transport = self.open(subject, **options)
        self.hub.begin(socket, None)
        await self.hub.send_snapshots()
        return socket, transport

    async def tell(self, *data: Any, kind: str = "alert_new", webhook_id: Any = None) -> None:
        """Publish and deliver."""
        for datum in data:
            self.feed.publish(kind, datum, webhook_id)
        async with running(self.feed.loops()):
            while self.feed.waiting:
                await asyncio.sleep(0)

    async def _snapshot(self) -> bytes:
        self.reading()
        await asyncio.sleep(0)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return json.dumps(self.state).encode()

    def _epoch(self) -> str:
        self._epochs += 1
        return f"epoch-{self._epochs}"

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def running(loops: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run background tasks for the length of the block, each started again after an error."""

    async def restarted(loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            with suppress(RuntimeError):
                await loop()

    tasks = [asyncio.create_task(restarted(loop)) for loop in loops.values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Client:
    """One connection to an ASGI application, as a server would hold it."""

    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        self._app = app
        self.scope = scope
        self.sent: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})

    async def run(self) -> None:
        await self._app(self.scope, self._incoming.get, self._send)

    def say(self, payload: Any) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        """101 once accepted, else that of the refusal."""
        for message in self.sent:
            if message["type"] == "websocket.accept":
                return 101
            if message["type"] == "websocket.http.response.start":
                status: int = message["status"]
                return status
        return None

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]


def handshake(
    token: str | None = None,
    *,
    offers: tuple[str, ...] = (),
    origin: str | None = None,
    query: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    transport: FakeFrameTransport | None = None,
) -> dict[str, Any]:
    """Return the ASGI scope of a handshake; with *transport* that of our own server."""
    sent = [(b"host", OWN.encode()), *headers]
    if token is not None:
        sent.append((b"authorization", f"Bearer {token}".encode()))
    if origin is not None:
        sent.append((b"origin", origin.encode()))
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    if transport is not None:
        extensions[EXTENSION] = transport
    return {
        "type": "websocket",
        "scheme": "wss",
        "path": "/ws/dashboard",
        "query_string": query.encode(),
        "headers": sent,
        "subprotocols": list(offers),
        "extensions": extensions,
    }


def endpoint_of(world: World, verifier: TokenVerifier, **options: Any) -> LiveEndpoint:
    return LiveEndpoint(
        world.hub, verifier, now=lambda: world.now, new_id=lambda: "made", allowed_origins=[ORIGIN], **options
    )


@asynccontextmanager
async def connected(endpoint: LiveEndpoint, scope: dict[str, Any]) -> AsyncIterator[Client]:
    """A client whose connection is served for the length of the block."""
    client = Client(endpoint, scope)
    serving = asyncio.create_task(client.run())
    await until(lambda: client.status is not None)
    try:
        yield client
    finally:
        client.leave()
        await serving
