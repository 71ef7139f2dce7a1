"""
``FakeRedis``, a server in memory, and ``FakeCacheServer``, the connection of one process to it.

Nothing here waits for real time. The connection can be cut for commands and for the bus apart, delayed before or after
the server has acted, or made to fail in other ways; the bus can be held, so that a test delivers message by message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from monitor.cache.redis_server import ANSWER_S, TOKEN_TTL_S
from monitor.cache.server import Acked, BusMessage, Fetched, Invalidated, Member, Pong, Released, ServerGone
from tests.fakes.clock import FakeClock


class FakeRedis:
    """The state that the processes share, on the test's clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.up = True
        self.run_id = 0
        self.subscriptions: list[FakeSubscription] = []
        self._kept: dict[str, tuple[bytes, float]] = {}
        self._members: dict[str, float] = {}
        self._last_run_id: int | None = None
        self.replicate()

    def get(self, name: str) -> bytes | None:
        value, until = self._kept.get(name, (b"", 0.0))
        return value if until > self.clock.monotonic() else None

    def put(self, name: str, value: bytes, ttl_s: float) -> None:
        self._kept[name] = (value, self.clock.monotonic() + ttl_s)

    def add(self, name: str, value: bytes, ttl_s: float) -> bool:
        """``SET NX``."""
        if self.get(name) is not None:
            return False
        self.put(name, value, ttl_s)
        return True

    def remove(self, name: str) -> None:
        self._kept.pop(name, None)

    def names(self, kind: str) -> set[str]:
        """Return the names of a *kind*: ``v`` values, ``t`` tokens, ``l`` locks."""
        return {name[2:] for name in self._kept if name.startswith(f"{kind}:") and self.get(name) is not None}

    def count_unknown(self, lease_s: float) -> None:
        """Count an unnamed member if the list of members was lost."""
        self._members.setdefault("?", self.clock.monotonic() + lease_s)

    def renew(self, member: str, lease_s: float) -> None:
        self.count_unknown(lease_s)
        self._members[member] = self.clock.monotonic() + lease_s

    def leave(self, member: str) -> None:
        self._members.pop(member, None)

    def members(self) -> list[Member]:
        now = self.clock.monotonic()
        return [Member(name, until - now) for name, until in self._members.items() if until > now]

    def publish(self, message: BusMessage, member: str | None = None) -> None:
        for subscription in self.subscriptions:
            if member in (None, subscription.member):
                subscription.add(message)

    def has_changed(self) -> bool:
        """Return whether this is another server than at the last call."""
        changed, self._last_run_id = self._last_run_id != self.run_id, self.run_id
        if changed:
            self._members.clear()
        return changed

    def replicate(self) -> None:
        """Copy everything to the replica, which :meth:`fail_over` promotes."""
        self._replica = dict(self._kept), dict(self._members), self._last_run_id

    def fail_over(self) -> None:
        """Be killed and succeeded by the replica, which lacks what has happened since :meth:`replicate`."""
        self.stop()
        kept, members, self._last_run_id = self._replica
        self._kept, self._members = dict(kept), dict(members)
        self.start(restored=True)

    def flush(self) -> None:
        """``FLUSHALL``."""
        self._kept.clear()
        self._members.clear()
        self._last_run_id = None

    def stop(self) -> None:
        """Be killed: connections break."""
        self.up = False
        for subscription in self.subscriptions:
            subscription.break_()

    def start(self, *, restored: bool = False) -> None:
        """Come back, empty, or as *restored* from a file of the past."""
        self.up = True
        self.run_id += 1
        if not restored:
            self.flush()


class FakeSubscription:
    """See :class:`monitor.cache.server.BusSubscription`."""

    def __init__(self, member: str, *, held: bool) -> None:
        self.member = member
        self.held = held
        self.broken = False
        self.queue: deque[BusMessage | Pong] = deque()
        self._changed = asyncio.Event()
        self._allowed = 0

    def add(self, message: BusMessage | Pong) -> None:
        self.queue.append(message)
        self._changed.set()

    def deliver(self, count: int = 1) -> None:
        """Let *count* more through although held."""
        self._allowed += count
        self._changed.set()

    def hold(self, *, held: bool) -> None:
        self.held = held
        self._allowed = 0
        self._changed.set()

    def break_(self) -> None:
        self.broken = True
        self._changed.set()

    async def ping(self, payload: bytes) -> None:
        if self.broken:
            raise ServerGone("broken")
        self.add(Pong(payload))

    async def receive(self) -> BusMessage | Pong:
        while not (self.queue and (not self.held or self._allowed)):
            if self.broken:
                raise ServerGone("broken")
            self._changed.clear()
            await self._changed.wait()
        if self.held:
            self._allowed -= 1
        return self.queue.popleft()


