"""Facts after their commit: dropped from the cache, told to the feed, and only then forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from monitor.adapters.clock import SystemClock
from monitor.bootstrap import event_dispatch as module
from monitor.bootstrap.event_dispatch import BATCH, OVERDUE, Hearing
from monitor.cache import Cache, Key, Policy, View
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent, SilencesChanged, WebhookStatusChanged, WebhookUpdated
from monitor.domain.ports.repositories.event_outbox import Fact
from monitor.domain.vocab import HealthStatus
from tests.fakes.cache.server import FakeCacheServer, FakeRedis
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.repositories.event_outbox import FakeFactLog

WEBHOOK = UUID(int=7)
KEY = View("thing", Policy(60, 60, 600), ("webhook:{id}",), ("id",)).key(id=WEBHOOK)


class Process:
    """One process's cache and hearing. ``value`` is what the database would answer."""

    def __init__(self, clock: FakeClock, log: FakeFactLog, server: FakeCacheServer | None = None) -> None:
        self.clock = clock
        self.log = log
        # With a server it waits for answers, and so needs a time that passes.
        self.cache = Cache(clock if server is None else SystemClock(), server=server)
        self.hearing = Hearing(self.cache, log, clock)
        self.missed: list[DomainEvent] = []
        self.hearing.missed = self.missed.extend
        self.value = b"old"

    async def read(self, key: Key = KEY) -> bytes:
        async def create() -> bytes:
            return self.value

        return (await self.cache.get(key, create)).body

    def fact(self, event: DomainEvent) -> Fact:
        """Commit *event*."""
        fact = Fact(self.clock.new_id(), event)
        self.log.note(fact)
        return fact


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> FakeFactLog:
    return FakeFactLog()


@pytest.fixture
async def process(clock: FakeClock, log: FakeFactLog) -> AsyncIterator[Process]:
    process = Process(clock, log)
    async with process.cache:
        yield process


async def test_what_is_heard_is_dropped_before_the_commit_returns(process: Process) -> None:
    assert await process.read() == b"old"
    process.value = b"new"
    assert await process.read() == b"old"
    await process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))])
    assert await process.read() == b"new"


async def test_a_fact_is_forgotten_once_it_was_heard_and_not_before(process: Process, log: FakeFactLog) -> None:
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.hearing.hear([fact])
    assert list(log.kept) == [fact.id]
    await process.hearing.tidy()
    assert log.kept == {}


async def test_a_fact_that_the_server_was_not_told_of_is_kept(clock: FakeClock, log: FakeFactLog) -> None:
    redis = FakeRedis(clock)
    process = Process(clock, log, FakeCacheServer(redis))
    async with process.cache:
        redis.stop()
        fact = process.fact(WebhookUpdated(WEBHOOK))
        await process.hearing.hear([fact])
        await process.hearing.tidy()
        clock.advance(OVERDUE.total_seconds() + 0.1)
        await process.hearing.tidy()
        assert list(log.kept) == [fact.id]
        redis.start()
        async with asyncio.timeout(5):
            while log.kept:
                clock.advance(0.5)
                await process.hearing.tidy()
                await asyncio.sleep(0.01)


async def test_what_a_dead_process_left_is_heard_by_another(
    process: Process, clock: FakeClock, log: FakeFactLog
) -> None:
    assert await process.read() == b"old"
    process.value = b"new"
    process.fact(WebhookUpdated(WEBHOOK))
    await process.hearing.tidy()
    assert await process.read() == b"old"
    assert len(log.kept) == 1
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.hearing.tidy()
    assert await process.read() == b"new"
    clock.advance(OVERDUE.total_seconds())
    await process.hearing.tidy()
    assert log.kept == {}


async def test_more_than_one_batch_is_heard_in_turn(process: Process, clock: FakeClock, log: FakeFactLog) -> None:
    for _ in range(BATCH + 1):
        process.fact(SilencesChanged())
    clock.advance(2)
    await process.hearing.tidy()
    clock.advance(2)
    await process.hearing.tidy()
    assert len(log.kept) == 1
    await process.hearing.tidy()
    clock.advance(2)
    await process.hearing.tidy()
    assert log.kept == {}


async def test_what_could_not_be_forgotten_is_tried_again(process: Process, log: FakeFactLog) -> None:
    log.up = False
    await process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))])
    with pytest.raises(Unavailable):
        await process.hearing.tidy()
    log.up = True
    await process.hearing.tidy()
    assert log.kept == {}


