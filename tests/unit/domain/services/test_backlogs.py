"""Send now: from the request to the last chunk of its job."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.job import JobKind, JobState
from monitor.domain.errors import Conflict, NotFound
from monitor.domain.events import LaneChanged
from monitor.domain.ports.queue import Postpone
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import backlogs, jobs
from monitor.domain.services.backlogs import BacklogCommands, SendNowView
from monitor.domain.services.jobs import JobCommands
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase

HOUR = timedelta(hours=1)


@pytest.fixture
def commands(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> BacklogCommands:
    return BacklogCommands(unit_of_work, clock)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (backlogs, jobs):
        monkeypatch.setattr(service, "CHUNK", 2)


async def postponed(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int) -> tuple[UUID, list[UUID]]:
    """Add a webhook with *count* deliveries that failed once and wait for an hour; the first of them is due."""
    webhook = await samples.add_webhook(unit_of_work, clock)
    ids = sorted(await samples.add_deliveries(unit_of_work, clock, webhook.id, count + 1))
    async with unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + HOUR, 500, "status") for id_ in ids[1:]])
        await uow.commit()
    return webhook.id, ids


async def change_lane(unit_of_work: UnitOfWorkFactory, webhook_id: UUID, **changes: object) -> None:
    async with unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([webhook_id])
        await uow.queue.save_lanes([replace(lane, **changes) for lane in lanes.values()])
        await uow.commit()


async def test_the_breaker_admits_its_probe_and_what_waits_falls_due(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, ids = await postponed(unit_of_work, clock, 1)
    await change_lane(unit_of_work, webhook_id, breaker=Breaker(BreakerState.OPEN, clock.now() + HOUR, 3))
    answer = await commands.send_now(webhook_id, samples.ACTOR)
    assert answer == SendNowView(hastened=1, job=None, held=None)
    assert database.tables.lanes[webhook_id].breaker == Breaker(BreakerState.OPEN, clock.now(), 3)
    rows = [database.tables.deliveries[id_] for id_ in ids]
    assert [row.due_at for row in rows] == [clock.now()] * 2
    # The one that failed starts its schedule over, as after a retry by hand; the other never began it.
    assert [row.attempts - row.schedule_from for row in rows] == [0, 0]
    assert LaneChanged(webhook_id) in database.domain_events
    (row,) = database.tables.audit.values()
    assert (row.action, row.target, row.after) == ("webhook.send_now", f"webhook:{webhook_id}", {"hastened": 1})


async def test_more_than_a_request_changes_is_a_job_at_a_bounded_rate(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, ids = await postponed(unit_of_work, clock, 5)
    answer = await commands.send_now(webhook_id, samples.ACTOR)
    assert answer.hastened == 2
    (job,) = database.tables.jobs.values()
    assert (answer.job, job.kind, job.done) == (job.id, JobKind.SEND_NOW, 2)
    (row,) = database.tables.audit.values()
    assert row.after == {"hastened": 2, "job": str(job.id)}
    await JobCommands(unit_of_work).run()
    (job,) = database.tables.jobs.values()
    assert (job.state, job.done) == (JobState.DONE, 5)
    due = [database.tables.deliveries[id_].due_at for id_ in ids[1:]]
    assert due == [clock.now() + timedelta(seconds=place / jobs.REPLAY_PER_S) for place in range(5)]


async def test_sending_twice_changes_nothing_more(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await postponed(unit_of_work, clock, 5)
    await commands.send_now(webhook_id, samples.ACTOR)
    await JobCommands(unit_of_work).run()
    before = database.tables.deliveries, database.tables.paced_until
    assert await commands.send_now(webhook_id, samples.ACTOR) == SendNowView(hastened=0, job=None, held=None)
    assert (database.tables.deliveries, database.tables.paced_until) == before
    assert [row.action for row in database.tables.audit.values()] == ["webhook.send_now"] * 2


async def test_a_delivery_in_flight_keeps_its_lease(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock)
    await samples.add_deliveries(unit_of_work, clock, webhook.id)
    await samples.take(unit_of_work, webhook.id, 1)
    before = database.tables.deliveries
    assert (await commands.send_now(webhook.id, samples.ACTOR)).hastened == 0
    assert database.tables.deliveries == before


async def test_what_the_receiver_asked_for_holds_and_the_answer_says_so(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    webhook_id, _ = await postponed(unit_of_work, clock, 1)
    until = clock.now() + HOUR
    await change_lane(unit_of_work, webhook_id, throttled_until=until)
    assert (await commands.send_now(webhook_id, samples.ACTOR)).held == Held(HeldReason.THROTTLED, until)


async def test_a_probe_under_way_decides(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await postponed(unit_of_work, clock, 1)
    probing = Breaker(BreakerState.HALF_OPEN, clock.now() + HOUR, 3)
    await change_lane(unit_of_work, webhook_id, breaker=probing)
    held = (await commands.send_now(webhook_id, samples.ACTOR)).held
    assert held is not None
    assert held.reason is HeldReason.CIRCUIT_OPEN
    assert database.tables.lanes[webhook_id].breaker == probing


@pytest.mark.parametrize(("changes", "words"), [({"enabled": False}, "enable it"), ({"paused_at": True}, "resume it")])
async def test_nothing_is_sent_to_a_webhook_that_a_user_holds(
    changes: dict[str, object],
    words: str,
    commands: BacklogCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    if "paused_at" in changes:
        changes = {"paused_at": clock.now()}
    webhook = await samples.add_webhook(unit_of_work, clock, **changes)
    with pytest.raises(Conflict, match=words):
        await commands.send_now(webhook.id, samples.ACTOR)
    assert not database.tables.audit


async def test_an_unknown_webhook_is_not_found(commands: BacklogCommands) -> None:
    with pytest.raises(NotFound):
        await commands.send_now(UUID(int=7), samples.ACTOR)


async def test_a_lane_that_this_version_cannot_read_is_not_promised_anything(
    commands: BacklogCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await postponed(unit_of_work, clock, 1)
    del database.tables.lanes[webhook_id]
    assert (await commands.send_now(webhook_id, samples.ACTOR)).held is None
