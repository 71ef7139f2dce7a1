"""The cache of one process."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Self

import structlog
from sqlalchemy.util import await_only, greenlet_spawn

from monitor.cache.config import CacheConfig
from monitor.cache.entry import Entry
from monitor.cache.lease import POLL_S
from monitor.cache.load import Creator, Flight, LookUp
from monitor.cache.memory import Slot
from monitor.cache.policy import Key
from monitor.cache.region import build_region
from monitor.cache.server import CacheServer
from monitor.cache.state import Process
from monitor.cache.stats import CacheStats, Source, summary
from monitor.domain.errors import MonitorError, Unavailable
from monitor.domain.ports.clock import Clock

JITTER = 0.1

_whole: ContextVar[LookUp] = ContextVar("whole")
"""The look-up whose creator runs, for the parts that it asks for."""

log = structlog.get_logger(__name__)


class Cache:
    """
    Answers with encoded bytes, computed once for all who ask at the same time, in all processes.

    After a settled :meth:`invalidate`, no process answers with what was true before it, unless marked ``stale``.
    Without a *server* this process is alone, and memory is all there is.

    Creators return the encoded answer. They must open a session of their own when called, and keep nothing of a
    request: they may run again to warm the cache, when the request that brought them is long gone.
    """

    def __init__(self, clock: Clock, *, server: CacheServer | None = None, config: CacheConfig | None = None) -> None:
        self._process = Process(clock, server, config or CacheConfig())
        self.region = build_region(self._process)
        """A stock dogpile region. Call it inside ``sqlalchemy.util.greenlet_spawn``; its values are bytes."""
        self._ticks = clock.monotonic
        self._bus = self._process.bus
        self._slots = self._process.memory.slots
        self._under_way = self._process.under_way
        self._tasks: dict[asyncio.Task[None], None] = {}  # in order, so that a test can repeat itself

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return once the server is heard, or once it is known not to be there. The cache works either way."""
        await self._bus.start()

    async def stop(self) -> None:
        """End what is under way. The server itself is left to whoever opened it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._bus.stop()

    @property
    def clock(self) -> Clock:
        return self._process.clock

    @property
    def config(self) -> CacheConfig:
        return self._process.config

    @property
    def server(self) -> CacheServer | None:
        return self._process.server

    # Reading -----------------------------------------------------------------------------------------------------

    def peek(self, text: str) -> Entry | None:
        """Return the fresh value in memory, if it may be answered; nothing is started otherwise."""
        slot = self._fresh(text)
        if slot is None:
            return None
        slot.hits += 1
        slot.stats.l1_hits += 1
        return slot.entry

    def peek_past(self, text: str) -> Entry | None:
        """Return what memory may answer without waiting, seeing to a newer value if it is past its time."""
        entry = self.peek(text)
        if entry is not None:
            return entry
        slot = self._slots.get(text)
        return None if slot is None or slot.create is None else self._past_fresh(slot, slot.key, slot.create)

    async def get(self, key: Key, create: Creator) -> Entry:
        """
        Return the value of *key*, by *create* if need be. The caller's cancellation disturbs nobody else.

        Raises:
            MonitorError: *create* raised it, and it is an answer (``NotFound``), not an outage.
            Exception: *create* failed in another way or took too long, and there is no last good value.
        """
        entry = self.peek(key.text)
        if entry is not None:
            return entry
        slot = self._process.memory.get(key.text)
        entry = None if slot is None else self._past_fresh(slot, key, create)
        return await self._join(key, create) if entry is None else entry

    async def refresh(self, key: Key, create: Creator) -> Entry:
        """Compute *key* anew, unless that is being done. Raises what :meth:`get` raises."""
        flight = self._under_way.joinable(key.text)
        if flight is None or flight.answer.done():
            flight = self._start(key, create, not_before=self._process.unix_s())
        return await asyncio.shield(flight.answer)

    async def part(self, key: Key, create: Creator) -> Entry:
        """
        Return *key* for a creator, which calls this, whose own value is made of it.

        It is of its ``fresh_s``, and not past it as a caller may get it, since both ages add up. It has seen every
        drop that the value it goes into has seen: that one is kept behind tokens which say so. Counts as nobody's read.

        Raises:
            ValueError: a tag drops *key* and not what is made of it.
            MonitorError: as from :meth:`get`.
            Exception: as from :meth:`get`.
        """
        whole = _whole.get()
        if not set(key.tags) <= set(whole.tags):
            raise ValueError(f"{whole} must have all the tags of {key.text}: {', '.join(key.tags)}")
        while True:
            slot = self._fresh(key.text)
            if slot is not None and whole.has_seen_no_more_than(slot.tokens, key.tags):
                return slot.entry
            flight = self._under_way.joinable(key.text)
            if flight is None or flight.answer.done():
                not_before = self._process.unix_s() - key.view.policy.fresh_s
                flight = self._start(key, create, not_before=not_before, part_of=whole)
                return await asyncio.shield(flight.answer)
            reads_later = not flight.begun
            await asyncio.wait([flight.answer])
            look_up = flight.look_up
            if look_up.source is not Source.STALE and (
                reads_later or (self._process.trusted and whole.has_seen_no_more_than(look_up.tokens, key.tags))
            ):
                return flight.answer.result()

    def _fresh(self, text: str) -> Slot | None:
        slot = self._slots.get(text)
        if slot is None:
            return None
        now = self._ticks()
        return slot if now < slot.fresh_until and now < self._bus.trusted_until else None

    def _past_fresh(self, slot: Slot, key: Key, create: Creator) -> Entry | None:
        """Return what *slot* may still answer without waiting, seeing to a newer value."""
        now = self._ticks()
        age_s = self._process.unix_s() - slot.created_at
        if now < slot.stale_until and self._process.trusted:
            if now >= slot.retry_at and self._under_way.joinable(key.text) is None:
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
            flight = self._under_way.joinable(key.text)
            if flight is None or flight.answer.done():
                flight = self._start(key, create)
            if not flight.begun or self._process.trusted:
                entry = await asyncio.shield(flight.answer)
                self._process.counters.of(key.view.name).count(flight.look_up.source)
                return entry
            # Nobody told us what was dropped since it read; the next one reads after we asked.
            await asyncio.wait([flight.answer])

    # Creating ----------------------------------------------------------------------------------------------------

    def _start(self, key: Key, create: Creator, *, not_before: float = 0.0, part_of: LookUp | None = None) -> Flight:
        spread = 1 + JITTER * (2 * self.clock.jitter() - 1)
        look_up = LookUp(key, create, expires_s=key.view.policy.fresh_s * spread)
        look_up.not_before, look_up.part_of, look_up.read_at = not_before, part_of, self._ticks()
        flight = Flight(look_up)
        self._under_way.offer(flight)
        task = asyncio.create_task(self._fly(flight))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        task.add_done_callback(lambda _: flight.answer.cancel())
        return flight

    async def _fly(self, flight: Flight) -> None:
        look_up, flight.begun = flight.look_up, True
        try:
            with self._under_way.track(look_up):
                await self._answer(flight)
                if look_up.deferred is not None:
                    await self._renew(look_up)
        finally:
            self._under_way.detach(flight)

    async def _answer(self, flight: Flight) -> None:
        look_up = flight.look_up
        create = partial(self._create_in_greenlet, look_up)
        try:
            await greenlet_spawn(self.region.get_or_create, look_up, create, look_up.expires_s)
        except Exception as error:  # whatever it is, it is told to everyone who waits
            if flight.answer.done():
                raise
            self._answer_failure(flight, error)
            return
        flight.tell()
        if look_up.source is Source.STALE and look_up.deferred is None:
            self._put_off(look_up, POLL_S)

    async def _renew(self, look_up: LookUp) -> None:
        """Compute the value behind the old one that has been answered."""
        assert look_up.deferred is not None
        try:
            await greenlet_spawn(look_up.deferred)
        except Exception as error:  # noqa: BLE001 - the old value stands until its time is over
            log.warning("cache_refresh_failed", key=look_up.key.text, error=repr(error))
            self._put_off(look_up, self._process.config.fail_safe_s, failing=True)

    def _put_off(self, look_up: LookUp, seconds: float, *, failing: bool = False) -> None:
        slot = self._slots.get(look_up.key.text)
        if slot is not None:
            slot.retry_at, slot.failing = self._ticks() + seconds, slot.failing or failing

    def _create_in_greenlet(self, look_up: LookUp) -> bytes:
        body: bytes = await_only(self._create(look_up))
        return body

    async def _create(self, look_up: LookUp) -> bytes:
        assert look_up.create is not None
        stats = self._process.counters.of(look_up.key.view.name)
        began_at = self._ticks()
        stats.creations += 1
        outer = _whole.set(look_up)
        try:
            async with asyncio.timeout(self._process.config.creator_s):
                return await look_up.create()
        except BaseException:
            stats.failures += 1
            raise
        finally:
            stats.creation_s += self._ticks() - began_at
            _whole.reset(outer)

    def _answer_failure(self, flight: Flight, error: Exception) -> None:
        slot = None if _is_answer(error) else self._last_good(flight.look_up)
        if slot is None:
            flight.answer.set_exception(error)
            flight.answer.exception()  # nobody may be left to hear it
            return
        log.warning("cache_answers_last_good", key=slot.key.text, error=repr(error))
        slot.failed_until = slot.retry_at = self._ticks() + self._process.config.fail_safe_s
        slot.failing = True
        flight.look_up.source = Source.FAIL_SAFE
        flight.answer.set_result(slot.entry.aged(self._process.unix_s() - slot.created_at, stale=True))

    def _last_good(self, look_up: LookUp) -> Slot | None:
        """Return the newest value within its grace, from memory or as it was found at the server."""
        memory, now = self._process.memory, self._ticks()
        slot = memory.get(look_up.key.text)
        if look_up.fallback is not None:
            body, created_at = look_up.fallback
            if slot is None or created_at > slot.created_at:
                slot = Slot(look_up.key, Entry(body), self._process.counters.of(look_up.key.view.name), look_up.create)
                slot.created_at, slot.dropped = created_at, True
                slot.kept_until = now + look_up.key.view.policy.kept_s - (self._process.unix_s() - created_at)
                memory.put(slot)
        return slot if slot is not None and now < slot.kept_until else None

    # Dropping, warming, watching ---------------------------------------------------------------------------------

    async def invalidate(self, tags: Iterable[str], *, settled: bool) -> bool:
        """
        Make every value with one of *tags* untrue, in all processes. Call it after the commit. Safe to repeat.

        Args:
            settled: return only when no live process can answer with an older value any more, a few milliseconds
                as a rule and at most a second; for what a person has changed and will look at.

        Returns:
            Whether that is so. ``False``: the server could not be told. It will be, before this process serves from
            memory again; until then others may answer with the older value.
        """
        dropped = frozenset(tags)
        return not dropped or await self._bus.drop(dropped, settled=settled)

    def expiring(self, within_s: float, limit: int) -> list[tuple[Key, Creator]]:
        """
        Return the keys that have been read most since the last call and expire *within_s*, hottest first.
        """
        before = self._ticks() + within_s
        read = [slot for slot in self._slots.values() if slot.hits]
        hot = heapq.nlargest(
            limit, (slot for slot in read if slot.fresh_until < before and slot.create), key=lambda slot: slot.hits
        )
        found = [(slot.key, slot.create) for slot in hot if slot.create is not None]
        for slot in read:
            slot.hits = 0
        return found

    def stats(self) -> CacheStats:
        """Return what was counted since the start, and how things stand now."""
        return summary(self._process)


def _is_answer(error: Exception) -> bool:
    """Whether the creator has found something out (there is no such webhook) and not failed."""
    return isinstance(error, MonitorError) and not isinstance(error, Unavailable)
