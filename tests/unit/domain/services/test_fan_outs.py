"""Events for more webhooks than a request serves, over the fakes."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.delivery.fan_out import CHUNK, REQUEST_MAX
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.vocab import FanOutState
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase

EVENT = EventIn(type="order.paid", payload=msgspec.Raw(b"1"))


@pytest.fixture
def publisher(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> Publisher:
    return Publisher(unit_of_work, clock)


@pytest.fixture
def commands(unit_of_work: UnitOfWorkFactory) -> FanOutCommands:
    return FanOutCommands(unit_of_work)


async def add_webhooks(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int, *event_types: str) -> None:
    async with unit_of_work() as uow:
        for _ in range(count):
            await uow.webhooks.add(samples.webhook(clock, event_types=event_types), {}, samples.KEY)
        await uow.commit()


async def test_a_request_serves_a_bounded_number_of_deliveries_itself(
    publisher: Publisher, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await add_webhooks(unit_of_work, clock, 10, "order.*")
    most = await publisher.publish([EVENT] * (REQUEST_MAX // 10), samples.ACTOR)
    assert {(event.deliveries, event.fan_out) for event in most.events} == {(10, FanOutState.DONE)}
    assert len(database.tables.deliveries) == REQUEST_MAX

    more = await publisher.publish([EVENT] * (REQUEST_MAX // 10 + 1), samples.ACTOR)

    assert {(event.deliveries, event.fan_out) for event in more.events} == {(0, FanOutState.RUNNING)}
    assert len(database.tables.deliveries) == REQUEST_MAX
    assert len(database.tables.fan_outs) == 1


async def test_a_fan_out_is_stored_with_its_answer_or_not_at_all(
    publisher: Publisher, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    database.commits_fail = True
    with pytest.raises(Unavailable):
        await publisher.publish([EVENT], samples.ACTOR, key="k")
    assert (database.tables.events, database.tables.fan_outs) == ({}, {})
    database.commits_fail = False
    first = await publisher.publish([EVENT], samples.ACTOR, key="k")
    assert await publisher.publish([EVENT], samples.ACTOR, key="k") == first
    assert first.events[0].fan_out is FanOutState.RUNNING
    assert len(database.tables.fan_outs) == 1


async def test_steps_make_every_delivery_in_bounded_chunks(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    accepted = await publisher.publish([EVENT], samples.ACTOR)
    results = []
    while (result := await commands.step()) is not None:
        results.append(result)
    assert {result.fan_out_id for result in results} == {accepted.events[0].id}
    assert [result.deliveries for result in results] == [CHUNK] * 5 + [1]
    assert [result.is_finished for result in results] == [False] * 5 + [True]
    pairs = Counter((d.event_id, d.webhook_id) for d in database.tables.deliveries.values())
    assert (len(pairs), max(pairs.values())) == (REQUEST_MAX + 1, 1)


async def test_an_alert_for_many_webhooks_takes_the_same_path_and_leaves_out_its_own(
    commands: FanOutCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "monitor.*")
    own = min(database.tables.webhooks)
    async with unit_of_work() as uow:
        await uow.notifications.add([AlertNotification("monitor.alert.raised", b"{}", {}, own)])
        await uow.commit()
    await AlertNotifier(unit_of_work, clock).run()
    assert database.tables.deliveries == {}
    while await commands.step() is not None:
        pass
    assert {d.webhook_id for d in database.tables.deliveries.values()} == database.tables.webhooks.keys() - {own}
