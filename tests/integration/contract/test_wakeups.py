"""What every ``Wakeups`` must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.ports.wakeups import DueWebhooks
from tests import samples
from tests.integration.contract.world import World
from tests.integration.support import eventually

MANY = 201
"""Webhooks whose ids one notification cannot hold."""


@pytest.fixture
async def woken(world: World) -> AsyncIterator[list[DueWebhooks]]:
    """What a worker was woken for since it began to listen."""
    calls: list[DueWebhooks] = []
    listening = asyncio.create_task(world.wakeups.listen(calls.append))
    await eventually(lambda: calls)
    assert calls == [None]
    calls.clear()
    yield calls
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_commit_wakes_for_its_webhooks_and_a_rollback_does_not(world: World, woken: list[DueWebhooks]) -> None:
    lost, made = await world.add_webhook(), await world.add_webhook()
    event = samples.event(world.clock)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [NewDelivery(world.clock.new_id(), event.id, lost.id)])
    await world.add_deliveries(made.id, 2)
    await eventually(lambda: woken)
    assert woken == [[made.id]]


@pytest.mark.parametrize("count", [MANY - 1, MANY])
async def test_more_webhooks_than_a_notification_holds_wake_for_all(
    world: World, woken: list[DueWebhooks], count: int
) -> None:
    made = [samples.webhook(world.clock) for _ in range(count)]
    event = samples.event(world.clock)
    async with world.unit_of_work() as uow:
        for webhook in made:
            await uow.webhooks.add(webhook, {}, samples.KEY)
        await uow.events.add([event], [NewDelivery(world.clock.new_id(), event.id, webhook.id) for webhook in made])
        await uow.commit()
    await eventually(lambda: woken)
    (ids,) = woken
    assert ids is None if count == MANY else ids is not None and set(ids) == {webhook.id for webhook in made}


async def test_what_a_user_asks_for_wakes(world: World, woken: list[DueWebhooks]) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    await eventually(lambda: woken)
    [held] = await world.take(made.id)
    woken.clear()
    async with world.unit_of_work() as uow:
        await uow.queue.release([(held.id, held.fencing_token)])
        await uow.commit()
    await eventually(lambda: woken)
    woken.clear()
    async with world.unit_of_work() as uow:
        await uow.queue.requeue(id_)
        await uow.commit()
    await eventually(lambda: woken)
    woken.clear()
    async with world.unit_of_work() as uow:
        await uow.queue.wake([made.id])
        await uow.commit()
    await eventually(lambda: woken)
    assert woken == [[made.id]]
