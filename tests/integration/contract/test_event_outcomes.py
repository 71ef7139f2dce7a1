"""What lists of events say about their deliveries, and events by their outcome, order key and payload."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from monitor.adapters.postgres.queries import filtered
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.ports.queries.resources import SEARCHED_BYTES, EventFilter
from monitor.domain.ports.queue import Finish
from monitor.domain.views.deliveries import COUNTED_MAX, DeliveryCounts
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.webhook import Webhook
from tests import samples
from tests.integration.contract.world import World

PENDING, DELIVERED, FAILED = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.FAILED


async def publish(world: World, webhooks: list[Webhook], states: list[DeliveryState], **event: Any) -> UUID:
    """Add an event with a delivery for each of *webhooks*, in *states* with a last answer of 200 or 503."""
    made = samples.event(world.clock, **event)
    ids = [world.clock.new_id() for _ in webhooks]
    async with world.unit_of_work() as uow:
        new = [NewDelivery(id_, made.id, webhook.id) for id_, webhook in zip(ids, webhooks, strict=True)]
        await uow.events.add([made], new)
        await uow.commit()
    async with world.unit_of_work() as uow:
        ends = [
            Finish(id_, state, 200, None, 1) if state is DELIVERED else Finish(id_, state, 503, "status", 1)
            for id_, state in zip(ids, states, strict=True)
            if state is not PENDING
        ]
        await uow.queue.finish(ends)
        await uow.commit()
    return made.id


async def found(world: World, **conditions: Any) -> list[UUID]:
    return [row.id for row in (await world.queries.events(EventFilter(**conditions), after=None, limit=9)).rows]


async def test_a_list_counts_the_deliveries_of_each_event_by_state(world: World) -> None:
    webhooks = [await world.add_webhook() for _ in range(3)]
    mixed = await publish(world, webhooks, [PENDING, DELIVERED, FAILED])
    lost = await publish(world, webhooks[:2], [FAILED, FAILED])
    unwanted = await publish(world, [], [])
    listed = (await world.queries.events(EventFilter(), after=None, limit=9)).rows
    assert {row.id: row.deliveries for row in listed} == {
        mixed: DeliveryCounts(pending=1, delivered=1, failed=1),
        lost: DeliveryCounts(failed=2),
        unwanted: DeliveryCounts(),
    }


async def test_events_are_found_by_the_state_of_a_delivery(world: World) -> None:
    webhooks = [await world.add_webhook() for _ in range(2)]
    mixed = await publish(world, webhooks, [DELIVERED, FAILED])
    waiting = await publish(world, webhooks, [PENDING, DELIVERED])
    await publish(world, [], [])
    assert await found(world, state=FAILED) == [mixed]
    assert await found(world, state=PENDING) == [waiting]
    assert await found(world, state=DELIVERED) == [waiting, mixed]
    assert await found(world, state=DeliveryState.CANCELLED) == []


async def test_state_and_status_code_are_those_of_one_delivery(world: World) -> None:
    webhooks = [await world.add_webhook() for _ in range(2)]
    mixed = await publish(world, webhooks, [DELIVERED, FAILED])
    assert await found(world, state=FAILED, status_code=503) == await found(world, status_code=200) == [mixed]
    assert await found(world, state=FAILED, status_code=200) == []


async def test_events_are_found_by_their_order_key(world: World) -> None:
    keyed = await publish(world, [], [], order_key="customer-17")
    await publish(world, [], [], order_key="customer-1")
    await publish(world, [], [])
    assert await found(world, order_key="customer-17") == [keyed]


@pytest.mark.parametrize("text", ["customer-a", "äb%_\\\\", '"a":  1.0'])
async def test_events_are_found_by_a_part_of_their_payload_as_posted(world: World, text: str) -> None:
    holding = await publish(world, [], [], payload=b"[x " + text.encode() + b" y]")
    for other in (text.upper().replace(" ", ""), text[:-1], ""):
        await publish(world, [], [], payload=b"[x " + other.encode() + b" y]")
    assert await found(world, q=text) == await found(world, q=text, type="order.*") == [holding]


async def test_a_large_payload_is_not_searched(world: World) -> None:
    def of(size: int) -> bytes:
        return b'"' + b"x" * (size - 8) + b'needle"'

    largest = await publish(world, [], [], payload=of(SEARCHED_BYTES))
    await publish(world, [], [], payload=of(SEARCHED_BYTES + 1))
    assert await found(world, q="needle") == [largest]


async def test_a_count_that_reached_its_bound_says_so(world: World) -> None:
    webhook = await world.add_webhook()
    most = await publish(world, [webhook] * COUNTED_MAX, [FAILED] * COUNTED_MAX)
    rest = await publish(world, [webhook] * (COUNTED_MAX - 1), [PENDING] * (COUNTED_MAX - 1))
    counts = {row.id: row.deliveries for row in (await world.queries.events(EventFilter(), after=None, limit=9)).rows}
    assert counts[most] == DeliveryCounts(failed=COUNTED_MAX, complete=False)
    assert counts[rest] == DeliveryCounts(pending=COUNTED_MAX - 1)


async def test_a_delivery_names_its_webhook(world: World) -> None:
    webhook = await world.add_webhook(name="Orders to the warehouse")
    await world.add_deliveries(webhook.id, 2)
    listed = (await world.queries.deliveries(DeliveryFilter(), after=None, limit=9)).rows
    one = await world.queries.delivery(listed[0].id)
    assert [row.webhook_name for row in (*listed, one)] == ["Orders to the warehouse"] * 3


def test_a_page_counts_a_bounded_part_of_each_event() -> None:
    assert filtered._OUTCOMES.count(f"LIMIT {COUNTED_MAX}") == 2
