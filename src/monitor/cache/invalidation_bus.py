"""
Invalidations from process to process, and the proof that this one receives them.

Memory may be served only under trust, which a process earns in rounds: *renew the membership, then ping on the
connection that brings the messages*. The pong arrives behind everything published before the ping, and until
``lease_s`` after the round began the process counts as a live member. A writer that has replaced the tokens therefore
waits only for the members it then finds: each member applies the message and acknowledges it, or loses its trust.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
CANCEL_AGAIN_S = 0.5
NEVER = -math.inf

log = structlog.get_logger(__name__)

ApplyInvalidation = Callable[[Iterable[str], Iterable[str]], None]
"""Applies the invalidation of tags and of keys in this process, without waiting."""

Supervise = Callable[[str, Callable[[], Awaitable[None]]], "asyncio.Task[None]"]
"""Runs a loop under a name and starts it again when it fails. Cancelling the task ends it."""


class InvalidationBus:
    """Runs from ``start`` to ``stop``. Whatever fails in between costs trust, never an error to a caller."""

    def __init__(
        self,
        server: CacheServer,
        gate: ConnectionGate,
        waiters: Waiters,
        clock: Clock,
        config: CacheConfig,
        *,
        apply: ApplyInvalidation,
        supervise: Supervise,
    ) -> None:
        self.trusted_until = NEVER
        """Memory may be served before this, on the monotonic clock."""
        self._server = server
        self._gate = gate
        self._waiters = waiters
        self._clock = clock
        self._config = config
        self._apply = apply
        self._supervise = supervise
        self._member = clock.token_bytes(TOKEN_BYTES).hex()
        self._last_id = 0
        self._pending: dict[str, int] = {}
        """Tags with an invalidation that the server has not taken, each with the id of the last that failed."""
        self._ack_collectors: dict[int, _AckCollector] = {}
        self._pings: dict[bytes, float] = {}
        """Payloads of the pings that have not been answered, each with the beginning of its round."""
        self._last_pong_at = NEVER
        self._lost = False
        self._attempted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._acks: set[asyncio.Task[None]] = set()

    @property
    def pending_invalidations(self) -> int:
        return len(self._pending)

    def has_pending(self, tags: Iterable[str]) -> bool:
        """Return whether the server has yet to take the invalidation of one of *tags*."""
        return bool(self._pending) and not self._pending.keys().isdisjoint(tags)

    async def start(self) -> None:
        """Return once memory is trusted, or the first attempt at that has failed."""
        self._task = self._supervise("cache_bus", self.run)
        await self._attempted.wait()

    async def stop(self) -> None:
        await cancel([task for task in (self._task, *self._acks) if task is not None])

    def message(self, *, tags: Iterable[str] = (), keys: Iterable[str] = (), needs_ack: bool = False) -> Invalidated:
        """Return a message from this process, with an id of its own."""
        self._last_id += 1
        return Invalidated(self._last_id, self._member, tuple(tags), tuple(keys), needs_ack)

    async def invalidate(self, tags: frozenset[str], *, acknowledged: bool) -> bool:
        """
        Invalidate *tags* in all processes: at the server first, then here.

        Returns:
            Whether the server has taken it; if not, it is pending: sent before this process is trusted again. With
            *acknowledged*, also that no live process can serve an older value any more; or, if it is not taken, that
            none can that has lost the server like this one.
        """
        message = self.message(tags=tags, needs_ack=acknowledged)
        collector = self._ack_collectors[message.id] = _AckCollector(self._clock.monotonic, self._config.lease_s)
        taken = False
        try:
            members = await self._publish(message)
            taken = True
        except ServerGone:
            pass
        finally:
            # Also when the caller was cancelled: the change behind it is committed.
            if not taken:
                self._add_pending(message)
            self._apply(tags, ())
            if not (taken and acknowledged):
                del self._ack_collectors[message.id]
        if not taken:
            if acknowledged:
                await self._outlast_leases()
            return False
        if acknowledged:
            try:
                await collector.wait(member for member in members if member.name != self._member)
            finally:
                del self._ack_collectors[message.id]
        return True

    async def _outlast_leases(self) -> None:
        """Processes that share an outage notice it within an interval, and serve what was read before for a lease."""
        await asyncio.sleep(self._config.ping_interval_s + self._config.lease_s)

    async def _publish(self, message: Invalidated) -> list[Member]:
        """Unlike reads, retry for a while, and try also while the gate is closed. Raises ``ServerGone``."""
        give_up_at = self._clock.monotonic() + (self._config.invalidate_timeout_s if self._gate.is_open else 0)
        while True:
            try:
                return await self._server.invalidate(self._new_tokens(message.tags), message, self._config.lease_s)
            except ServerGone:
                self._gate.close()
                if self._clock.monotonic() >= give_up_at:
                    raise
            await asyncio.sleep(RETRY_S)

    def _new_tokens(self, tags: Iterable[str]) -> dict[str, bytes]:
        return {tag: self._clock.token_bytes(TOKEN_BYTES) for tag in tags}

    def _add_pending(self, message: Invalidated) -> None:
        self.trusted_until = NEVER
        self._pending.update(dict.fromkeys(message.tags, message.id))

    async def _send_pending(self) -> None:
        while self._pending:
            sent = dict(self._pending)
            await self._server.invalidate(self._new_tokens(sent), self.message(tags=sent), self._config.lease_s)
            for tag, number in sent.items():
                # One that has failed again meanwhile may belong to a later change.
                if self._pending[tag] == number:
                    del self._pending[tag]

    async def run(self) -> None:
        """Stay subscribed, and subscribe again after every outage. After any other failure, start it again."""
        while True:
            try:
                async with self._server.subscribe(self._member) as subscription:
                    await self._catch_up()
                    await self._receive_and_ping(subscription)
            except ServerGone as error:
                if not self._lost:
                    log.warning("cache_bus_lost", detail=str(error))
            finally:
                self._lost = True
                self.trusted_until = NEVER
                await self._leave()
            await asyncio.sleep(self._config.reconnect_delay_s)

    async def _leave(self) -> None:
        """Let no writer wait for a process that cannot receive; this also shows whether the server takes commands."""
        try:
            await self._server.leave(self._member)
            self._gate.open()
        except ServerGone:
            self._gate.close()
        finally:
            self._attempted.set()

    async def _catch_up(self) -> None:
        """Make up for the messages that were published before the subscription."""
        root = self.message(tags=(ROOT,))
        if await self._server.reset_if_server_changed(self._clock.token_bytes(TOKEN_BYTES), root):
            log.info("cache_server_changed")
        await self._send_pending()
        self._apply((ROOT,), ())
        self._pings.clear()
        self._last_pong_at = self._clock.monotonic()

    async def _receive_and_ping(self, subscription: BusSubscription) -> None:
        receiving = asyncio.create_task(self._receive(subscription))
        try:
            while not receiving.done():
                await self._send_pending()
                began_at = self._clock.monotonic()
                if began_at - self._last_pong_at > self._config.lease_s:
                    raise ServerGone("pings are not answered")
                await self._server.renew(self._member, self._config.lease_s)
                self._gate.open()
                self._pings[payload := self._clock.token_bytes(TOKEN_BYTES)] = began_at
                await subscription.ping(payload)
                await asyncio.wait([receiving], timeout=self._config.ping_interval_s)
            await receiving
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _receive(self, subscription: BusSubscription) -> None:
        while True:
            received = await subscription.receive()
            if not isinstance(received, Pong):
                self._handle(received)
            elif received.payload in self._pings:
                self._extend_trust(self._pings.pop(received.payload))
            else:
                raise ServerGone("a pong without its ping")

    def _extend_trust(self, began_at: float) -> None:
        """Trust memory for the lease of the round that began at *began_at*."""
        self._last_pong_at = self._clock.monotonic()
        if not self._pending:
            self.trusted_until = began_at + self._config.lease_s
            self._attempted.set()
            if self._lost:
                self._lost = False
                log.info("cache_bus_reconnected")

    def _handle(self, message: BusMessage) -> None:
        match message:
            case Released():
                self._waiters.notify(message.key)
            case Acked():
                if (collector := self._ack_collectors.get(message.id)) is not None:
                    collector.add(message.member)
            case Invalidated() if message.sender != self._member:
                # Our own were applied before `invalidate` returned; values created since then are true.
                self._apply(message.tags, message.keys)
                if message.needs_ack:
                    task = asyncio.create_task(self._send_ack(message))
                    self._acks.add(task)
                    task.add_done_callback(self._acks.discard)

    async def _send_ack(self, message: Invalidated) -> None:
        # If it is lost, the sender waits for our lease to end.
        with suppress(ServerGone):
            await self._gate.call(self._server.ack, message.sender, Acked(message.id, self._member))


class _AckCollector:
    """The acks of one invalidation."""

    def __init__(self, ticks: Callable[[], float], lease_s: float) -> None:
        self._ticks = ticks
        self._lease_s = lease_s
        self._acked: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, member: str) -> None:
        self._acked.add(member)
        self._changed.set()

    async def wait(self, members: Iterable[Member]) -> None:
        """Return when each of *members* has acknowledged or its lease has ended."""
        now = self._ticks()
        # No lease is longer than ours, whatever the server's clock has done since it was written down.
        until = {member.name: now + min(self._lease_s, member.lease_s) for member in members}
        while left := [end for name, end in until.items() if name not in self._acked and end > self._ticks()]:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left) - self._ticks()):
                    await self._changed.wait()


async def cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel *tasks* until they end: once may not be enough, since ``wait_for`` of Python 3.11 can swallow it."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


class LocalBus:
    """The bus of a process that shares nothing: an invalidation here is one everywhere."""

    def __init__(self, apply: ApplyInvalidation) -> None:
        self.trusted_until = math.inf
        self.pending_invalidations = 0
        self._apply = apply

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def invalidate(self, tags: frozenset[str], *, acknowledged: bool) -> bool:  # noqa: ARG002
        self._apply(tags, ())
        return True
