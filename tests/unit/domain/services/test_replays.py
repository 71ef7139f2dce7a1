"""Replays from the request to the last step."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.delivery.job import JobState
from monitor.domain.delivery.replay import ReplayCount, ReplaySpec, ReplayView
from monitor.domain.errors import Invalid, NotFound
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import jobs as service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase

HOUR = timedelta(hours=1)
SPEC = ReplaySpec(from_at=START - HOUR, to_at=START + HOUR)
NOBODY = UUID(int=7)


@pytest.fixture
def replayer(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> ReplayCommands:
    return ReplayCommands(unit_of_work, clock)


@pytest.fixture
def jobs(unit_of_work: UnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch) -> JobCommands:
    monkeypatch.setattr(service, "CHUNK", 2)
    return JobCommands(unit_of_work)


async def failed(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int) -> tuple[UUID, list[UUID]]:
    webhook = await samples.add_webhook(unit_of_work, clock)
    ids = await samples.add_deliveries(unit_of_work, clock, webhook.id, count)
    async with unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED) for id_ in ids])
        await uow.commit()
    return webhook.id, sorted(ids)


async def started(replayer: ReplayCommands, webhook_id: UUID) -> UUID:
    view = await replayer.start(webhook_id, SPEC, samples.ACTOR)
    assert isinstance(view, ReplayView)
    return view.id


async def test_a_dry_run_counts_and_changes_nothing(
    replayer: ReplayCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await failed(unit_of_work, clock, 3)
    dry = ReplaySpec(from_at=SPEC.from_at, to_at=SPEC.to_at, dry_run=True)
    assert await replayer.start(webhook_id, dry, samples.ACTOR) == ReplayCount(3)
    assert database.tables.jobs == {}


async def test_what_cannot_be_replayed_is_refused(replayer: ReplayCommands) -> None:
    with pytest.raises(NotFound):
        await replayer.start(NOBODY, SPEC, samples.ACTOR)
    with pytest.raises(NotFound):
        await replayer.show(NOBODY)
    with pytest.raises(Invalid):
        await replayer.start(NOBODY, ReplaySpec(from_at=START, to_at=START), samples.ACTOR)


async def test_chunks_bring_all_of_a_replay_back_and_end(
    jobs: JobCommands,
    replayer: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook_id, ids = await failed(unit_of_work, clock, 5)
    id_ = await started(replayer, webhook_id)
    before = await replayer.show(id_)
    assert (before.state, before.total, before.queued) == (JobState.RUNNING, 5, 0)
    await jobs.run()
    assert sorted(database.tables.deliveries) == ids
    after = await replayer.show(id_)
    assert (after.state, after.queued) == (JobState.DONE, 5)
    assert [row.action for row in database.tables.audit.values()].count("webhook.replay") == 1


async def test_the_pace_of_a_replay_is_kept_over_chunks(
    jobs: JobCommands,
    replayer: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "REPLAY_PER_S", 0.1)
    monkeypatch.setattr(service, "LEAD_S", 60)
    webhook_id, ids = await failed(unit_of_work, clock, 4)
    await started(replayer, webhook_id)
    start = clock.now()
    await jobs.run()
    waits = [round((database.tables.deliveries[id_].due_at - start).total_seconds()) for id_ in ids]
    assert waits == [0, 10, 20, 30]


async def test_a_replay_makes_deliveries_shortly_before_they_are_due(
    jobs: JobCommands,
    replayer: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a cancellation comes too late for is bounded so, and a long replay is no burst of work for the database."""
    monkeypatch.setattr(service, "REPLAY_PER_S", 0.1)
    monkeypatch.setattr(service, "LEAD_S", 10)
    webhook_id, ids = await failed(unit_of_work, clock, 5)
    id_ = await started(replayer, webhook_id)
    start = clock.now()
    made = []
    for _ in range(4):
        await jobs.run()
        made.append((await replayer.show(id_)).queued)
        clock.advance(service.LEAD_S)
    assert made == [2, 4, 4, 5]
    waits = [round((database.tables.deliveries[delivery].due_at - start).total_seconds()) for delivery in ids]
    assert waits == [0, 10, 20, 30, 40]
