"""Replays from the request to the last step."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.delivery.replay import ReplayCount, ReplaySpec, ReplayState, ReplayView
from monitor.domain.errors import Invalid, NotFound
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import replays as service
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


async def failed(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int) -> tuple[UUID, list[UUID]]:
    webhook = await samples.add_webhook(unit_of_work, clock)
    ids = await samples.add_deliveries(unit_of_work, clock, webhook.id, count)
    async with unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED) for id_ in ids])
        await uow.commit()
    return webhook.id, sorted(ids)


async def test_a_dry_run_counts_and_changes_nothing(
    replayer: ReplayCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await failed(unit_of_work, clock, 3)
    dry = ReplaySpec(from_at=SPEC.from_at, to_at=SPEC.to_at, dry_run=True)
    assert await replayer.start(webhook_id, dry, samples.ACTOR) == ReplayCount(3)
    assert database.tables.replays == {}
    assert not await replayer.step()


async def test_steps_bring_all_of_it_back_and_end(
    replayer: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "STEP", 2)
    webhook_id, ids = await failed(unit_of_work, clock, 5)
    started = await replayer.start(webhook_id, SPEC, samples.ACTOR)
    assert isinstance(started, ReplayView)
    assert (started.state, started.total, started.queued) == (ReplayState.RUNNING, 5, 0)
    await replayer.run()
    assert sorted(database.tables.deliveries) == ids
    done = await replayer.show(started.id)
    assert (done.state, done.queued) == (ReplayState.DONE, 5)
    assert [row.action for row in database.tables.audit.values()].count("webhook.replay") == 1


async def test_the_pace_is_kept_over_steps(
    replayer: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "STEP", 2)
    monkeypatch.setattr(service, "PER_S", 0.1)
    webhook_id, ids = await failed(unit_of_work, clock, 4)
    await replayer.start(webhook_id, SPEC, samples.ACTOR)
    start = clock.now()
    await replayer.run()
    waits = [round((database.tables.deliveries[id_].due_at - start).total_seconds()) for id_ in ids]
    assert waits == [0, 10, 20, 30]


async def test_what_cannot_be_replayed_is_refused(replayer: ReplayCommands) -> None:
    with pytest.raises(NotFound):
        await replayer.start(NOBODY, SPEC, samples.ACTOR)
    with pytest.raises(NotFound):
        await replayer.show(NOBODY)
    with pytest.raises(Invalid):
        await replayer.start(NOBODY, ReplaySpec(from_at=START, to_at=START), samples.ACTOR)
