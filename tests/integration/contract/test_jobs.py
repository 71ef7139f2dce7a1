"""The job repository and the queue's bounded steps, in memory and in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.job import (
    REPEATED_AFTER_S,
    CancellationParameters,
    Chunk,
    Job,
    JobParameters,
    JobState,
    ReplayParameters,
    StepAsideParameters,
    advance,
    cancel,
    fail,
    new_job,
)
from monitor.domain.delivery.lane import resume
from monitor.domain.errors import NotFound
from monitor.domain.ports.queue import Postpone
from monitor.domain.vocab import DeliveryState
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
UNKNOWN = UUID("01900000-0000-7000-8000-000000000000")


async def add(world: World, *, kind: type[JobParameters] = CancellationParameters, ago: timedelta = HOUR) -> Job:
    async with world.unit_of_work() as uow:
        id_, webhook_id = world.clock.new_id(), world.clock.new_id()
        parameters: JobParameters = CancellationParameters(webhook_id=webhook_id)
        if kind is StepAsideParameters:
            parameters = StepAsideParameters(webhook_id=webhook_id)
        if kind is ReplayParameters:
            states = (DeliveryState.FAILED, DeliveryState.CANCELLED)
            parameters = ReplayParameters(webhook_id=webhook_id, from_at=uow.now - HOUR, to_at=uow.now, states=states)
        job = new_job(id_, parameters, created_by="ada", now=uow.now - ago)
        await uow.jobs.add(job)
        await uow.commit()
    return job


@pytest.mark.parametrize("kind", [ReplayParameters, CancellationParameters, StepAsideParameters])
async def test_a_job_is_read_as_it_was_stored(world: World, kind: type[JobParameters]) -> None:
    job = await add(world, kind=kind)
    async with world.unit_of_work() as uow:
        assert await uow.jobs.get(job.id) == job
        changed = fail(advance(job, Chunk(7, job.id, more=True), uow.now), "a bug", uow.now)
        assert changed.errors == 1
        await uow.jobs.save(changed)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.jobs.get(job.id, lock=True) == changed


async def test_the_job_whose_last_chunk_is_longest_ago_is_next(world: World) -> None:
    newer, older = await add(world), await add(world, ago=2 * HOUR)
    async with world.unit_of_work() as uow:
        assert await uow.jobs.take() == older
        await uow.jobs.save(advance(older, Chunk(1, None, more=True), uow.now))
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.jobs.take() == newer


async def test_a_job_with_an_error_is_taken_after_its_wait(world: World) -> None:
    job = await add(world)
    for ago, taken in ((timedelta(0), None), (HOUR, job.id)):
        async with world.unit_of_work() as uow:
            await uow.jobs.save(fail(job, "a bug", uow.now - ago))
            await uow.commit()
        async with world.unit_of_work() as uow:
            found = await uow.jobs.take()
            assert (found and found.id) == taken


async def test_a_finished_job_is_not_taken_again(world: World) -> None:
    done, cancelled, failed = [await add(world, kind=ReplayParameters) for _ in range(3)]
    async with world.unit_of_work() as uow:
        await uow.jobs.save(advance(done, Chunk(0, None, more=False), uow.now))
        await uow.jobs.save(cancel(cancelled, uow.now))
        await uow.jobs.save(fail(replace(failed, errors=len(REPEATED_AFTER_S)), "a bug", uow.now))
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.jobs.take() is None
        listed = await uow.jobs.list(state=None, after=None, limit=9)
        assert [job.state for job in listed] == [JobState.FAILED, JobState.CANCELLED, JobState.DONE]
        assert [job.id for job in await uow.jobs.list(state=JobState.DONE, after=None, limit=9)] == [done.id]
        assert [job.id for job in await uow.jobs.list(state=None, after=failed.id, limit=1)] == [cancelled.id]


async def test_an_unknown_job_is_not_found(world: World) -> None:
    async with world.unit_of_work() as uow:
        with pytest.raises(NotFound):
            await uow.jobs.get(UNKNOWN)


async def test_waiting_deliveries_are_cancelled_in_chunks_leased_ones_included(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    ids = sorted(await world.add_deliveries(made.id, 3))
    untouched = await world.add_deliveries(other.id, 1)
    await world.take(made.id, 1)
    async with world.unit_of_work() as uow:
        assert await uow.queue.cancel_waiting(made.id, after=None, limit=2) == Chunk(2, ids[1], more=True)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.queue.cancel_waiting(made.id, after=ids[1], limit=2) == Chunk(1, ids[2], more=False)
        assert await uow.queue.cancel_waiting(made.id, after=ids[2], limit=2) == Chunk(0, None, more=False)
        await uow.commit()
    assert await world.states(ids + untouched) == [DeliveryState.CANCELLED] * 3 + [DeliveryState.PENDING]


async def test_only_deleted_webhooks_leave_deliveries_behind(world: World) -> None:
    deleted, empty, live = [await world.add_webhook() for _ in range(3)]
    for made in (deleted, live):
        await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        for made in (deleted, empty):
            await uow.webhooks.remove(made.id)
        assert await uow.queue.left_behind(10) == [deleted.id]
        assert await uow.queue.left_behind(0) == []


async def test_a_release_ends_with_the_last_delivery_that_was_due(world: World) -> None:
    waiting, over, retried = [await world.add_webhook() for _ in range(3)]
    await world.add_deliveries(waiting.id)
    [later] = await world.add_deliveries(retried.id)
    async with world.unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([waiting.id, over.id, retried.id])
        resumed = [resume(lane, uow.now) for lane in lanes.values()]
        await uow.queue.save_lanes(resumed)
        await uow.queue.postpone([Postpone(later, uow.now + HOUR, 503, "status")])
        assert await uow.queue.lock_lanes(lanes) == {lane.webhook_id: lane for lane in resumed}
        assert await uow.queue.released(resumed) == {over.id, retried.id}


async def test_waking_wakes_at_commit(world: World) -> None:
    made = await world.add_webhook()
    async with world.unit_of_work() as uow:
        await uow.queue.wake([made.id])
        await uow.commit()


async def test_what_fell_due_since_a_pause_is_leased_apart_from_what_it_held(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    held, new = await world.add_deliveries(made.id, 2)
    [usual] = await world.add_deliveries(other.id)
    async with world.unit_of_work() as uow:
        since = uow.now - timedelta(minutes=1)
        due_at = {held: uow.now - HOUR, usual: uow.now - HOUR, new: uow.now - timedelta(seconds=1)}
        await uow.queue.postpone([Postpone(id_, at, None, None) for id_, at in due_at.items()])
        both = {made.id: 5, other.id: 5}
        first = await uow.queue.lease(both, {}, worker="worker-1", lease_s=30.0, since={made.id: since})
        assert {delivery.id for delivery in first} == {new, usual}
        then = await uow.queue.lease(both, {}, worker="worker-1", lease_s=30.0)
        assert [delivery.id for delivery in then] == [held]
