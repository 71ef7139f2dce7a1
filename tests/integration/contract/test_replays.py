"""The replay repository, in memory and in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.replay import Replay, ReplaySpec
from monitor.domain.errors import NotFound
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


async def replay_of(world: World, webhook_id: UUID, *states: DeliveryState) -> Replay:
    wanted = states or (DeliveryState.FAILED,)
    async with world.unit_of_work() as uow:
        chosen = ReplaySpec(from_at=uow.now - HOUR, to_at=uow.now + HOUR, states=list(wanted))
        replay = Replay(
            id=world.clock.new_id(),
            webhook_id=webhook_id,
            from_at=uow.now - HOUR,
            to_at=uow.now + HOUR,
            states=wanted,
            created_by="ada",
            created_at=uow.now,
            total=await uow.queue.count_finished(webhook_id, chosen),
        )
        await uow.replays.add(replay)
        await uow.commit()
    return replay


async def test_only_chosen_deliveries_are_counted(world: World) -> None:
    made = await world.add_webhook()
    await failed(world, made.id, 3)
    await world.add_deliveries(made.id, 2)
    assert (await replay_of(world, made.id)).total == 3
    assert (await replay_of(world, made.id, DeliveryState.CANCELLED)).total == 0
    async with world.unit_of_work() as uow:
        earlier = ReplaySpec(from_at=uow.now - 2 * HOUR, to_at=uow.now - HOUR)
        assert await uow.queue.count_finished(made.id, earlier) == 0


async def test_each_step_continues_after_the_last_one(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 3)
    replay = await replay_of(world, made.id)
    async with world.unit_of_work() as uow:
        moved, last = await uow.queue.requeue_finished(replay, limit=2, per_s=1000.0, after_s=0.0)
        assert (moved, last) == (2, ids[1])
        await uow.replays.save(replace(replay, cursor=last, queued=2))
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.FAILED]
    async with world.unit_of_work() as uow:
        again = await uow.replays.get(replay.id)
        assert (again.cursor, again.queued) == (ids[1], 2)
        assert await uow.queue.requeue_finished(again, limit=2, per_s=1000.0, after_s=0.0) == (1, ids[2])
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.PENDING] * 3


async def test_requeued_deliveries_are_spread_over_time(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 3)
    replay = await replay_of(world, made.id)
    async with world.unit_of_work() as uow:
        now = uow.now
        await uow.queue.requeue_finished(replay, limit=10, per_s=0.5, after_s=60.0)
        await uow.commit()
    due = [(await world.queries.delivery(id_)).due_at for id_ in ids]
    assert [round((at - now).total_seconds()) for at in due if at] == [60, 62, 64]


async def test_a_deleted_webhook_gets_nothing_back(world: World) -> None:
    made = await world.add_webhook()
    ids = await failed(world, made.id, 1)
    replay = await replay_of(world, made.id)
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(made.id)
        assert await uow.queue.requeue_finished(replay, limit=10, per_s=1.0, after_s=0.0) == (0, None)
        await uow.commit()
    assert await world.states(ids) == [DeliveryState.FAILED]


async def test_an_unknown_webhook_has_nothing_to_replay(world: World) -> None:
    replay = await replay_of(world, UNKNOWN)
    assert replay.total == 0
    async with world.unit_of_work() as uow:
        assert await uow.queue.requeue_finished(replay, limit=10, per_s=1.0, after_s=0.0) == (0, None)


async def test_a_finished_replay_is_not_taken_again(world: World) -> None:
    made = await world.add_webhook()
    replay = await replay_of(world, made.id)
    async with world.unit_of_work() as uow:
        assert (await uow.replays.take()) == replay
        await uow.replays.save(replace(replay, finished_at=uow.now))
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.replays.take() is None


async def test_an_unknown_replay_is_not_found(world: World) -> None:
    async with world.unit_of_work() as uow:
        with pytest.raises(NotFound):
            await uow.replays.get(UNKNOWN)
