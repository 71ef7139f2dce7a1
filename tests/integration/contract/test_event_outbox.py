"""What every ``EventOutbox`` must do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.repositories.event_outbox import PostgresEventOutbox, append_events
from monitor.domain.events import WebhookCreated
from monitor.domain.ports.repositories.event_outbox import EventOutbox, StoredEvent
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.repositories.event_outbox import FakeEventOutbox
from tests.pgbouncer import database_config

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Stored(NamedTuple):
    """An outbox, and what stores events in it as a commit does."""

    outbox: EventOutbox
    append: Callable[[Sequence[StoredEvent]], Awaitable[None]]


@pytest.fixture
async def stored(dsn: str | None) -> AsyncIterator[Stored]:
    if dsn is None:
        fake = FakeEventOutbox()

        async def keep(events: Sequence[StoredEvent]) -> None:
            fake.append(*events)

        yield Stored(fake, keep)
        return
    async with Database(database_config(dsn, read_pool=1, write_pool=1)) as database:

        async def insert(events: Sequence[StoredEvent]) -> None:
            connection = await database.connect()
            try:
                await append_events(connection, events)
            finally:
                await connection.close()

        yield Stored(PostgresEventOutbox(database), insert)


def events_of(*clocks: FakeClock, count: int) -> list[StoredEvent]:
    """Return *count* events, made in turn by these clocks, one second apart."""
    made = []
    for number in range(count):
        clock = clocks[number % len(clocks)]
        made.append(StoredEvent(clock.new_id(), WebhookCreated(clock.new_id())))
        for each in clocks:
            each.advance(1)
    return made


async def test_the_oldest_come_first_whatever_the_order_of_their_commits(stored: Stored) -> None:
    ahead, exact = FakeClock(BEGIN + timedelta(seconds=5), seed=1), FakeClock(BEGIN, seed=2)
    events = events_of(ahead, exact, count=8)
    await stored.append(events[4:])
    await stored.append(events[:4])
    in_order = sorted(events, key=lambda one: one.id)
    assert in_order != events
    assert await stored.outbox.undispatched(BEGIN + timedelta(hours=1), 100) == in_order
    assert await stored.outbox.undispatched(BEGIN + timedelta(hours=1), 3) == in_order[:3]


async def test_only_events_from_before_a_time_are_found(stored: Stored) -> None:
    events = events_of(FakeClock(BEGIN), count=4)
    await stored.append(events)
    assert await stored.outbox.undispatched(BEGIN, 100) == []
    assert await stored.outbox.undispatched(BEGIN + timedelta(seconds=2), 100) == events[:2]


async def test_deleted_events_are_gone_and_unknown_ones_are_ignored(stored: Stored) -> None:
    clock = FakeClock(BEGIN)
    first, second, third = events_of(clock, count=3)
    await stored.append([first, second, third])
    await stored.outbox.delete([second.id, clock.new_id()])
    assert await stored.outbox.undispatched(BEGIN + timedelta(hours=1), 100) == [first, third]
    await stored.outbox.delete([second.id, first.id])
    await stored.outbox.delete([])
    assert await stored.outbox.undispatched(BEGIN + timedelta(hours=1), 100) == [third]
