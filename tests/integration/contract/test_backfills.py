"""The stored part of backfills and resends, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts.alert import AlertKind, Identity
from monitor.domain.alerts.notification import RAISED, notification_of
from monitor.domain.delivery.backfill import matching, numbered
from monitor.domain.delivery.fan_out import FanOutEvent, NewDelivery, NewEvent, Subscription
from monitor.domain.delivery.reminders import DEFAULT_STEPS
from monitor.domain.errors import Conflict, NotFound
from monitor.domain.ids import id_floor
from monitor.domain.ports.queue import Finish
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.contract.alerts_made import made as made_alert
from tests.integration.contract.world import World

FIRST, LAST = UUID(int=0), UUID(int=(1 << 128) - 1)
EVERYTHING = frozenset({"*"})


async def publish(world: World, *types: str, **changes: Any) -> list[NewEvent]:
    """Store events without deliveries."""
    events = [samples.event(world.clock, type=type_, **changes) for type_ in types]
    async with world.unit_of_work() as uow:
        await uow.events.add(events, [])
        await uow.commit()
    return events


def pairs_of(events: Sequence[FanOutEvent], webhook_id: UUID) -> list[NewDelivery]:
    return matching(events, [Subscription(webhook_id, EVERYTHING, {})])


async def make(world: World, events: Sequence[FanOutEvent], webhook_id: UUID, wait_s: float = 0.0) -> list[NewDelivery]:
    async with world.unit_of_work() as uow:
        made = numbered(pairs_of(events, webhook_id), world.clock.new_id(), await uow.queue.clock())
        await uow.backfills.add(made, [wait_s * i for i in range(len(made))])
        await uow.commit()
    return made


async def finish(world: World, delivery_ids: Sequence[UUID]) -> None:
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED, 503, "status", 1) for id_ in delivery_ids])
        await uow.commit()


async def test_events_are_read_page_by_page_between_two_ids(world: World) -> None:
    events = await publish(world, *["order.paid", "stock.low"] * 2)
    ids = [event.id for event in events]
    async with world.unit_of_work() as uow:
        page = await uow.backfills.examine(["*"], after=ids[0], before=LAST, limit=2)
        assert ([event.id for event in page.events], page.last) == (ids[1:3], ids[2])
        page = await uow.backfills.examine(["order.*"], after=ids[2], before=LAST, limit=2)
        assert ([event.id for event in page.events], page.last) == (ids[3:], None)
        page = await uow.backfills.examine(["*"], after=FIRST, before=ids[1], limit=2)
        assert ([event.id for event in page.events], page.last) == (ids[:1], None)


async def test_exact_types_are_read_by_their_index_in_the_order_of_events(world: World) -> None:
    events = await publish(world, "a", "b", "c", "a", "b", order_key="7")
    ids = [event.id for event in events]
    async with world.unit_of_work() as uow:
        page = await uow.backfills.examine(["b", "a"], after=ids[0], before=ids[4], limit=2)
        assert ([event.id for event in page.events], page.last) == ([ids[1], ids[3]], ids[3])
        assert [event.order_key for event in page.events] == ["7", "7"]
        page = await uow.backfills.examine(["b", "a"], after=ids[3], before=LAST, limit=2)
        assert ([event.id for event in page.events], page.last) == ([ids[4]], None)


async def test_an_alert_names_the_webhook_that_gets_no_delivery_of_it(world: World) -> None:
    failing, other = await world.add_webhook(), await world.add_webhook()
    alert, _ = made_alert(Identity(world.clock.new_id(), failing.id, AlertKind.FAILING), world.clock.now())
    payload = notification_of(RAISED, alert, "Orders", {}).payload
    [event] = await publish(world, RAISED, payload=payload)
    async with world.unit_of_work() as uow:
        page = await uow.backfills.examine(["monitor.*"], after=FIRST, before=LAST, limit=5)
        read = await uow.backfills.event(event.id)
    wanted = [Subscription(id_, frozenset({"monitor.alert.*"}), {}) for id_ in (failing.id, other.id)]
    for events in (page.events, [read]):
        assert [one.webhook_id for one in matching(events, wanted)] == [other.id]
        assert matching(events, [Subscription(other.id, EVERYTHING, {})]) == []


async def test_a_pair_exists_while_it_waits_and_when_it_is_finished(world: World) -> None:
    webhook, other = await world.add_webhook(), await world.add_webhook()
    events = await publish(world, "a", "b", "c")
    made = await make(world, events[:2], webhook.id)
    await finish(world, [made[0].id])
    wanted = [*pairs_of(events, webhook.id), *pairs_of(events, other.id)]
    async with world.unit_of_work() as uow:
        assert await uow.backfills.existing(wanted) == {(event.id, webhook.id) for event in events[:2]}
        assert await uow.backfills.existing([]) == set()


async def test_made_deliveries_are_replayed_ones_due_one_after_the_other(world: World) -> None:
    webhook = await world.add_webhook(ordered=True)
    events = await publish(world, "a", "b", order_key="7")
    made = await make(world, events, webhook.id, wait_s=60.0)
    [fresh] = await world.add_deliveries(webhook.id)
    due = [(await world.queries.delivery(one.id)).due_at for one in made]
    assert due[0]
    assert due[1]
    assert round((due[1] - due[0]).total_seconds()) == 60
    # New ones go first.
    [taken] = await world.take(webhook.id, 1, ordered=True)
    assert taken.id == fresh
    await finish(world, [fresh])
    [taken] = await world.take(webhook.id, 1, ordered=True)
    assert (taken.id, taken.event_id, taken.event_type) == (made[0].id, events[0].id, "a")


async def test_a_fan_out_that_has_yet_to_reach_the_webhook_is_waited_for(world: World) -> None:
    early, late = await world.add_webhook(), await world.add_webhook()
    other = await world.add_webhook(event_types=("stock.low",))
    event = samples.event(world.clock)
    async with world.unit_of_work() as uow:
        assert await uow.backfills.first_unreached(early) is None
        await uow.events.add([event], [])
        await uow.fan_outs.add([event])
        await uow.commit()
    await world.pass_time(1.0)
    async with world.unit_of_work() as uow:
        later = samples.webhook(world.clock, created_at=uow.now)
        await uow.webhooks.add(later, {}, samples.KEY)
        early, late, other = [await uow.webhooks.read(one.id) for one in (early, late, other)]
        assert [await uow.backfills.first_unreached(one) for one in (early, late)] == [event.id, event.id]
        assert [await uow.backfills.first_unreached(one) for one in (other, later)] == [None, None]
        with pytest.raises(Conflict, match="fan-out"):
            await uow.backfills.event(event.id)
        assert await uow.fan_outs.take() == event.id
        await uow.fan_outs.save(replace(await uow.fan_outs.get(event.id), after=early.id))
        assert [await uow.backfills.first_unreached(one) for one in (early, late)] == [None, event.id]


async def test_an_event_that_is_gone_is_not_an_unknown_one(world: World) -> None:
    webhook = await world.add_webhook()
    event, gone = samples.event(world.clock), samples.event(world.clock)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [NewDelivery(world.clock.new_id(), gone.id, webhook.id)])
        assert (await uow.backfills.event(event.id)).type == event.type
        with pytest.raises(Conflict, match="retention"):
            await uow.backfills.event(gone.id)
        with pytest.raises(NotFound):
            await uow.backfills.event(webhook.id)


async def test_finished_deliveries_of_an_event_are_requeued_for_the_named_webhooks(world: World) -> None:
    webhooks = [await world.add_webhook() for _ in range(3)]
    [event] = await publish(world, "a")
    made = [(await make(world, [event], one.id))[0] for one in webhooks]
    await finish(world, [made[0].id, made[2].id])
    async with world.unit_of_work() as uow:
        assert await uow.backfills.requeue(event.id, [one.id for one in webhooks[:2]]) == {webhooks[0].id}
        await uow.commit()
    states = await world.states([one.id for one in made])
    assert states == [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.FAILED]
    [taken] = await world.take(webhooks[0].id)
    assert (taken.id, taken.attempts, taken.schedule_from) == (made[0].id, 1, 1)


async def test_a_disabled_webhook_subscribes_to_nothing_and_a_deleted_one_is_unknown(world: World) -> None:
    webhook = await world.add_webhook(labels={"team": "blue"})
    disabled, deleted = await world.add_webhook(enabled=False), await world.add_webhook()
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(deleted.id)
        found = await uow.backfills.subscriptions([webhook.id, disabled.id, deleted.id, FIRST])
    assert sorted(found, key=lambda one: one.webhook_id) == [
        Subscription(webhook.id, EVERYTHING, {"team": "blue"}, DEFAULT_STEPS),
        Subscription(disabled.id, frozenset(), disabled.labels, DEFAULT_STEPS),
    ]


async def test_ids_of_made_deliveries_follow_the_time_of_the_database(world: World) -> None:
    [event] = await publish(world, "a")
    async with world.unit_of_work() as uow:
        now = await uow.queue.clock()
    pairs = pairs_of([event], FIRST) * 3
    id_ = world.clock.new_id()
    first, second = numbered(pairs, id_, now), numbered(pairs, id_, now, done=3)
    ids = [one.id for one in (*first, *second)]
    assert ids == sorted(set(ids))
    assert id_floor(now) < ids[0]
    assert ids[-1] < id_floor(now + timedelta(milliseconds=2))
