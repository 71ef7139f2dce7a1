"""What every ``EventLog`` must do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.domain.delivery.fan_out import NewDelivery, Subscription
from monitor.domain.errors import NotFound
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.missed import subscription_of
from tests import samples
from tests.integration.contract.world import World


async def test_subscriptions_are_the_enabled_webhooks_with_a_pattern_for_one_of_the_types(world: World) -> None:
    exact = await world.add_webhook(event_types=("order.paid",), labels={"team": "blue"})
    prefix = await world.add_webhook(event_types=("user.created", "order.*"))
    everything = await world.add_webhook()
    await world.add_webhook(event_types=("order.refunded",))
    await world.add_webhook(enabled=False)

    async def found(*types: str, limit: int = 10) -> list[Subscription] | None:
        async with world.unit_of_work() as uow:
            return await uow.events.subscriptions(types, limit=limit)

    assert await found("order.paid") == [subscription_of(w) for w in (exact, prefix, everything)]
    assert await found("order") == [subscription_of(everything)]
    assert await found("user.created", "order.paid") == [subscription_of(w) for w in (exact, prefix, everything)]
    assert await found("user.created", "order.paid", limit=3) == await found("user.created", "order.paid")
    assert await found("user.created", "order.paid", limit=2) is None
    assert await found("order", limit=0) is None


async def test_an_event_is_kept_byte_for_byte_with_its_deliveries(world: World) -> None:
    made = await world.add_webhook()
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    event = samples.event(world.clock, payload=b'{"a":  1.0}', labels={"eu": ""}, occurred_at=at)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [NewDelivery(world.clock.new_id(), event.id, made.id)])
        await uow.commit()
    view = await world.queries.event(event.id)
    assert bytes(view.payload or b"") == b'{"a":  1.0}'
    assert await world.queries.payload(event.id) == b'{"a":  1.0}'
    assert await world.queries.payload(made.id) is None
    assert (view.type, view.labels, view.occurred_at) == ("order.paid", {"eu": ""}, at)
    assert view.deliveries
    assert view.deliveries.pending == 1


async def test_an_event_without_subscriptions_is_stored(world: World) -> None:
    event = samples.event(world.clock)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [])
        await uow.commit()
    listed = (await world.queries.events(EventFilter(), after=None, limit=10)).rows
    assert [view.id for view in listed] == [event.id]


@pytest.mark.parametrize("at", [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)])
async def test_an_event_may_have_occurred_at_any_accepted_time(world: World, at: datetime) -> None:
    event = samples.event(world.clock, occurred_at=at)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [])
        await uow.commit()
    assert (await world.queries.event(event.id)).occurred_at == at


async def test_an_unknown_event_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.queries.event(world.clock.new_id())


async def test_a_new_delivery_is_due_at_once(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    view = await world.queries.delivery(id_)
    assert (view.state, view.attempts, view.in_flight) == (DeliveryState.PENDING, 0, False)
    assert [delivery.id for delivery in await world.take(made.id)] == [id_]


async def test_the_trace_of_an_event_comes_with_its_deliveries(world: World) -> None:
    made = await world.add_webhook()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for trace in (traceparent, None):
        event = samples.event(world.clock, traceparent=trace)
        async with world.unit_of_work() as uow:
            await uow.events.add([event], [NewDelivery(world.clock.new_id(), event.id, made.id)])
            await uow.commit()
        [claimed] = await world.take(made.id)
        assert (claimed.event_id, claimed.traceparent) == (event.id, trace)
