"""What holds deliveries and webhooks, as every ``Queries`` shows it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.lane import try_again
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.ports.queries.resources import WebhookFilter
from monitor.domain.ports.queue import Finish, Postpone
from monitor.domain.vocab import DeliveryState
from tests.integration.contract.world import World


async def held(world: World, delivery_id: UUID) -> Held | None:
    """Return what holds a delivery; its list shows the same."""
    view = await world.queries.delivery(delivery_id)
    (listed,) = (await world.queries.deliveries(DeliveryFilter(event_id=view.event_id), after=None, limit=10)).rows
    assert listed.held == view.held
    return view.held


async def held_webhook(world: World, webhook_id: UUID) -> Held | None:
    view = await world.queries.webhook(webhook_id)
    (listed,) = (w for w in await world.queries.webhooks(WebhookFilter(), after=None, limit=10) if w.id == webhook_id)
    assert listed.held == view.held
    return view.held


async def test_a_pause_or_an_open_breaker_holds_a_delivery_and_its_webhook(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    assert (await held(world, id_), await held_webhook(world, made.id)) == (None, None)
    async with world.unit_of_work() as uow:
        [lane] = (await uow.queue.lock_lanes([made.id])).values()
        until = uow.now + timedelta(minutes=5)
        await uow.queue.save_lanes([replace(lane, breaker=Breaker(BreakerState.OPEN, until, 1))])
        await uow.commit()
    opened = Held(HeldReason.CIRCUIT_OPEN, until)
    assert (await held(world, id_), await held_webhook(world, made.id)) == (opened, opened)
    async with world.unit_of_work() as uow:
        await uow.webhooks.set_paused(made.id, True)
        await uow.commit()
    paused = Held(HeldReason.PAUSED)
    assert (await held(world, id_), await held_webhook(world, made.id)) == (paused, paused)


async def test_a_refusal_holds_with_its_cause_until_the_configuration_changes(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        [lane] = (await uow.queue.lock_lanes([made.id])).values()
        until = uow.now + timedelta(minutes=5)
        opened = Breaker(BreakerState.OPEN, until, 1, cause="401", cause_at=uow.now)
        await uow.queue.save_lanes([replace(lane, breaker=opened)])
        await uow.commit()
    held_by = await held(world, id_)
    assert held_by == await held_webhook(world, made.id)
    assert held_by is not None
    assert (held_by.reason, held_by.until) == (HeldReason.REFUSED, until)
    assert held_by.detail is not None
    assert held_by.detail.startswith("401 since ")
    async with world.unit_of_work() as uow:
        [lane] = (await uow.queue.lock_lanes([made.id])).values()
        assert lane.breaker == opened
        await uow.queue.save_lanes([try_again(lane, uow.now)])
        await uow.commit()
    assert (await held(world, id_), await held_webhook(world, made.id)) == (None, None)
    assert [d.id for d in await world.take(made.id, 5)] == [id_]


async def test_order_concurrency_and_rate_hold_a_delivery(world: World) -> None:
    ordered, narrow = await world.add_webhook(ordered=True), await world.add_webhook(max_concurrency=1)
    limited = await world.add_webhook(rate_limit=RateLimit(0.001))
    [head, second] = await world.add_deliveries(ordered.id, 2)
    async with world.unit_of_work() as uow:
        later = uow.now + timedelta(hours=1)
        await uow.queue.postpone([Postpone(head, later, 500, "status")])
        [lane] = (await uow.queue.lock_lanes([limited.id])).values()
        await uow.queue.save_lanes([replace(lane, tokens=0.0, tokens_at=uow.now)])
        full = uow.now + timedelta(seconds=1_000)
        await uow.commit()
    assert await held(world, head) is None
    assert await held(world, second) == Held(HeldReason.ORDER, later, behind=head)
    await world.add_deliveries(narrow.id, 2)
    [sent] = await world.take(narrow.id, 1)
    (other,) = [
        d.id
        for d in (await world.queries.deliveries(DeliveryFilter(webhook_id=narrow.id), after=None, limit=10)).rows
        if d.id != sent.id
    ]
    assert await held(world, sent.id) is None
    assert await held(world, other) == Held(HeldReason.CONCURRENCY)
    [waiting] = await world.add_deliveries(limited.id)
    assert await held(world, waiting) == Held(HeldReason.RATE_LIMIT, full)


async def test_a_finished_delivery_is_not_held(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        await uow.webhooks.set_paused(made.id, True)
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED)])
        await uow.commit()
    assert await held(world, id_) is None


@pytest.mark.parametrize("finished", [False, True])
async def test_what_is_asked_for_goes_before_what_waits(world: World, finished: bool) -> None:
    made = await world.add_webhook()
    ids = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id)]
    async with world.unit_of_work() as uow:
        if finished:
            await uow.queue.finish([Finish(ids[2], DeliveryState.FAILED)])
        await uow.queue.requeue(ids[2])
        await uow.commit()
    [first] = await world.take(made.id, 1)
    assert first.id == ids[2]


async def test_the_event_of_a_delivery_is_known_while_it_is_stored(world: World) -> None:
    made = await world.add_webhook()
    [pending, failed] = await world.add_deliveries(made.id, 2)
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(failed, DeliveryState.FAILED)])
        assert await uow.queue.has_event(pending)
        assert await uow.queue.has_event(failed)
        assert not await uow.queue.has_event(world.clock.new_id())
