"""
Dispatch of domain events after their commit: cached views are invalidated, live messages published.

An event is stored in the transaction that caused it, dispatched right after the commit, and deleted when both handlers
are done. One that stays, because its process died in between, is found by every other process, which invalidates what
it makes untrue within two seconds. Invalidation is safe to repeat. Publishing is not, and whether it happened is
unknown: a second later ``on_undelivered`` resets the live feed; its readers then start from a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.repositories.event_outbox import EventOutbox, StoredEvent

SWEEP_S = 0.5
OVERDUE = timedelta(seconds=1)
BATCH = 500

Invalidate = Callable[[Sequence[DomainEvent]], Awaitable[bool]]
"""Returns ``False`` if another process may still answer the older value; the events then stay stored."""


class EventDispatcher:
    """
    Dispatcher of one process.

    Args:
        publish: publishes live messages; ``None`` in a process without a live feed, which leaves undelivered events to
            one that has it.
        on_undelivered: called with events that may not have been published.
        on_error: called inside an ``except`` block, with the event name to log.
    """

    def __init__(
        self,
        outbox: EventOutbox,
        clock: Clock,
        *,
        invalidate: Invalidate,
        publish: Callable[[Sequence[DomainEvent]], Awaitable[None]] | None = None,
        on_undelivered: Callable[[Sequence[DomainEvent]], object],
        on_error: Callable[[str, Exception], object],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._invalidate = invalidate
        self._publish = publish
        self._on_undelivered = on_undelivered
        self._on_error = on_error
        self._done: list[UUID] = []
        self._pending: dict[UUID, float] = {}
        """Events of other processes that were invalidated here and stayed, with the monotonic time of that."""
        self._publishing: set[asyncio.Task[bool]] = set()

    async def dispatch(self, stored: Sequence[StoredEvent]) -> None:
        """Handle *stored*, which are committed. Never raises: what fails now is found by :meth:`sweep`."""
        publishing = self._start_publishing([one.event for one in stored])
        if not await self._try_invalidate(stored):
            return
        if publishing is None:
            self._done += [one.id for one in stored]
        else:
            publishing.add_done_callback(partial(self._published, stored))

    async def sweep(self) -> None:
        """Delete what is dispatched, and handle what other processes left behind. Raises ``Unavailable``."""
        await self._delete_done()
        if self._publish is None:
            return
        now = self._clock.monotonic()
        overdue = await self._outbox.undispatched(self._clock.now() - OVERDUE, BATCH)
        self._pending = {one.id: self._pending[one.id] for one in overdue if one.id in self._pending}
        new = [one for one in overdue if one.id not in self._pending]
        if new and await self._try_invalidate(new):
            self._pending |= {one.id: now for one in new}
        # By this process's own clock: a live process deleted its events by now, however its clock differs.
        lost = [one for one in overdue if now - self._pending.get(one.id, now) >= OVERDUE.total_seconds()]
        if lost:
            self._on_undelivered([one.event for one in lost])
            self._done += [one.id for one in lost]
            await self._delete_done()

    async def sweep_loop(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Unavailable as error:
                self._on_error("event_dispatch_postponed", error)

    async def close(self) -> None:
        """Cancel what is being published and delete what is done; the rest is found by another process."""
        tasks: list[asyncio.Task[Any]] = [*self._publishing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._delete_done()
        except Unavailable as error:
            self._on_error("event_dispatch_postponed", error)

    def _start_publishing(self, events: Sequence[DomainEvent]) -> asyncio.Task[bool] | None:
        if self._publish is None:
            return None
        task = asyncio.create_task(self._try_publish(self._publish, events))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        return task

    async def _try_publish(
        self, publish: Callable[[Sequence[DomainEvent]], Awaitable[None]], events: Sequence[DomainEvent]
    ) -> bool:
        try:
            await publish(events)
        except Exception as error:  # noqa: BLE001 - the caller's commit holds; the feed is reset instead
            self._on_error("live_publish_failed", error)
            return False
        return True

    async def _try_invalidate(self, stored: Sequence[StoredEvent]) -> bool:
        try:
            return await self._invalidate([one.event for one in stored])
        except Exception as error:  # noqa: BLE001 - the commit holds; an error here would deny it
            self._on_error("event_dispatch_failed", error)
            return False

    def _published(self, stored: Sequence[StoredEvent], publishing: asyncio.Task[bool]) -> None:
        if publishing.cancelled():
            return  # The process ends; another one finds the events.
        if not publishing.result():
            self._on_undelivered([one.event for one in stored])
        self._done += [one.id for one in stored]

    async def _delete_done(self) -> None:
        done, self._done = self._done, []
        if done:
            try:
                await self._outbox.delete(done)
            except BaseException:
                self._done += done
                raise
