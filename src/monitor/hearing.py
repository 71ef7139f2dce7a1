"""
Who hears of facts: the cache drops what they make untrue, and the live feed tells it.

A fact is stored in the transaction that made it so, told right after the commit, and then forgotten. What was not told,
because its process died in between, is found by any other process within two seconds. Dropping is safe to repeat; the
feed is told once at most, and where that may have been never, its readers start anew from a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Self
from uuid import UUID

import structlog

from monitor.cache import Cache
from monitor.catalogue import DROPS
from monitor.domain.clock import Clock
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent, Fact, FactLog

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
        self._telling: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._tidying = asyncio.create_task(self._tidy_for_ever())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        tasks = [task for task in (self._tidying, *self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._guarded(self._forget)

    async def hear(self, facts: Sequence[Fact]) -> None:
        """See :class:`monitor.domain.events.Hear`."""
        events = [fact.event for fact in facts]
        if self.tell is not None:
            task = asyncio.create_task(self._told(events))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        await self._drop(facts)

    async def tidy(self) -> None:
        """Forget what was heard, and hear what nobody confirmed. Raises ``Unavailable``."""
        await self._forget()
        if self.missed is None:
            # One that cannot say so to the feed leaves it to one that can.
            return
        for_long = await self._facts.overdue(self._clock.now() - OVERDUE, BATCH)
        if for_long and await self._drop(for_long):
            self.missed([fact.event for fact in for_long])
            await self._forget()

    async def _drop(self, facts: Sequence[Fact]) -> bool:
        plan = DROPS.plan(fact.event for fact in facts)
        dropped = await self._cache.invalidate(plan.tags, settled=plan.settled)
        # What the server could not be told is owed by this process alone; kept, the fact outlives it.
        if dropped:
            self._heard += [fact.id for fact in facts]
        return dropped

    async def _forget(self) -> None:
        heard, self._heard = self._heard, []
        if heard:
            try:
                await self._facts.forget(heard)
            except BaseException:
                self._heard += heard
                raise

    async def _told(self, events: Sequence[DomainEvent]) -> None:
        assert self.tell is not None
        try:
            await self.tell(events)
        except Exception:
            log.exception("feed_not_told")
            if self.missed is not None:
                self.missed(events)

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