async def test_a_caller_who_gives_up_leaves_the_fact_to_be_heard_again(clock: FakeClock, log: FakeFactLog) -> None:
    server = FakeCacheServer(FakeRedis(clock))
    process = Process(clock, log, server)
    async with process.cache:
        server.before["invalidate"] = gate = asyncio.Event()
        hearing = asyncio.create_task(process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))]))
        await asyncio.sleep(0)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await process.hearing.tidy()
        assert len(log.kept) == 1
        gate.set()
        for _ in range(2):
            clock.advance(OVERDUE.total_seconds() + 0.1)
            await process.hearing.tidy()
        assert log.kept == {}


async def test_the_feed_is_told_of_what_happened_in_order(process: Process) -> None:
    told: list[DomainEvent] = []

    async def tell(events: Sequence[DomainEvent]) -> None:
        told.extend(events)

    process.hearing.tell = tell
    changed = WebhookStatusChanged(WEBHOOK, HealthStatus.DEGRADED, "Because.", process.clock.now())
    events: list[DomainEvent] = [WebhookUpdated(WEBHOOK), changed, SilencesChanged()]
    await process.hearing.hear([process.fact(event) for event in events])
    while not told:
        await asyncio.sleep(0)
    assert told == events


async def test_a_feed_that_fails_keeps_nobody_from_being_answered(process: Process, log: FakeFactLog) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        raise RuntimeError("no feed")

    process.hearing.tell = tell
    await process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))])
    while not process.missed:
        await asyncio.sleep(0)
    await process.hearing.tidy()
    assert log.kept == {}


async def test_the_feed_learns_of_what_a_dead_process_may_not_have_told(
    process: Process, clock: FakeClock, log: FakeFactLog
) -> None:
    left = process.fact(WebhookUpdated(WEBHOOK))
    for _ in range(4):
        clock.advance(OVERDUE.total_seconds() + 0.1)
        await process.hearing.tidy()
    assert process.missed == [left.event]


async def test_a_fact_that_its_own_process_forgets_late_was_not_missed(
    process: Process, clock: FakeClock, log: FakeFactLog
) -> None:
    """As it looks to a process whose clock is ahead, or beside one that is busy."""
    told = process.fact(WebhookUpdated(WEBHOOK))
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.hearing.tidy()
    clock.advance(OVERDUE.total_seconds() - 0.2)
    await process.hearing.tidy()
    await log.forget([told.id])
    clock.advance(OVERDUE.total_seconds())
    await process.hearing.tidy()
    assert process.missed == []


async def test_what_a_process_was_still_telling_when_it_ended_is_left_to_others(
    process: Process, clock: FakeClock, log: FakeFactLog
) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        await asyncio.Event().wait()

    async with process.hearing:
        process.hearing.tell = tell
        fact = process.fact(WebhookUpdated(WEBHOOK))
        await process.hearing.hear([fact])
        await process.hearing.tidy()
    assert list(log.kept) == [fact.id]


async def test_who_has_no_feed_leaves_what_a_dead_process_left_to_others(
    process: Process, clock: FakeClock, log: FakeFactLog
) -> None:
    process.hearing.missed = None
    left = process.fact(WebhookUpdated(WEBHOOK))
    clock.advance(OVERDUE.total_seconds() + 0.1)
    await process.hearing.tidy()
    assert list(log.kept) == [left.id]


async def test_the_feed_learns_of_what_could_not_be_told(process: Process) -> None:
    async def tell(events: Sequence[DomainEvent]) -> None:
        raise Unavailable("The database is not reachable.")

    process.hearing.tell = tell
    fact = process.fact(WebhookUpdated(WEBHOOK))
    await process.hearing.hear([fact])
    while not process.missed:
        await asyncio.sleep(0)
    assert process.missed == [fact.event]


async def test_it_tidies_by_itself_through_every_failure(
    process: Process, log: FakeFactLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIDY_S", 0.0)
    log.up = False
    async with process.hearing:
        await process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))])
        for _ in range(5):
            await asyncio.sleep(0)
        log.up = True
        while log.kept:
            await asyncio.sleep(0)


async def test_what_was_heard_is_forgotten_at_the_end(process: Process, log: FakeFactLog) -> None:
    async with process.hearing:
        await process.hearing.hear([process.fact(WebhookUpdated(WEBHOOK))])
    assert log.kept == {}
