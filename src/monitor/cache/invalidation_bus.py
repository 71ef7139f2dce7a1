"""
What the processes tell each other, and the proof that this one hears it.

Memory may be served from only under trust, which a process earns by rounds: *renew the membership, then ping on the
connection that brings the messages*. Once the answer is here, so is everything that was said before the ping, and until
``lease_s`` after the round began this process counts as a live member. A writer that has replaced the tokens
therefore needs to wait only for the members it then sees: each of them heeds the message, or loses its trust.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from monitor.cache.config import CacheConfig
from monitor.cache.connection_gate import ConnectionGate
from monitor.cache.server import (
    ROOT,
    TOKEN_BYTES,
    Acked,
    BusMessage,
    BusSubscription,
    CacheServer,
    Invalidated,
    Member,
    Pong,
    Released,
    ServerGone,
)
from monitor.cache.waiters import Waiters
from monitor.domain.ports.clock import Clock

RETRY_S = 0.02
NEVER = -math.inf

log = structlog.get_logger(__name__)

ApplyInvalidation = Callable[[Iterable[str], Iterable[str]], None]
"""Carries out a drop of tags and of keys in this process, without waiting."""


class InvalidationBus:
    """Runs from ``start`` to ``stop``; whatever fails in between costs trust, never an error."""

    def __init__(
        self,
        server: CacheServer,
        link: ConnectionGate,
        wakes: Waiters,
        clock: Clock,
        config: CacheConfig,
        heed: ApplyInvalidation,
    ) -> None:
        self.trusted_until = NEVER
        """Memory may be served from before this, on the monotonic clock."""
        self._server = server
        self._gate = link
        self._waiters = wakes
        self._clock = clock
        self._config = config
        self._apply = heed
        self._member = clock.token_bytes(TOKEN_BYTES).hex()
        self._last_id = 0
        self._pending: dict[str, int] = {}
        """Tags whose drop the server has not taken, each with the number of the drop that failed last."""
        self._ack_collectors: dict[int, _AckCollector] = {}
        self._last_pong_at = NEVER
        self._lost = False
        self._tried = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._acks: set[asyncio.Task[None]] = set()

    @property
    def pending_invalidations(self) -> int:
        return len(self._pending)

    def has_pending(self, tags: Iterable[str]) -> bool:
        """Whether the server has yet to hear that one of *tags* was dropped."""
        return bool(self._pending) and not self._pending.keys().isdisjoint(tags)

    async def start(self) -> None:
        """Return once trusted, or once it is known that the server is not there."""
        self._running = asyncio.create_task(self.run())
        await self._tried.wait()

    async def stop(self) -> None:
        """Leave, so that no writer waits for this process."""
        self.trusted_until = NEVER
        tasks = [task for task in (self._running, *self._acks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(ServerGone):
            await self._server.leave(self._member)

    def message(self, *, tags: Iterable[str] = (), keys: Iterable[str] = (), answer: bool = False) -> Invalidated:
        """Return a message of ours, with a number of its own."""
        self._last_id += 1
        return Invalidated(self._last_id, self._member, tuple(tags), tuple(keys), answer)

    async def invalidate(self, tags: frozenset[str], *, acknowledged: bool) -> bool:
        """
        Drop *tags* for all: at the server first, then here.

        Returns:
            Whether the server has taken it. If not, it is owed: sent before this process is trusted again. With
            *settled*, that by now no live process can answer with an older value.
        """
        message = self.message(tags=tags, answer=acknowledged)
        settlement = self._ack_collectors[message.id] = _AckCollector(self._clock.monotonic)
        taken = False
        try:
            members = await self._publish(message)
            taken = True
        except ServerGone:
            return False
        finally:
            # Also when the caller was cancelled: the change it speaks of is committed.
            if not taken:
                self._add_pending(message)
            self._apply(tags, ())
            if not (taken and acknowledged):
                del self._ack_collectors[message.id]
        if acknowledged:
            try:
                await settlement.wait(member for member in members if member.name != self._member)
            finally:
                del self._ack_collectors[message.id]
        return True

    async def _publish(self, message: Invalidated) -> list[Member]:
        """Unlike reads, try for a while, and also while the way is shut. Raises ``ServerGone``."""
        give_up_at = self._clock.monotonic() + (self._config.invalidate_timeout_s if self._gate.is_open else 0)
        while True:
            try:
                return await self._server.invalidate(self._fresh_tokens(message.tags), message, self._config.lease_s)
            except ServerGone:
                self._gate.close()
                if self._clock.monotonic() >= give_up_at:
                    raise
            await asyncio.sleep(RETRY_S)

    def _fresh_tokens(self, tags: Iterable[str]) -> dict[str, bytes]:
        return {tag: self._clock.token_bytes(TOKEN_BYTES) for tag in tags}

    def _add_pending(self, message: Invalidated) -> None:
        self.trusted_until = NEVER
        self._pending.update(dict.fromkeys(message.tags, message.id))

    async def _send_pending(self) -> None:
        while self._pending:
            owed = dict(self._pending)
            await self._server.invalidate(self._fresh_tokens(owed), self.message(tags=owed), self._config.lease_s)
            for tag, number in owed.items():
                # One that failed again in the meantime may speak of a later change.
                if self._pending[tag] == number:
                    del self._pending[tag]

    async def run(self) -> None:
        while True:
            try:
                async with self._server.subscribe(self._member) as subscription:
                    await self._catch_up()
                    await self._receive_and_ping(subscription)
            except ServerGone as error:
                if not self._lost:
                    log.warning("cache_bus_lost", detail=str(error))
                self._lost = True
            except Exception:
                log.exception("cache_bus_failed")
            self.trusted_until = NEVER
            await self._step_back()
            self._tried.set()
            await asyncio.sleep(self._config.reconnect_delay_s)

    async def _step_back(self) -> None:
        """Let no writer wait for a process that cannot hear; this also tells whether the server takes commands."""
        try:
            await self._server.leave(self._member)
            self._gate.open()
        except ServerGone:
            self._gate.close()

    async def _catch_up(self) -> None:
        """Make up for what was said while nobody listened here."""
        root = self.message(tags=(ROOT,))
        if await self._server.reset_if_server_changed(self._clock.token_bytes(TOKEN_BYTES), root):
            log.info("cache_server_adopted")
        await self._send_pending()
        self._apply((ROOT,), ())
        self._last_pong_at = self._clock.monotonic()

    async def _receive_and_ping(self, subscription: BusSubscription) -> None:
        hearing = asyncio.create_task(self._receive(subscription))
        try:
            while not hearing.done():
                await self._send_pending()
                began_at = self._clock.monotonic()
                if began_at - self._last_pong_at > self._config.lease_s:
                    raise ServerGone("pings are not answered")
                await self._server.renew(self._member, self._config.lease_s)
                self._gate.open()
                await subscription.ping(repr(began_at).encode())
                await asyncio.wait([hearing], timeout=self._config.ping_interval_s)
            await hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _receive(self, subscription: BusSubscription) -> None:
        while True:
            heard = await subscription.receive()
            if isinstance(heard, Pong):
                self._extend_trust(float(heard.payload))
            else:
                self._handle(heard)

    def _extend_trust(self, began_at: float) -> None:
        """Trust for the lease of the round that began at *began_at*."""
        self._last_pong_at = self._clock.monotonic()
        if not self._pending:
            self.trusted_until = began_at + self._config.lease_s
            self._tried.set()
            if self._lost:
                self._lost = False
                log.info("cache_bus_reconnected")

    def _handle(self, message: BusMessage) -> None:
        match message:
            case Released():
                self._waiters.notify(message.key)
            case Acked():
                if (settlement := self._ack_collectors.get(message.id)) is not None:
                    settlement.add(message.member)
            case Invalidated() if message.sender != self._member:
                # Ours was carried out before `drop` returned; what was made since then is true.
                self._apply(message.tags, message.keys)
                if message.needs_ack:
                    self._reply(message)

    def _reply(self, message: Invalidated) -> None:
        task = asyncio.create_task(self._send_ack(message))
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)

    async def _send_ack(self, message: Invalidated) -> None:
        # If this is lost, the sender waits for our lease to end.
        with suppress(ServerGone):
            await self._gate.call(self._server.ack, message.sender, Acked(message.id, self._member))


class _AckCollector:
    """One writer's wait for the members that may not have heard it."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._acked: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, member: str) -> None:
        self._acked.add(member)
        self._changed.set()

    async def wait(self, members: Iterable[Member]) -> None:
        """Return when each of *members* has heeded or its lease has ended."""
        now = self._ticks()
        until = {member.name: now + member.lease_s for member in members}
        while left := [end for name, end in until.items() if name not in self._acked and end > self._ticks()]:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left) - self._ticks()):
                    await self._changed.wait()


class LocalBus:
    """The bus of a process that shares with nobody: what is dropped here is dropped everywhere."""

    def __init__(self, heed: ApplyInvalidation) -> None:
        self.trusted_until = math.inf
        self.pending_invalidations = 0
        self._apply = heed

    async def start(self) -> None:
        """Nothing to wait for."""

    async def stop(self) -> None:
        """Nobody to leave."""

    def has_pending(self, tags: Iterable[str]) -> bool:  # noqa: ARG002
        return False

    def message(self, *, tags: Iterable[str] = (), keys: Iterable[str] = ()) -> Invalidated:
        return Invalidated(0, "", tuple(tags), tuple(keys))

    async def invalidate(self, tags: frozenset[str], *, acknowledged: bool) -> bool:  # noqa: ARG002
        self._apply(tags, ())
        return True