class FakeCacheServer:
    """See :class:`monitor.cache.server.CacheServer`."""

    def __init__(self, redis: FakeRedis) -> None:
        self.redis = redis
        self.run_id: int | None = None
        """The run of the server that this process has reset, or found reset; commands get through to no other."""
        self.cut = False
        """No command gets through, and no new subscription."""
        self.bus_held = False
        self.before: dict[str, asyncio.Event] = {}
        """By operation: its requests wait for this before they arrive."""
        self.after: dict[str, asyncio.Event] = {}
        """By operation: its answers wait for this before they arrive."""
        self.errors: dict[str, Exception] = {}
        """By operation: what it raises, against the rules of the port."""
        self.subscription: FakeSubscription | None = None

    def cut_bus(self) -> None:
        """Break the connection that brings the messages."""
        if self.subscription is not None:
            self.subscription.break_()

    def hold_bus(self, *, held: bool) -> None:
        self.bus_held = held
        if self.subscription is not None:
            self.subscription.hold(held=held)

    async def close(self) -> None:
        self.cut_bus()

    async def fetch(self, key: str, tags: Sequence[str]) -> Fetched:
        async with self._call("fetch"):
            return self._fetched(key, tags)

    async def mint(self, tokens: Mapping[str, bytes]) -> list[bytes]:
        async with self._call("mint"):
            for tag, token in tokens.items():
                self.redis.add(f"t:{tag}", token, TOKEN_TTL_S)
            held = [self.redis.get(f"t:{tag}") for tag in tokens]
            return [token for token in held if token is not None]

    async def store(self, key: str, value: bytes, ttl_s: float) -> None:
        async with self._call("store"):
            self.redis.put(f"v:{key}", value, ttl_s)

    async def delete(self, key: str, message: Invalidated) -> None:
        async with self._call("delete"):
            self.redis.remove(f"v:{key}")
            self.redis.publish(message)

    async def lock(self, key: str, holder: str, lease_s: float, tags: Sequence[str]) -> Fetched | None:
        async with self._call("lock"):
            return self._fetched(key, tags) if self.redis.add(f"l:{key}", holder.encode(), lease_s) else None

    async def unlock(self, key: str, holder: str) -> None:
        async with self._call("unlock"):
            if self.redis.get(f"l:{key}") == holder.encode():
                self.redis.remove(f"l:{key}")
                self.redis.publish(Released(key))

    async def invalidate(self, tokens: Mapping[str, bytes], message: Invalidated, lease_s: float) -> list[Member]:
        async with self._call("invalidate"):
            self.redis.count_unknown(lease_s)
            for tag, token in tokens.items():
                self.redis.put(f"t:{tag}", token, TOKEN_TTL_S)
            self.redis.publish(message)
            return self.redis.members()

    async def renew(self, member: str, lease_s: float) -> None:
        async with self._call("renew"):
            self.redis.renew(member, lease_s)

    async def leave(self, member: str) -> None:
        async with self._call("leave"):
            self.redis.leave(member)

    async def ack(self, sender: str, message: Acked) -> None:
        async with self._call("ack"):
            self.redis.publish(message, sender)

    async def reset_if_server_changed(self, root_token: bytes, message: Invalidated) -> bool:
        async with self._call("reset_if_server_changed"):
            changed = self.redis.has_changed()
            self.run_id = self.redis.run_id
            if changed:
                for tag in message.tags:
                    self.redis.put(f"t:{tag}", root_token, TOKEN_TTL_S)
                self.redis.publish(message)
            return changed

    async def claim(self, name: str, ttl_s: float) -> bool:
        async with self._call("claim"):
            return self.redis.add(name, b"1", ttl_s)

    @asynccontextmanager
    async def subscribe(self, member: str) -> AsyncIterator[FakeSubscription]:
        async with self._call("subscribe"):
            subscription = self.subscription = FakeSubscription(member, held=self.bus_held)
            self.redis.subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self.redis.subscriptions.remove(subscription)

    def _fetched(self, key: str, tags: Sequence[str]) -> Fetched:
        return self.redis.get(f"v:{key}"), [self.redis.get(f"t:{tag}") for tag in tags]

    @asynccontextmanager
    async def _call(self, operation: str) -> AsyncIterator[None]:
        """The block is what the server does, at once; request and answer take a turn of the loop each, at least."""
        await self._travel(self.before.get(operation))
        self._check()
        if operation not in {"reset_if_server_changed", "subscribe"} and self.run_id != self.redis.run_id:
            raise ServerGone("another server")
        if operation in self.errors:
            raise self.errors[operation]
        yield
        await self._travel(self.after.get(operation))
        self._check()

    async def _travel(self, gate: asyncio.Event | None) -> None:
        await asyncio.sleep(0)
        if gate is not None:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await gate.wait()
            except TimeoutError as error:
                raise ServerGone("no answer in time") from error

    def _check(self) -> None:
        if self.cut or not self.redis.up:
            raise ServerGone("cut off")
