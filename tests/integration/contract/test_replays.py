"""The queue's part in replays, in memory and in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from monitor.domain.delivery.job import Chunk, ReplayParameters
from monitor.domain.ports.queue import Finish
from monitor.domain.vocab import DeliveryState
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
UNKNOWN = UUID("01900000-0000-7000-8000-000000000000")


async def failed(world: World, webhook_id: UUID, count: int) -> list[UUID]:
    ids = await world.add_deliveries(webhook_id, count)
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED, 503, "status", 1) for id_ in ids])
        await uow.commit()
    return sorted(ids)


def chosen_of(webhook_id: UUID, now: datetime, *states: DeliveryState) -> ReplayParameters:
    wanted = states or (DeliveryState.FAILED,)
    return ReplayParameters(webhook_id=webhook_id, from_at=now - HOUR, to_at=now + HOUR, states=wanted)


async def test_only_chosen_deliveries_are_counted(world: World) -> None:
    made = await world.add_webhook()
    await failed(world, made.id, 3)
    await world.add_deliveries(made.id, 2)
    async with world.unit_of_work() as uow:
        count = uow.queue.count_finished
        assert await count(chosen_of(made.id, uow.now)) == 3
        assert await count(chosen_of(made.id, uow.now, DeliveryState.DELIVERED, DeliveryState.FAILED)) == 3
        assert await count(chosen_of(made.id, uow.now, DeliveryState.CANCELLED)) == 0
        assert await count(chosen_of(made.id, uow.now - 2 * HOUR)) == 0
        assert await count(chosen_of(UNKNOWN, uow.now)) == 0


async def test_each_chunk_continues_after_the_last_one(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 3)
    async with world.unit_of_work() as uow:
        chosen = chosen_of(made.id, uow.now)
        chunk = await uow.queue.requeue_finished(chosen, after=None, limit=2, per_s=1000.0, after_s=0.0)
        assert chunk == Chunk(2, ids[1], more=True)
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.FAILED]
    async with world.unit_of_work() as uow:
        chunk = await uow.queue.requeue_finished(chosen, after=ids[1], limit=2, per_s=1000.0, after_s=0.0)
        assert chunk == Chunk(1, ids[2], more=False)
        chunk = await uow.queue.requeue_finished(chosen, after=ids[2], limit=2, per_s=1000.0, after_s=0.0)
        assert chunk == Chunk(0, ids[2], more=False)
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.PENDING] * 3


async def test_a_chunk_looks_at_a_bounded_number_of_rows_however_few_are_chosen(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 3)
    async with world.unit_of_work() as uow:
        chosen = chosen_of(made.id, uow.now, DeliveryState.CANCELLED)
        chunk = await uow.queue.requeue_finished(chosen, after=None, limit=2, per_s=1.0, after_s=0.0)
    assert chunk == Chunk(0, ids[1], more=True)


async def test_requeued_deliveries_are_spread_over_time(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 3)
    async with world.unit_of_work() as uow:
        now = uow.now
        await uow.queue.requeue_finished(chosen_of(made.id, now), after=None, limit=10, per_s=0.5, after_s=60.0)
        await uow.commit()
    due = [(await world.queries.delivery(id_)).due_at for id_ in ids]
    assert [round((at - now).total_seconds()) for at in due if at] == [60, 62, 64]


async def test_a_deleted_webhook_gets_nothing_back(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 1)
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(made.id)
        for webhook_id in (made.id, UNKNOWN):
            chosen = chosen_of(webhook_id, uow.now)
            chunk = await uow.queue.requeue_finished(chosen, after=None, limit=10, per_s=1.0, after_s=0.0)
            assert chunk == Chunk(0, None, more=False)
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.FAILED]
