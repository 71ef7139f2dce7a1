"""A worker with few free slots divides them among the lanes that are ready, whatever the backlogs."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from msgspec.structs import replace

from tests.integration.contract.world import World

LANES = 4
BACKLOG = 12


async def test_each_ready_lane_gets_one_before_any_gets_its_second(world: World) -> None:
    webhooks = [await world.add_webhook() for _ in range(LANES)]
    for webhook in webhooks:
        await world.add_deliveries(webhook.id, BACKLOG)
    taken: Counter[UUID] = Counter()
    for _ in webhooks:
        (first,) = await world.ready(limit=1)
        taken.update(one.webhook_id for one in await world.take(first, 1))
    assert taken == Counter(webhook.id for webhook in webhooks)
    assert len(await world.ready(limit=1)) == 1


async def test_a_lane_that_was_served_lately_goes_before_those_that_hold_slots(world: World) -> None:
    busy, lately = [await world.add_webhook() for _ in range(2)]
    for webhook in (busy, lately):
        await world.add_deliveries(webhook.id, BACKLOG)
    await world.take(busy.id, 1)
    async with world.unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([lately.id])
        await uow.queue.save_lanes([replace(lanes[lately.id], last_attempt_at=uow.now)])
        await uow.commit()
    assert [*await world.ready()] == [lately.id, busy.id]
