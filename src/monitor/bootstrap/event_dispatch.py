"""
Who hears of facts: the cache drops what they make untrue, and the live feed tells it.

A fact is stored in the transaction that made it so, told right after the commit, and forgotten when both have heard.
One that stays, because its process died in between, is found by any other process, which drops what it makes untrue
within two seconds. Dropping is safe to repeat. Telling the feed is not, and nobody knows whether that was done: a
second later its readers start anew from a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Self
from uuid import UUID

import structlog

from monitor.bootstrap.subscribers import DROPS
from monitor.cache import Cache
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.event_outbox import Fact, FactLog

TIDY_S = 0.5
OVERDUE = timedelta(seconds=1)
BATCH = 500

log = structlog.get_logger(__name__)

Tell = Callable[[Sequence[DomainEvent]], Awaitable[None]]
Missed = Callable[[Sequence[DomainEvent]], object]


class Hearing:
    """
    One per process. ``tell`` is called with facts of this process, beside whoever waits for their commit; ``missed``
    with facts of any process that may not have been told.
    """

    def __init__(self, cache: Cache, facts: FactLog, clock: Clock) -> None:
        self.tell: Tell | None = None
        self.missed: Missed | None = None
        self._cache = cache
        self._facts = facts
        self._clock = clock
        self._heard: list[UUID] = []
        self._left: dict[UUID, float] = {}
        """Facts of others that stayed and were dropped here, and when that was by our own clock."""
        self._telling: set[asyncio.Task[bool]] = set()
        self._tidying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._tidying = asyncio.create_task(self._tidy_for_ever())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        tasks: list[asyncio.Task[Any]] = [task for task in (self._tidying, *self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._guarded(self._forget)

    async def hear(self, facts: Sequence[Fact]) -> None:
        """See :class:`monitor.domain.events.Hear`."""
        telling = None if self.tell is None else asyncio.create_task(self._told([fact.event for fact in facts]))
        if telling is not None:
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        # What the server could not be told is owed by this process alone; kept, the fact outlives it.
        if not await self._drop(facts):
            return
        if telling is None:
            self._heard += [fact.id for fact in facts]
        else:
            telling.add_done_callback(partial(self._confirm, facts))

    async def tidy(self) -> None:
        """Forget what was heard, and hear what nobody confirmed. Raises ``Unavailable``."""
        await self._forget()
        if self.missed is None:
            # One that cannot say so to the feed leaves it to one that can.
            return
        now = self._clock.monotonic()
        for_long = await self._facts.overdue(self._clock.now() - OVERDUE, BATCH)
        self._left = {fact.id: self._left[fact.id] for fact in for_long if fact.id in self._left}
        new = [fact for fact in for_long if fact.id not in self._left]
        if new and await self._drop(new):
            self._left |= {fact.id: now for fact in new}
        # Whoever lives has forgotten it by now, however their clock stands to ours.
        lost = [fact for fact in for_long if now - self._left.get(fact.id, now) >= OVERDUE.total_seconds()]
        if lost:
            self.missed([fact.event for fact in lost])
            self._heard += [fact.id for fact in lost]
            await self._forget()

    async def _drop(self, facts: Sequence[Fact]) -> bool:
        plan = DROPS.invalidation_for(fact.event for fact in facts)
        return await self._cache.invalidate(plan.tags, acknowledged=plan.acknowledged)

    def _confirm(self, facts: Sequence[Fact], telling: asyncio.Task[bool]) -> None:
        if telling.cancelled():
            # This process ends; another one finds the fact.
            return
        if not telling.result() and self.missed is not None:
            self.missed([fact.event for fact in facts])
        self._heard += [fact.id for fact in facts]

    async def _forget(self) -> None:
        heard, self._heard = self._heard, []
        if heard:
            try:
                await self._facts.forget(heard)
            except BaseException:
                self._heard += heard
                raise

    async def _told(self, events: Sequence[DomainEvent]) -> bool:
        assert self.tell is not None
        try:
            await self.tell(events)
        except Exception:
            log.exception("feed_not_told")
            return False
        return True

    async def _tidy_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            await self._guarded(self.tidy)

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Unavailable as error:
            log.warning("facts_not_tidied", detail=error.detail)
        except Exception:
            log.exception("facts_not_tidied")
