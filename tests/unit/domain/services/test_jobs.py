"""Jobs from the request to the last chunk."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.job import (
    REPEATED_AFTER_S,
    CancellationParameters,
    Chunk,
    JobKind,
    JobState,
    JobView,
    new_job,
)
from monitor.domain.errors import Conflict, NotFound, Unavailable
from monitor.domain.ports.queue import Postpone
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import jobs as service
from monitor.domain.services import webhooks as registry_service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.registration import spec_of
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.queue import FakeDeliveryQueue
from tests.fakes.postgres.repositories.jobs import FakeJobRepository
from tests.fakes.trouble import Trouble
from tests.unit.domain.services.test_replays import failed, started
from tests.unit.domain.services.test_webhooks import FakeSigning, any_version, canonical

HOUR = timedelta(hours=1)
UNKNOWN = UUID(int=7)


@pytest.fixture
def jobs(unit_of_work: UnitOfWorkFactory) -> JobCommands:
    return JobCommands(unit_of_work)


@pytest.fixture
def replays(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> ReplayCommands:
    return ReplayCommands(unit_of_work, clock)


@pytest.fixture
def registry(unit_of_work: UnitOfWorkFactory, queries: FakeQueries, clock: FakeClock) -> WebhookCommands:
    return WebhookCommands(unit_of_work, queries, clock, FakeSigning(), canonical)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)
    monkeypatch.setattr(registry_service, "CHUNK", 2)


async def test_a_long_job_does_not_hold_up_a_short_one(
    jobs: JobCommands, replays: ReplayCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    long = await started(replays, (await failed(unit_of_work, clock, 20))[0])
    clock.advance(1)
    short = await started(replays, (await failed(unit_of_work, clock, 1))[0])
    for _ in range(3):
        clock.advance(1)
        await jobs.step()
    assert (await jobs.show(short)).state is JobState.DONE
    assert (await jobs.show(long)).done == 4


async def test_a_job_goes_on_from_its_cursor_after_any_commit_that_failed(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook_id, ids = await failed(unit_of_work, clock, 5)
    id_ = await started(replays, webhook_id)
    for loss in ("commits_fail", "answers_lost"):
        setattr(database, loss, True)
        with pytest.raises(Unavailable):
            await jobs.step()
        setattr(database, loss, False)
    await jobs.run()
    assert sorted(database.tables.deliveries) == ids
    assert (await jobs.show(id_)).done == 5


async def test_a_run_leaves_the_rest_of_a_long_job_to_the_next(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "CHUNKS_PER_RUN", 20)
    id_ = await started(replays, (await failed(unit_of_work, clock, 50))[0])
    await jobs.run()
    assert (await jobs.show(id_)).done == service.CHUNKS_PER_RUN * 2
    await jobs.run()
    assert (await jobs.show(id_)).state is JobState.DONE


async def test_a_cancelled_job_makes_no_further_chunk(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    id_ = await started(replays, (await failed(unit_of_work, clock, 5))[0])
    await jobs.step()
    for _ in range(2):
        view = await jobs.cancel(id_, samples.ACTOR)
        assert (view.state, view.done) == (JobState.CANCELLED, 2)
    assert not await jobs.step()
    assert len(database.tables.deliveries) == 2
    assert [row.action for row in database.tables.audit.values()].count("job.cancel") == 1
    assert (await replays.show(id_)).state is JobState.CANCELLED


async def test_a_chunk_that_raises_is_made_again_later_and_the_others_go_on(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, good = [await started(replays, (await failed(unit_of_work, clock, 1))[0]) for _ in range(2)]
    Trouble(monkeypatch, FakeDeliveryQueue, "requeue_finished", KeyError("a row"), "after", times=1)
    with pytest.raises(ExceptionGroup) as raised:
        await jobs.run()
    assert [repr(error) for error in raised.value.exceptions] == ["KeyError('a row')"]
    view = await jobs.show(broken)
    assert (view.state, view.done, view.error) == (JobState.RUNNING, 0, "KeyError: 'a row'")
    assert (await jobs.show(good)).state is JobState.DONE
    assert not await jobs.step()
    clock.advance(REPEATED_AFTER_S[0])
    await jobs.run()
    view = await jobs.show(broken)
    assert (view.state, view.done, view.error) == (JobState.DONE, 1, None)


async def test_a_job_whose_chunk_keeps_raising_fails_where_it_was(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook_id, ids = await failed(unit_of_work, clock, 3)
    id_ = await started(replays, webhook_id)
    await jobs.step()
    tries = len(REPEATED_AFTER_S) + 1
    Trouble(monkeypatch, FakeDeliveryQueue, "requeue_finished", KeyError("a row"), "after", times=tries)
    for wait_s in (*REPEATED_AFTER_S, 0):
        with pytest.raises(ExceptionGroup):
            await jobs.run()
        clock.advance(wait_s)
    view = await jobs.show(id_)
    assert (view.state, view.done, view.error) == (JobState.FAILED, 2, "KeyError: 'a row'")
    assert sorted(database.tables.deliveries) == ids[:2]
    assert not await jobs.step()
    with pytest.raises(Conflict):
        await jobs.cancel(id_, samples.ACTOR)


async def test_a_job_whose_chunk_takes_too_long_lets_the_others_go_first(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, good = [await started(replays, (await failed(unit_of_work, clock, 1))[0]) for _ in range(2)]
    too_long = Unavailable("A statement took longer than 5 s", took_too_long=True)
    Trouble(monkeypatch, FakeDeliveryQueue, "requeue_finished", too_long, "before", times=1)
    clock.advance(1)
    with pytest.raises(Unavailable):
        await jobs.run()
    await jobs.step()
    assert (await jobs.show(good)).state is JobState.DONE
    assert (await jobs.show(slow)).state is JobState.RUNNING
    await jobs.run()
    assert (await jobs.show(slow)).state is JobState.DONE


async def test_a_job_that_was_cancelled_while_it_failed_stays_cancelled(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    id_ = await started(replays, (await failed(unit_of_work, clock, 1))[0])
    cancelling: list[asyncio.Task[JobView]] = []

    async def breaks(*_args: object, **_options: object) -> Chunk:
        # The cancellation waits for its turn, which is the next one.
        cancelling.append(asyncio.create_task(jobs.cancel(id_, samples.ACTOR)))
        await asyncio.sleep(0)
        raise KeyError("a row")

    monkeypatch.setattr(FakeDeliveryQueue, "requeue_finished", breaks)
    with pytest.raises(KeyError):
        await jobs.step()
    assert (await cancelling[0]).state is JobState.CANCELLED
    assert (await jobs.show(id_)).state is JobState.CANCELLED


async def test_jobs_are_listed_newest_first(
    jobs: JobCommands, replays: ReplayCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    webhook_id, _ = await failed(unit_of_work, clock, 1)
    ids = [await started(replays, webhook_id) for _ in range(3)]
    await jobs.cancel(ids[1], samples.ACTOR)

    async def listed(state: JobState | None = None, after: UUID | None = None, limit: int = 9) -> list[UUID]:
        found: list[JobView] = await jobs.list(state=state, after=after, limit=limit)
        return [job.id for job in found]

    assert await listed() == ids[::-1]
    assert await listed(limit=2) == ids[:0:-1]
    assert await listed(after=ids[1]) == ids[:1]
    assert await listed(JobState.CANCELLED) == ids[1:2]


async def test_an_unknown_job_is_not_found(jobs: JobCommands) -> None:
    with pytest.raises(NotFound):
        await jobs.show(UNKNOWN)
    with pytest.raises(NotFound):
        await jobs.cancel(UNKNOWN, samples.ACTOR)
    assert not await jobs.step()


async def test_a_deletion_cancels_a_chunk_at_once_and_the_rest_by_a_job(
    jobs: JobCommands,
    registry: WebhookCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook, other = [await samples.add_webhook(unit_of_work, clock) for _ in range(2)]
    ids = await samples.add_deliveries(unit_of_work, clock, webhook.id, 5)
    untouched = await samples.add_deliveries(unit_of_work, clock, other.id, 1)
    await registry.remove(webhook.id, samples.ACTOR, require=any_version)
    [job] = await jobs.list(state=None, after=None, limit=9)
    [row] = database.tables.audit.values()
    assert row.after == {"cancelled_deliveries": 2, "job": str(job.id)}
    assert (job.state, job.done, job.total) == (JobState.RUNNING, 2, None)
    with pytest.raises(Conflict):
        await jobs.cancel(job.id, samples.ACTOR)
    with pytest.raises(NotFound):
        await replays.show(job.id)
    await jobs.run()
    assert {id_ for id_, done in database.tables.finished.items() if done.state is DeliveryState.CANCELLED} == set(ids)
    assert list(database.tables.deliveries) == untouched
    over = await jobs.show(job.id)
    assert (over.state, over.done) == (JobState.DONE, 5)


async def test_a_skip_moves_a_chunk_at_once_and_the_rest_by_a_job(
    jobs: JobCommands,
    registry: WebhookCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock, ordered="key")
    ids = sorted(await samples.add_deliveries(unit_of_work, clock, webhook.id, 5))
    async with unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + HOUR, 500, "status") for id_ in ids[1:]])
        await uow.commit()

    def aside() -> list[UUID]:
        return [id_ for id_ in ids if database.tables.deliveries[id_].aside]

    spec = replace(spec_of(webhook), headers={}, skip_after=1)
    await registry.replace(webhook.id, spec, samples.ACTOR, require=any_version)
    [job] = await jobs.list(state=None, after=None, limit=9)
    assert (job.kind, job.state, job.done, aside()) == (JobKind.STEP_ASIDE, JobState.RUNNING, 1, ids[1:2])
    await jobs.run()
    over = await jobs.show(job.id)
    assert (over.state, over.done, aside()) == (JobState.DONE, 4, ids[1:])
    short = await samples.add_webhook(unit_of_work, clock, ordered="key")
    for id_ in (webhook.id, short.id):
        await registry.replace(id_, spec, samples.ACTOR, require=any_version)
    assert len(await jobs.list(state=None, after=None, limit=9)) == 1


async def test_what_is_added_behind_the_cursor_of_a_cancellation_is_cancelled_too(
    jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock)
    await samples.add_deliveries(unit_of_work, clock, webhook.id, 3)
    async with unit_of_work() as uow:
        parameters = CancellationParameters(webhook_id=webhook.id)
        job = new_job(clock.new_id(), parameters, created_by="ada", now=uow.now)
        await uow.jobs.add(job)
        await uow.commit()
    await jobs.step()
    first = min(database.tables.finished)
    async with unit_of_work() as uow:
        await uow.queue.requeue(first)
        await uow.commit()
    await jobs.run()
    assert database.tables.deliveries == {}
    assert (await jobs.show(job.id)).done == 4


async def test_what_was_published_during_a_deletion_is_found(
    jobs: JobCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    webhook, other = [await samples.add_webhook(unit_of_work, clock) for _ in range(2)]
    async with unit_of_work() as uow:
        await uow.webhooks.remove(webhook.id)
        await uow.commit()
    await samples.add_deliveries(unit_of_work, clock, webhook.id, 2)
    kept = await samples.add_deliveries(unit_of_work, clock, other.id, 1)
    await jobs.cancel_left_behind()
    assert list(database.tables.deliveries) == kept


async def test_an_error_before_a_job_is_taken_counts_for_none(
    jobs: JobCommands,
    replays: ReplayCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    id_ = await started(replays, (await failed(unit_of_work, clock, 1))[0])
    Trouble(monkeypatch, FakeJobRepository, "take", KeyError("a row"), "before", times=1)
    with pytest.raises(KeyError):
        await jobs.step()
    await jobs.run()
    assert (await jobs.show(id_)).state is JobState.DONE
