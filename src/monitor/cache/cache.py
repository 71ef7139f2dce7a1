"""The cache of one process."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Self

import structlog
from sqlalchemy.util import await_only, greenlet_spawn

from monitor.cache.config import CacheConfig
from monitor.cache.entry import Entry
from monitor.cache.invalidation_bus import Supervise, cancel
from monitor.cache.lease import POLL_S
from monitor.cache.load import Creator, Load, SharedLoad
from monitor.cache.memory import Slot
from monitor.cache.policy import Key
from monitor.cache.region import build_region
from monitor.cache.server import CacheServer
from monitor.cache.state import CacheState
from monitor.cache.stats import CacheStats, Source
from monitor.domain.errors import MonitorError, Unavailable
from monitor.domain.ports.clock import Clock

JITTER_RATIO = 0.1
RESTART_S = 0.5

_parent: ContextVar[Load] = ContextVar("parent")
"""The load whose creator runs, for the dependencies that it reads."""

log = structlog.get_logger(__name__)


def unsupervised(name: str, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """For a process without a supervisor: start *loop* again a moment after each failure."""

    async def run() -> None:
        while True:
            try:
                await loop()
            except Exception:
                log.exception("cache_task_failed", task=name)
            await asyncio.sleep(RESTART_S)

    return asyncio.create_task(run(), name=name)


class Cache:
    """
    Coherent cache of encoded answers; each is computed once for concurrent callers, in all processes.

    After an acknowledged :meth:`invalidate`, no process serves an older value, unless marked ``stale``. Without a
    *server* the process shares nothing, and memory is the only tier.

    Creators return the encoded answer. Each must open a session of its own when called, and keep nothing of a
    request: it may run again to warm the cache, long after the request that brought it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        server: CacheServer | None = None,
        config: CacheConfig | None = None,
        supervise: Supervise = unsupervised,
    ) -> None:
        self.clock = clock
        self.server = server
        self.config = config or CacheConfig()
        self._state = CacheState(clock, server, self.config, supervise)
        self.region = build_region(self._state)
        """
        A stock dogpile region. Call it inside ``sqlalchemy.util.greenlet_spawn``. Its keys are loads, its values
        bytes; only what a load has looked up before can be set, since it is stored behind the tokens found then.
        """
        self._ticks = clock.monotonic
        self._bus = self._state.bus
        self._slots = self._state.memory.slots
        self._in_flight = self._state.in_flight
        self._tasks: dict[asyncio.Task[None], None] = {}  # in order, so that a test can repeat itself

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return once memory is trusted, or the server could not be reached. The cache works either way."""
        await self._bus.start()

    async def stop(self) -> None:
        """Cancel the loads in flight and leave the bus. Closing the server is left to its owner."""
        await cancel(list(self._tasks))
        await self._bus.stop()

    # Reading -----------------------------------------------------------------------------------------------------

    def peek(self, text: str) -> Entry | None:
        """Return the fresh value in memory, if it is trusted; starts nothing otherwise."""
        slot = self._fresh(text)
        if slot is None:
            return None
        slot.hits += 1
        slot.stats.l1_hits += 1
        return slot.entry

    def peek_stale(self, text: str) -> Entry | None:
        """Return what memory can serve without waiting; past ``fresh_s``, also start a refresh."""
        entry = self.peek(text)
        if entry is not None:
            return entry
        slot = self._slots.get(text)
        return None if slot is None else self._serve_stale(slot, slot.key, slot.create)

    async def get(self, key: Key, create: Creator) -> Entry:
        """
        Return the value of *key*, computed by *create* if need be. Cancelling one caller does not affect the others.

        Raises:
            MonitorError: *create* raised it, and it is an answer (``NotFound``), not an outage.
            Exception: *create* failed in another way or took too long, and there is no last good value.
        """
        entry = self.peek(key.text)
        if entry is not None:
            return entry
        slot = self._state.memory.get(key.text)
        entry = None if slot is None else self._serve_stale(slot, key, create)
        return await self._join(key, create) if entry is None else entry

    async def refresh(self, key: Key, create: Creator) -> Entry:
        """Compute *key* even if it is fresh, or join a load in flight. Raises what :meth:`get` raises."""
        shared = self._in_flight.joinable(key.text)
        if shared is None:
            shared = self._start(key, create, not_before=self._state.unix_s())
        return await asyncio.shield(shared.future)

    async def recompute(self, key: Key, create: Creator) -> Entry:
        """
        Return a value whose computation began after this call, waiting out one that began before.

        Raises what :meth:`get` raises; like it, returns the last good value, marked ``stale``, in place of an outage.
        """
        before = self._in_flight.joinable(key.text)
        if before is not None and before.started:
            await asyncio.wait([before.future])
        # No stored value is good enough: it is dated by the end of its computation, on its creator's clock.
        shared = self._in_flight.joinable(key.text) or self._start(key, create, not_before=math.inf)
        return await asyncio.shield(shared.future)

    async def dependency(self, key: Key, create: Creator) -> Entry:
        """
        Return *key* for the value of another, from within that one's creator. Not counted as a read.

        It is within its ``fresh_s``, never served past it, since both ages add up; and it reflects every invalidation
        that the parent has read, since the parent is stored behind those tokens.

        Raises:
            ValueError: *key* has a tag that its parent lacks.
            MonitorError: as from :meth:`get`.
            Exception: as from :meth:`get`.
        """
        parent = _parent.get()
        if not set(key.tags) <= set(parent.tags):
            raise ValueError(f"{parent} must have all the tags of {key.text}: {', '.join(key.tags)}")
        while True:
            slot = self._fresh(key.text)
            if slot is not None and parent.accepts(slot.tokens, key.tags):
                return slot.entry
            shared = self._in_flight.joinable(key.text)
            if shared is None:
                not_before = self._state.unix_s() - key.view.policy.fresh_s
                shared = self._start(key, create, not_before=not_before, parent=parent)
                return await asyncio.shield(shared.future)
            reads_later, load = not shared.started, shared.load
            await asyncio.wait([shared.future])
            if load.source is not Source.STALE and (
                reads_later or (self._state.trusted and parent.accepts(load.tokens, key.tags))
            ):
                return shared.future.result()

    def _fresh(self, text: str) -> Slot | None:
        slot = self._slots.get(text)
        if slot is None:
            return None
        now = self._ticks()
        return slot if now < slot.fresh_until and now < self._bus.trusted_until else None

    def _serve_stale(self, slot: Slot, key: Key, create: Creator) -> Entry | None:
        """Return what *slot* can still serve without waiting, starting a refresh unless one runs or has just failed."""
        now = self._ticks()
        age_s = self._state.unix_s() - slot.created_at
        if now < slot.stale_until and self._state.trusted:
            if now >= slot.retry_at and key.text not in self._in_flight:
                self._start(key, create)
            slot.hits += 1
            slot.stats.count(Source.FAIL_SAFE if slot.failing else Source.STALE)
            return slot.entry.aged(age_s, stale=slot.failing)
        if now < min(slot.failed_until, slot.kept_until):
            slot.stats.count(Source.FAIL_SAFE)
            return slot.entry.aged(age_s, stale=True)
        return None

    async def _join(self, key: Key, create: Creator) -> Entry:
        while True:
            shared = self._in_flight.joinable(key.text) or self._start(key, create)
            if not shared.started or self._state.trusted:
                entry = await asyncio.shield(shared.future)
                self._state.counters.of(key.view.name).count(shared.load.source)
                return entry
            # Untrusted, so it may have missed an invalidation since it read; the next load reads after this call.
            await asyncio.wait([shared.future])

    # Creating ----------------------------------------------------------------------------------------------------

    def _start(self, key: Key, create: Creator, *, not_before: float = 0.0, parent: Load | None = None) -> SharedLoad:
        spread = 1 + JITTER_RATIO * (2 * self.clock.jitter() - 1)
        load = Load(key, create, expires_s=key.view.policy.fresh_s * spread)
        load.not_before, load.parent, load.read_at = not_before, parent, self._ticks()
        shared = SharedLoad(load)
        self._in_flight.add(shared)
        task = asyncio.create_task(self._run(shared))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        task.add_done_callback(lambda _: shared.future.cancel())
        return shared

    async def _run(self, shared: SharedLoad) -> None:
        load, shared.started = shared.load, True
        try:
            with self._in_flight.track(load):
                await self._get_or_create(shared)
                if load.deferred is not None:
                    await self._create_deferred(load, load.deferred)
        finally:
            self._in_flight.detach(shared)

    async def _get_or_create(self, shared: SharedLoad) -> None:
        load = shared.load
        try:
            await greenlet_spawn(
                self.region.get_or_create, load, lambda: await_only(self._create(load)), load.expires_s
            )
            shared.resolve()
        except Exception as error:  # whatever it is, every caller gets it
            if shared.future.done():
                raise
            self._fail(shared, error)
            return
        if load.source is Source.STALE and load.deferred is None:
            self._delay_refresh(load, POLL_S)

    async def _create_deferred(self, load: Load, create: Callable[[], None]) -> None:
        """Compute the value after the stale one has been served."""
        try:
            await greenlet_spawn(create)
        except Exception as error:  # noqa: BLE001 - the stale value stays until its time is over
            self._delay_refresh(load, self.config.fail_safe_s, failing=True)
            log.warning("cache_refresh_failed", entry=load.key.text, error=repr(error))

    def _delay_refresh(self, load: Load, seconds: float, *, failing: bool = False) -> None:
        slot = self._slots.get(load.key.text)
        if slot is not None:
            slot.retry_at, slot.failing = self._ticks() + seconds, slot.failing or failing

    async def _create(self, load: Load) -> bytes:
        stats = self._state.counters.of(load.key.view.name)
        began_at = self._ticks()
        stats.creations += 1
        outer = _parent.set(load)
        try:
            async with asyncio.timeout(self.config.creator_timeout_s):
                return await load.create()
        except BaseException:
            stats.failures += 1
            raise
        finally:
            stats.creation_s += self._ticks() - began_at
            _parent.reset(outer)

    def _fail(self, shared: SharedLoad, error: Exception) -> None:
        """Serve the last good value in place of *error*, or the error if there is none or it is itself an answer."""
        slot = None if _is_definitive(error) else self._last_good(shared.load)
        if slot is None:
            shared.future.set_exception(error)
            shared.future.exception()  # or asyncio complains when every caller has been cancelled
            return
        slot.failed_until = slot.retry_at = self._ticks() + self.config.fail_safe_s
        slot.failing = True
        shared.load.source = Source.FAIL_SAFE
        shared.future.set_result(slot.entry.aged(self._state.unix_s() - slot.created_at, stale=True))
        log.warning("cache_served_stale", entry=slot.key.text, error=repr(error))

    def _last_good(self, load: Load) -> Slot | None:
        """Return the newest value within its grace, from memory or as it was found at the server."""
        memory, now = self._state.memory, self._ticks()
        slot = memory.get(load.key.text)
        if load.fallback is not None:
            body, created_at = load.fallback
            if slot is None or created_at > slot.created_at:
                slot = Slot(load.key, Entry(body), self._state.counters.of(load.key.view.name), load.create)
                slot.created_at, slot.invalidated = created_at, True
                slot.kept_until = now + load.key.view.policy.kept_s - (self._state.unix_s() - created_at)
                memory.put(slot)
        return slot if slot is not None and now < slot.kept_until else None

    # Invalidating, warming, observing ----------------------------------------------------------------------------

    async def invalidate(self, tags: Iterable[str], *, acknowledged: bool) -> bool:
        """
        Invalidate every value with one of *tags*, in all processes. Call it after the commit. Safe to repeat.

        Args:
            acknowledged: return only when no live process can serve an older value, as a rule within milliseconds
                and at the latest after a second; for what a person has changed and will look at.

        Returns:
            Whether that is so. ``False``: the server could not be reached; until the invalidation is sent, which
            happens before this process serves from memory again, other processes may serve the older value.
        """
        changed = frozenset(tags)
        return not changed or await self._bus.invalidate(changed, acknowledged=acknowledged)

    def expiring(self, within_s: float, limit: int) -> list[tuple[Key, Creator]]:
        """Return the keys that were read since the last call and expire *within_s*: at most *limit*, hottest first."""
        before = self._ticks() + within_s
        read = [slot for slot in self._slots.values() if slot.hits]
        hot = heapq.nlargest(limit, (slot for slot in read if slot.fresh_until < before), key=lambda slot: slot.hits)
        for slot in read:
            slot.hits = 0
        return [(slot.key, slot.create) for slot in hot]

    def stats(self) -> CacheStats:
        """Return the counts since the start and the state at this moment."""
        return self._state.stats()


def _is_definitive(error: Exception) -> bool:
    """Return whether *error* is an answer (there is no such webhook) and not a failure to compute one."""
    return isinstance(error, MonitorError) and not isinstance(error, Unavailable)
