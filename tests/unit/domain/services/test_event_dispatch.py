"""Dispatch of domain events: invalidated, published, and only then deleted from the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import pytest

from monitor.adapters.clock import SystemClock
from monitor.bootstrap.subscribers import invalidator
from monitor.bootstrap.supervise import Supervisor
from monitor.cache import Cache, Key, Policy, View
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent, SilencesChanged, WebhookStatusChanged, WebhookUpdated
from monitor.domain.ports.repositories.event_outbox import StoredEvent
from monitor.domain.services import event_dispatch as module
from monitor.domain.services.event_dispatch import BATCH, OVERDUE, EventDispatcher
from monitor.domain.vocab import HealthStatus
from tests.fakes.cache.server import FakeCacheServer, FakeRedis
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.repositories.event_outbox import FakeEventOutbox

WEBHOOK = UUID(int=7)
KEY = View("thing", Policy(60, 60, 600), ("webhook:{id}",), ("id",)).key(id=WEBHOOK)


async def published(_events: Sequence[DomainEvent]) -> None:
    """A live feed that takes everything."""


class Process:
    """One process's cache and dispatcher. ``value`` is what the database would answer."""

    def __init__(self, clock: FakeClock, log: FakeEventOutbox, server: FakeCacheServer | None = None) -> None:
        self.clock = clock
        self.log = log
        # With a server it waits for answers, and so needs a time that passes.
        self.cache = Cache(clock if server is None else SystemClock(), server=server)
        self.undelivered: list[DomainEvent] = []
        self.errors: list[str] = []
        self.publish: Callable[[Sequence[DomainEvent]], Awaitable[None]] = published
        self.value = b"old"
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(self, *, has_feed: bool = True) -> EventDispatcher:
        async def publish(events: Sequence[DomainEvent]) -> None:
            await self.publish(events)

        return EventDispatcher(
            self.log,
            self.clock,
            invalidate=invalidator(self.cache),
            publish=publish if has_feed else None,
            on_undelivered=self.undelivered.extend,
            on_error=lambda event, _error: self.errors.append(event),
        )

    async def read(self, key: Key = KEY) -> bytes:
        async def create() -> bytes:
            return self.value

        return (await self.cache.get(key, create)).body

    def fact(self, event: DomainEvent) -> StoredEvent:
        """Commit *event*."""
        fact = StoredEvent(self.clock.new_id(), event)
        self.log.append(fact)
        return fact


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> FakeEventOutbox:
    return FakeEventOutbox()


@pytest.fixture
async def process(clock: FakeClock, log: FakeEventOutbox) -> AsyncIterator[Process]:
    process = Process(clock, log)
    async with process.cache:
        yield process


async def test_what_is_heard_is_dropped_before_the_commit_returns(process: Process) -> None:
    assert await process.read() == b"old"
    process.value = b"new"
    assert await process.read() == b"old"
    await process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))])
    assert await process.read() == b"new"


async def test_an_event_is_deleted_once_it_is_dispatched_and_not_before(process: Process, log: FakeEventOutbox) -> None:
    process.dispatcher = process.new_dispatcher(has_feed=False)
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.dispatcher.dispatch([fact])
    assert list(log.kept) == [fact.id]
    await process.dispatcher.sweep()
    assert log.kept == {}


async def test_a_fact_that_the_server_was_not_told_of_is_kept(clock: FakeClock, log: FakeEventOutbox) -> None:
    redis = FakeRedis(clock)
    process = Process(clock, log, FakeCacheServer(redis))
    async with process.cache:
        redis.stop()
        fact = process.fact(WebhookUpdated(WEBHOOK))
        await process.dispatcher.dispatch([fact])
        await process.dispatcher.sweep()
        clock.advance(OVERDUE.total_seconds() + 0.1)
        await process.dispatcher.sweep()
        assert list(log.kept) == [fact.id]
        redis.start()
        async with asyncio.timeout(20):
            while log.kept:
                clock.advance(0.5)
                await process.dispatcher.sweep()
                await asyncio.sleep(0.01)


async def test_what_a_dead_process_left_is_heard_by_another(
    process: Process, clock: FakeClock, log: FakeEventOutbox
) -> None:
    assert await process.read() == b"old"
    process.value = b"new"
    process.fact(WebhookUpdated(WEBHOOK))
    await process.dispatcher.sweep()
    assert await process.read() == b"old"
    assert len(log.kept) == 1
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.dispatcher.sweep()
    assert await process.read() == b"new"
    clock.advance(OVERDUE.total_seconds())
    await process.dispatcher.sweep()
    assert log.kept == {}


async def test_more_than_one_batch_is_heard_in_turn(process: Process, clock: FakeClock, log: FakeEventOutbox) -> None:
    for _ in range(BATCH + 1):
        process.fact(SilencesChanged())
    clock.advance(2)
    await process.dispatcher.sweep()
    clock.advance(2)
    await process.dispatcher.sweep()
    assert len(log.kept) == 1
    await process.dispatcher.sweep()
    clock.advance(2)
    await process.dispatcher.sweep()
    assert log.kept == {}


async def test_a_deletion_that_failed_is_repeated(process: Process, log: FakeEventOutbox) -> None:
    process.dispatcher = process.new_dispatcher(has_feed=False)
    log.up = False
    await process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))])
    with pytest.raises(Unavailable):
        await process.dispatcher.sweep()
    log.up = True
    await process.dispatcher.sweep()
    assert log.kept == {}


