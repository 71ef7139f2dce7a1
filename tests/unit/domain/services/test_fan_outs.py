"""Events for more webhooks than a request serves, over the fakes."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.delivery.fan_out import CHUNK, REQUEST_MAX, FanOut
from monitor.domain.delivery.job import REPEATED_AFTER_S, JobKind, JobState
from monitor.domain.errors import Unavailable, UnreadableRow
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.vocab import FanOutState
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.repositories.events import FakeEventLog
from tests.fakes.postgres.repositories.fan_outs import FakeFanOutQueue
from tests.fakes.trouble import Trouble

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


UNREADABLE = UnreadableRow("by another version")


def unreadable(monkeypatch: pytest.MonkeyPatch, event_id: UUID) -> None:
    """Let no version read the fan-out of *event_id*."""
    real = FakeFanOutQueue.get

    async def get(queue: FakeFanOutQueue, fan_out_id: UUID) -> FanOut:
        if fan_out_id == event_id:
            raise UNREADABLE
        return await real(queue, fan_out_id)

    monkeypatch.setattr(FakeFanOutQueue, "get", get)


async def test_a_fan_out_that_no_version_can_read_stops_no_other_and_is_given_up(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    poison, good = [(await publisher.publish([EVENT], samples.ACTOR)).events[0].id for _ in range(2)]
    unreadable(monkeypatch, poison)
    results = []
    while (result := await commands.step()) is not None:
        results.append(result)
    assert [result.error for result in results if result.error] == [UNREADABLE]
    assert {d.event_id for d in database.tables.deliveries.values()} == {good}
    assert list(database.tables.fan_outs) == [poison]

    jobs = JobCommands(unit_of_work)
    view = await jobs.show(poison)
    assert (view.kind, view.state, view.created_by) == (JobKind.FAN_OUT, JobState.RUNNING, "system")
    assert view.error == "UnreadableRow: by another version"
    for wait_s in REPEATED_AFTER_S:
        assert list(database.tables.fan_outs) == [poison]
        clock.advance(wait_s)
        with pytest.raises(ExceptionGroup):
            await jobs.run()
    assert (await jobs.show(poison)).state is JobState.FAILED
    assert database.tables.fan_outs == {}


async def test_a_fan_out_that_can_be_read_again_is_finished_by_its_job(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    event = (await publisher.publish([EVENT], samples.ACTOR)).events[0].id
    Trouble(monkeypatch, FakeEventLog, "add", KeyError("a row"), "after", times=1)
    failed = await commands.step()
    assert failed
    assert repr(failed.error) == "KeyError('a row')"
    assert await commands.step() is None
    clock.advance(REPEATED_AFTER_S[0])
    await JobCommands(unit_of_work).run()
    view = await JobCommands(unit_of_work).show(event)
    assert (view.state, view.done, view.error) == (JobState.DONE, REQUEST_MAX + 1, None)
    assert len(database.tables.deliveries) == REQUEST_MAX + 1
    assert database.tables.fan_outs == {}


async def test_a_fan_out_is_given_up_when_its_job_is_cancelled(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    event = (await publisher.publish([EVENT], samples.ACTOR)).events[0].id
    unreadable(monkeypatch, event)
    await commands.step()
    assert (await JobCommands(unit_of_work).cancel(event, samples.ACTOR)).state is JobState.CANCELLED
    assert database.tables.fan_outs == {}


async def test_a_job_whose_fan_out_another_worker_finished_is_done(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    event = (await publisher.publish([EVENT], samples.ACTOR)).events[0].id
    Trouble(monkeypatch, FakeEventLog, "add", KeyError("a row"), "before", times=1)
    await commands.step()
    database.tables.fan_outs.clear()
    clock.advance(REPEATED_AFTER_S[0])
    await JobCommands(unit_of_work).run()
    assert (await JobCommands(unit_of_work).show(event)).state is JobState.DONE


@pytest.mark.parametrize("too_long", [True, False])
async def test_a_fan_out_whose_chunk_takes_too_long_is_left_to_a_job_and_one_that_met_an_outage_is_not(
    too_long: bool,
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    await publisher.publish([EVENT], samples.ACTOR)
    Trouble(monkeypatch, FakeEventLog, "add", Unavailable("It is slow.", took_too_long=too_long), "before", times=1)
    with pytest.raises(Unavailable):
        await commands.step()
    assert len(database.tables.jobs) == too_long
    assert (await commands.step() is None) is too_long


async def test_a_failure_before_a_fan_out_is_taken_is_raised(
    commands: FanOutCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (KeyError("a row"), Unavailable("It is slow.", took_too_long=True)):
        Trouble(monkeypatch, FakeFanOutQueue, "take", error, "before", times=1)
        with pytest.raises(type(error)):
            await commands.step()


async def test_two_workers_that_fail_on_one_fan_out_leave_it_to_one_job(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add_webhooks(unit_of_work, clock, REQUEST_MAX + 1, "order.*")
    event = (await publisher.publish([EVENT], samples.ACTOR)).events[0].id
    unreadable(monkeypatch, event)
    await commands.step()
    [job] = database.tables.jobs.values()

    async def take(_queue: FakeFanOutQueue) -> UUID:
        # As it was before the job of the other worker was stored.
        return event

    monkeypatch.setattr(FakeFanOutQueue, "take", take)
    await commands.step()
    assert list(database.tables.jobs.values()) == [job]


async def test_a_chunk_without_a_delivery_moves_its_fan_out_on(
    publisher: Publisher,
    commands: FanOutCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    async with unit_of_work() as uow:
        for _ in range(REQUEST_MAX + 1):
            await uow.webhooks.add(samples.webhook(clock, labels={"team": "shipping"}), {}, samples.KEY)
        await uow.commit()
    await publisher.publish([EVENT], samples.ACTOR)
    results = []
    while (result := await commands.step()) is not None:
        results.append(result.deliveries)
    assert results == [0] * 6
    assert (database.tables.fan_outs, database.tables.deliveries) == ({}, {})
