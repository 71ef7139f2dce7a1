"""Accepting events."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from monitor.domain.errors import IdempotencyMismatch, Invalid, Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.publish import EventIn, Publisher, PublishResult
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase


@pytest.fixture
def publisher(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> Publisher:
    return Publisher(unit_of_work, clock)


def posted(type_: str = "order.paid", **fields: Any) -> EventIn:
    return EventIn(type=type_, payload=msgspec.Raw(b'{"a": 1.0}'), **fields)


async def test_an_event_goes_to_every_webhook_that_wants_it(
    publisher: Publisher, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    blue = await samples.add_webhook(unit_of_work, clock, event_types=("order.*",), labels={"team": "blue"})
    every = await samples.add_webhook(unit_of_work, clock)
    await samples.add_webhook(unit_of_work, clock, enabled=False)
    answer = await publisher.publish(
        [posted(labels={"team": "blue"}), posted(labels={"team": "red"}), posted("user.created")], samples.ACTOR
    )
    assert [accepted.deliveries for accepted in answer.events] == [2, 1, 1]
    assert [accepted.type for accepted in answer.events] == ["order.paid", "order.paid", "user.created"]
    first = {d.webhook_id for d in database.tables.deliveries.values() if d.event_id == answer.events[0].id}
    assert first == {blue.id, every.id}


async def test_an_event_without_a_time_occurred_when_it_was_accepted(
    publisher: Publisher, clock: FakeClock, database: FakeDatabase
) -> None:
    at = datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    answer = await publisher.publish([posted(), posted(occurred_at=at)], samples.ACTOR)
    stored = [database.tables.events[accepted.id].event for accepted in answer.events]
    assert [event.occurred_at for event in stored] == [clock.now(), at]
    assert stored[0].payload == b'{"a": 1.0}'


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"type_": "order paid"}, "/events/1/type"),
        ({"type_": "monitor.alert.raised"}, "/events/1/type"),
        ({"order_key": "monitor.alert.7"}, "/events/1/order_key"),
        ({"labels": {str(n): "" for n in range(33)}}, "/events/1/labels"),
        ({"labels": {"team\x1b": "blue"}}, "/events/1/labels"),
        ({"labels": {"team": "\u202eeulb"}}, "/events/1/labels"),
        ({"occurred_at": datetime(2026, 1, 1)}, "/events/1/occurred_at"),  # noqa: DTZ001
        ({"occurred_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "/events/1/occurred_at"),
        ({"occurred_at": datetime(9999, 12, 31, 23, tzinfo=UTC)}, "/events/1/occurred_at"),
    ],
)
async def test_one_bad_event_refuses_the_batch(
    publisher: Publisher, database: FakeDatabase, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await publisher.publish([posted(), posted(**fields)], samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert database.tables.events == {}


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_holds_one_to_a_thousand_events(publisher: Publisher, count: int) -> None:
    with pytest.raises(Invalid):
        await publisher.publish([posted()] * count, samples.ACTOR)


async def test_a_repeated_call_answers_the_same_and_stores_nothing_more(
    publisher: Publisher, database: FakeDatabase
) -> None:
    async def publish(body: bytes) -> PublishResult:
        return await publisher.publish([posted()], samples.ACTOR, key="k", body=body)

    first = await publish(b"one")
    assert await publish(b"one") == first
    assert len(database.tables.events) == 1
    with pytest.raises(IdempotencyMismatch):
        await publish(b"two")


async def test_nothing_is_accepted_that_was_not_committed(publisher: Publisher, database: FakeDatabase) -> None:
    database.commits_fail = True
    with pytest.raises(Unavailable):
        await publisher.publish([posted()], samples.ACTOR, key="k", body=b"one")
    database.commits_fail = False
    assert database.tables.events == {}
    assert len((await publisher.publish([posted()], samples.ACTOR, key="k", body=b"one")).events) == 1


@pytest.mark.parametrize("key", ["monitor.alert.7", "monitor.alert.", "monitor.alerts", "monitor-alert.7", "customer"])
async def test_the_schema_of_an_order_key_refuses_what_is_refused(publisher: Publisher, key: str) -> None:
    """A client that checks its requests against the document sends none that is refused for its key."""
    order_key = msgspec.json.schema_components([EventIn])[1]["EventIn"]["properties"]["order_key"]
    (pattern,) = [one["pattern"] for one in order_key["anyOf"] if "pattern" in one]
    try:
        await publisher.publish([posted(order_key=key)], samples.ACTOR)
    except Invalid:
        taken = False
    else:
        taken = True
    assert (re.search(pattern, key) is not None) == taken