async def test_a_caller_who_gives_up_leaves_the_fact_to_be_heard_again(clock: FakeClock, log: FakeEventOutbox) -> None:
    server = FakeCacheServer(FakeRedis(clock))
    process = Process(clock, log, server)
    async with process.cache:
        server.before["drop"] = gate = asyncio.Event()
        hearing = asyncio.create_task(process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))]))
        await asyncio.sleep(0)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await process.dispatcher.sweep()
        assert len(log.kept) == 1
        gate.set()
        for _ in range(2):
            clock.advance(OVERDUE.total_seconds() + 0.1)
            await process.dispatcher.sweep()
        assert log.kept == {}


async def test_the_feed_is_told_of_what_happened_in_order(process: Process) -> None:
    told: list[DomainEvent] = []

    async def tell(events: Sequence[DomainEvent]) -> None:
        told.extend(events)

    process.publish = tell
    changed = WebhookStatusChanged(WEBHOOK, HealthStatus.DEGRADED, "Because.", process.clock.now())
    events: list[DomainEvent] = [WebhookUpdated(WEBHOOK), changed, SilencesChanged()]
    await process.dispatcher.dispatch([process.fact(event) for event in events])
    while not told:
        await asyncio.sleep(0)
    assert told == events


async def test_a_feed_that_fails_keeps_nobody_from_being_answered(process: Process, log: FakeEventOutbox) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        raise RuntimeError("no feed")

    process.publish = tell
    await process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))])
    while not process.undelivered:
        await asyncio.sleep(0)
    await process.dispatcher.sweep()
    assert log.kept == {}


async def test_the_feed_learns_of_what_a_dead_process_may_not_have_told(
    process: Process, clock: FakeClock, log: FakeEventOutbox
) -> None:
    left = process.fact(WebhookUpdated(WEBHOOK))
    for _ in range(4):
        clock.advance(OVERDUE.total_seconds() + 0.1)
        await process.dispatcher.sweep()
    assert process.undelivered == [left.event]


async def test_a_fact_that_its_own_process_forgets_late_was_not_missed(
    process: Process, clock: FakeClock, log: FakeEventOutbox
) -> None:
    """As it looks to a process whose clock is ahead, or beside one that is busy."""
    told = process.fact(WebhookUpdated(WEBHOOK))
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.dispatcher.sweep()
    clock.advance(OVERDUE.total_seconds() - 0.2)
    await process.dispatcher.sweep()
    await log.delete([told.id])
    clock.advance(OVERDUE.total_seconds())
    await process.dispatcher.sweep()
    assert process.undelivered == []


async def test_what_a_process_was_still_telling_when_it_ended_is_left_to_others(
    process: Process, clock: FakeClock, log: FakeEventOutbox
) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        await asyncio.Event().wait()

    process.publish = tell
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.dispatcher.dispatch([fact])
    await process.dispatcher.sweep()
    await process.dispatcher.close()
    assert list(log.kept) == [fact.id]


async def test_who_has_no_feed_leaves_what_a_dead_process_left_to_others(
    process: Process, clock: FakeClock, log: FakeEventOutbox
) -> None:
    process.dispatcher = process.new_dispatcher(has_feed=False)
    left = process.fact(WebhookUpdated(WEBHOOK))
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.dispatcher.sweep()
    assert list(log.kept) == [left.id]


async def test_the_feed_learns_of_what_could_not_be_told(process: Process) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        raise Unavailable("The database is not reachable.")

    process.publish = tell
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.dispatcher.dispatch([fact])
    while not process.undelivered:
        await asyncio.sleep(0)
    assert process.undelivered == [fact.event]


async def test_it_sweeps_through_an_outage(
    process: Process, log: FakeEventOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.0)
    log.up = False
    async with Supervisor().running({"sweep": process.dispatcher.sweep_loop}):
        await process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))])
        while not process.errors:
            await asyncio.sleep(0)
        log.up = True
        while log.kept:
            await asyncio.sleep(0)
    assert set(process.errors) == {"event_dispatch_postponed"}


async def test_dispatched_events_are_deleted_at_the_end(process: Process, log: FakeEventOutbox) -> None:
    process.dispatcher = process.new_dispatcher(has_feed=False)
    await process.dispatcher.dispatch([process.fact(WebhookUpdated(WEBHOOK))])
    await process.dispatcher.close()
    assert log.kept == {}


async def test_a_process_ends_while_the_database_is_away_and_leaves_its_events_to_others(
    process: Process, log: FakeEventOutbox
) -> None:
    process.dispatcher = process.new_dispatcher(has_feed=False)
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.dispatcher.dispatch([fact])
    log.up = False
    await process.dispatcher.close()
    assert process.errors == ["event_dispatch_postponed"]
    assert list(log.kept) == [fact.id]


async def test_an_invalidation_that_fails_leaves_the_commit_answered_and_the_event_stored(
    clock: FakeClock, log: FakeEventOutbox
) -> None:
    process = Process(clock, log)
    async with process.cache:

        async def broken(_events: Sequence[DomainEvent]) -> bool:
            raise ValueError("an answer of the wrong shape")

        process.dispatcher._invalidate = broken
        fact = process.fact(WebhookUpdated(WEBHOOK))
        await process.dispatcher.dispatch([fact])
        await process.dispatcher.close()
        assert process.errors == ["event_dispatch_failed"]
        assert list(log.kept) == [fact.id]
