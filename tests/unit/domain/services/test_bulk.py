"""Bulk work from the request to the last chunk."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.bulk import BulkAction, BulkCount, BulkSpec
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.job import JobKind, JobState, JobView
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import IdempotencyMismatch, Invalid, Unavailable
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import jobs as service
from monitor.domain.services.bulk import BulkCommands
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase

FAILED = BulkSpec(action=BulkAction.RETRY, filter=DeliveryFilter(state=DeliveryState.FAILED))
WAITING = BulkSpec(action=BulkAction.CANCEL, filter=DeliveryFilter(), all=True)
FINISHED = BulkSpec(action=BulkAction.RESEND, filter=DeliveryFilter(), all=True)


@pytest.fixture
def bulk(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> BulkCommands:
    return BulkCommands(unit_of_work, clock)


@pytest.fixture
def jobs(unit_of_work: UnitOfWorkFactory) -> JobCommands:
    return JobCommands(unit_of_work)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)


async def waiting(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int) -> tuple[UUID, list[UUID]]:
    webhook = await samples.add_webhook(unit_of_work, clock)
    return webhook.id, sorted(await samples.add_deliveries(unit_of_work, clock, webhook.id, count))


async def failed(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int) -> tuple[UUID, list[UUID]]:
    webhook_id, ids = await waiting(unit_of_work, clock, count)
    async with unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED, 503, "status", 1) for id_ in ids])
        await uow.commit()
    return webhook_id, ids


async def started(bulk: BulkCommands, spec: BulkSpec) -> JobView:
    view = await bulk.start(spec, samples.ACTOR)
    assert isinstance(view, JobView)
    return view


async def test_a_dry_run_counts_and_changes_nothing(
    bulk: BulkCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await failed(unit_of_work, clock, 3)
    dry = BulkSpec(action=BulkAction.RETRY, filter=FAILED.filter, dry_run=True)
    assert await bulk.start(dry, samples.ACTOR) == BulkCount(3, complete=True)
    assert (database.tables.jobs, database.tables.audit) == ({}, {})


async def test_failed_ones_of_all_webhooks_come_back_at_a_bounded_rate_for_each(
    bulk: BulkCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "REPLAY_PER_S", 0.1)
    (_, first), (_, second) = [await failed(unit_of_work, clock, 3) for _ in range(2)]
    job = await started(bulk, FAILED)
    assert (job.kind, job.state, job.total) == (JobKind.BULK_RETRY, JobState.RUNNING, 6)
    start = clock.now()
    await jobs.run()
    due = database.tables.deliveries
    for ids in (first, second):
        assert [round((due[id_].due_at - start).total_seconds()) for id_ in ids] == [0, 10, 20]
    over = await jobs.show(job.id)
    assert (over.state, over.done) == (JobState.DONE, 6)
    [row] = database.tables.audit.values()
    assert (row.action, row.target) == ("deliveries.retry", f"job:{job.id}")


async def test_a_resent_delivery_is_sent_again_once_however_fast_it_ends(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await failed(unit_of_work, clock, 5)
    job = await started(bulk, FINISHED)
    while await jobs.step():
        async with unit_of_work() as uow:
            await uow.queue.finish([Finish(id_, DeliveryState.DELIVERED) for id_ in database.tables.deliveries])
            await uow.commit()
    assert (await jobs.show(job.id)).done == 5


async def test_what_another_transaction_holds_is_skipped_and_changed_later(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    held, ids = await waiting(unit_of_work, clock, 1)
    _, others = await waiting(unit_of_work, clock, 4)
    job = await started(bulk, WAITING)
    database.locked.add(held)
    for _ in range(6):
        await jobs.step()
    assert sorted(database.tables.finished) == others
    assert (await jobs.show(job.id)).state is JobState.RUNNING
    database.locked.clear()
    await jobs.run()
    assert sorted(database.tables.finished) == sorted(ids + others)
    assert (await jobs.show(job.id)).done == 5


async def test_no_more_is_skipped_than_one_chunk(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    held, _ = await waiting(unit_of_work, clock, 5)
    job = await started(bulk, WAITING)
    database.locked.add(held)
    for _ in range(5):
        await jobs.step()
    assert len(database.tables.jobs[job.id].skipped) == 2
    database.locked.clear()
    await jobs.run()
    assert (await jobs.show(job.id)).done == 5


async def test_a_chunk_that_was_not_committed_is_done_again(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await failed(unit_of_work, clock, 5)
    job = await started(bulk, FAILED)
    for loss in ("commits_fail", "answers_lost"):
        setattr(database, loss, True)
        with pytest.raises(Unavailable):
            await jobs.step()
        setattr(database, loss, False)
    await jobs.run()
    assert len(database.tables.deliveries) == (await jobs.show(job.id)).done == 5


async def test_a_cancelled_job_makes_no_further_chunk(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await waiting(unit_of_work, clock, 5)
    job = await started(bulk, WAITING)
    await jobs.step()
    await jobs.cancel(job.id, samples.ACTOR)
    assert not await jobs.step()
    assert len(database.tables.deliveries) == 3


async def test_what_is_accepted_after_the_start_is_left_alone(
    bulk: BulkCommands, jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook_id, _ = await waiting(unit_of_work, clock, 1)
    await started(bulk, WAITING)
    clock.advance(1)
    later = await samples.add_deliveries(unit_of_work, clock, webhook_id, 1)
    await jobs.run()
    assert list(database.tables.deliveries) == later


@pytest.mark.parametrize("spec", [FAILED, FINISHED])
async def test_an_open_breaker_admits_its_probe_when_attempts_are_asked_for(
    spec: BulkSpec,
    bulk: BulkCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook_id, _ = await failed(unit_of_work, clock, 1)
    until = clock.now() + timedelta(hours=1)
    async with unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([webhook_id])
        [lane] = lanes.values()
        opened = Breaker(BreakerState.OPEN, until, 1)
        await uow.queue.save_lanes([replace(lane, breaker=opened)])
        await uow.commit()
    await started(bulk, spec)
    await jobs.run()
    after = database.tables.lanes[webhook_id].breaker
    assert after.until is not None
    assert after.until <= clock.now()


async def test_an_empty_filter_is_refused_unless_all_are_meant(bulk: BulkCommands) -> None:
    with pytest.raises(Invalid) as refused:
        await bulk.start(BulkSpec(action=BulkAction.CANCEL, filter=DeliveryFilter()), samples.ACTOR)
    [error] = refused.value.errors
    assert error.pointer == "/filter"
    assert '"all": true' in error.detail


async def test_a_repeat_with_its_key_starts_no_second_job(bulk: BulkCommands, database: FakeDatabase) -> None:
    first = await bulk.start(FAILED, samples.ACTOR, key="one", body=b"1")
    assert await bulk.start(FAILED, samples.ACTOR, key="one", body=b"1") == first
    assert len(database.tables.jobs) == 1
    with pytest.raises(IdempotencyMismatch):
        await bulk.start(FAILED, samples.ACTOR, key="one", body=b"2")
