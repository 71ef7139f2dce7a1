"""Replays from the request to the last step."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.delivery.replay import ReplayCount, ReplaySpec
from monitor.domain.errors import Invalid, NotFound
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
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
    assert database.tables.jobs == {}


async def test_what_cannot_be_replayed_is_refused(replayer: ReplayCommands) -> None:
    with pytest.raises(NotFound):
        await replayer.start(NOBODY, SPEC, samples.ACTOR)
    with pytest.raises(NotFound):
        await replayer.show(NOBODY)
    with pytest.raises(Invalid):
        await replayer.start(NOBODY, ReplaySpec(from_at=START, to_at=START), samples.ACTOR)
