"""Concurrent requests that share a transaction get what each would get by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from monitor.domain.delivery.fan_out import NewDelivery, NewEvent
from monitor.domain.errors import IdempotencyMismatch, Unavailable, UnreadableRow
from monitor.domain.ports.unit_of_work import DataRejected, UnitOfWorkFactory
from monitor.domain.services import fan_outs
from monitor.domain.services.publish import EventIn, Publisher, PublishResult
from monitor.domain.vocab import FanOutState
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.repositories.events import FakeEventLog

POISON = b'"poison"'


@pytest.fixture
def publisher(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> Publisher:
    return Publisher(unit_of_work, clock)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each transaction added; one with a poisoned event is refused."""
    added: list[int] = []
    add = FakeEventLog.add

    async def watched(self: FakeEventLog, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        if any(event.payload == POISON for event in events):
            raise DataRejected
        added.append(len(events))
        await add(self, events, deliveries)

    monkeypatch.setattr(FakeEventLog, "add", watched)
    return added


async def together(
    publisher: Publisher, *requests: tuple[str, bytes, str | None]
) -> list[PublishResult | BaseException]:
    """Publish (type, payload, key) in requests at once."""
    calls = (
        publisher.publish([EventIn(type=type_, payload=msgspec.Raw(payload))], samples.ACTOR, key=key, body=payload)
        for type_, payload, key in requests
    )
    return await asyncio.gather(*calls, return_exceptions=True)


def ids(results: Sequence[PublishResult | BaseException]) -> list[object]:
    return [one.events[0].id if isinstance(one, PublishResult) else type(one) for one in results]


async def test_requests_at_once_share_a_transaction(
    publisher: Publisher, database: FakeDatabase, commits: list[int]
) -> None:
    found = await together(publisher, *(("a", b"1", None) for _ in range(9)))
    assert set(ids(found)) == set(database.tables.events)
    assert commits == [9]


async def test_the_request_that_the_database_refuses_fails_alone(
    publisher: Publisher, database: FakeDatabase, commits: list[int]
) -> None:
    found = ids(await together(publisher, *(("a", POISON if n == 4 else b"1", None) for n in range(9))))
    assert found[4] is DataRejected
    assert set(found) - {DataRejected} == set(database.tables.events)
    assert sum(commits) == len(database.tables.events) == 8


async def test_an_outage_is_one_for_all_of_a_transaction(publisher: Publisher, database: FakeDatabase) -> None:
    database.answers_lost = True
    found = await together(publisher, *(("a", b"1", None) for _ in range(3)))
    assert all(isinstance(one, Unavailable) for one in found)


async def test_repeats_and_reused_keys_do_not_disturb_new_requests(
    publisher: Publisher, database: FakeDatabase, unit_of_work: UnitOfWorkFactory
) -> None:
    (first,) = ids(await together(publisher, ("a", b"1", "k")))
    async with unit_of_work() as uow:
        await uow.idempotency.begin(f"{samples.ACTOR.subject} events", "old", b"1")
        await uow.idempotency.finish(f"{samples.ACTOR.subject} events", "old", b'{"of": "another version"}')
        await uow.commit()
    repeated, reused, unreadable, new, twin, plain = ids(
        await together(
            publisher,
            ("a", b"1", "k"),
            ("a", b"2", "k"),
            ("a", b"1", "old"),
            ("a", b"1", "k2"),
            ("a", b"1", "k2"),
            ("a", b"1", None),
        )
    )
    assert (repeated, reused, unreadable) == (first, IdempotencyMismatch, UnreadableRow)
    assert new == twin
    assert set(database.tables.events) == {first, new, plain}


async def test_repeats_alone_change_nothing(publisher: Publisher, database: FakeDatabase) -> None:
    first = await together(publisher, ("a", b"1", "k"))
    assert ids(await together(publisher, ("a", b"1", "k"))) == ids(first)
    assert len(database.tables.events) == 1


async def test_each_request_is_fanned_out_as_by_itself(
    publisher: Publisher,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    commits: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A type with too many subscribers leaves its own requests to workers, and no others."""
    monkeypatch.setattr(fan_outs, "REQUEST_MAX", 4)
    for _ in range(5):
        await samples.add_webhook(unit_of_work, clock, event_types=("many",))
    for _ in range(3):
        await samples.add_webhook(unit_of_work, clock, event_types=("few.*",))
    found = await together(
        publisher, ("few.a", b"1", "k"), ("many", b"1", None), ("few.b", b"1", "l"), ("none", b"1", None)
    )
    accepted = [one.events[0] for one in found if isinstance(one, PublishResult)]
    assert [(one.deliveries, one.fan_out) for one in accepted] == [
        (3, FanOutState.DONE), (0, FanOutState.RUNNING), (3, FanOutState.DONE), (0, FanOutState.DONE)
    ]  # fmt: skip
    assert len(database.tables.deliveries) == 6
    # The deliveries of both would be more than a transaction makes.
    assert commits == [2, 2]


async def test_requests_left_behind_by_a_half_wait_with_it(
    publisher: Publisher,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    commits: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fan_outs, "REQUEST_MAX", 4)
    for _ in range(3):
        await samples.add_webhook(unit_of_work, clock, event_types=("few",))
    found = await together(publisher, ("none", POISON, None), *(("few", b"1", None) for _ in range(5)))
    assert sorted(str(one) for one in ids(found)) == sorted(str(one) for one in (DataRejected, *database.tables.events))
    assert len(database.tables.deliveries) == 15
    assert sum(commits) == 5
