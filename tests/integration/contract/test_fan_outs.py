"""What every ``FanOutQueue`` must do, and the claims of ordered webhooks that wait for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.delivery import fan_out
from monitor.domain.delivery.fan_out import NewEvent, precedes
from monitor.domain.delivery.job import FanOutParameters, new_job
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import NotFound
from monitor.domain.ids import derived
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.ports.queue import Finish
from monitor.domain.services import fan_outs
from monitor.domain.services.fan_outs import FanOutCommands, add_events
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import DeliveryState, FanOutState
from monitor.domain.webhooks.webhook import Webhook
from tests import samples
from tests.integration.contract.world import World

CHUNK = 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_outs, "REQUEST_MAX", CHUNK)
    monkeypatch.setattr(fan_outs, "CHUNK", CHUNK)


async def publish(world: World, *types: str) -> list[NewEvent]:
    """Accept events of *types* in one request; they must be more than it may fan out."""
    events = [samples.event(world.clock, type=type_) for type_ in types]
    async with world.unit_of_work() as uow:
        assert await add_events(uow, events) is None
        await uow.commit()
    return events


async def webhooks(world: World, count: int, **changes: object) -> list[Webhook]:
    return [await world.add_webhook(**changes) for _ in range(count)]


def commands(world: World) -> FanOutCommands:
    return FanOutCommands(world.unit_of_work)


async def finish(world: World) -> None:
    while await commands(world).step() is not None:
        pass


async def reached(world: World, event: NewEvent) -> list[UUID]:
    """Return the webhooks with a delivery of *event*, in the order of the ids of those."""
    found = (await world.queries.deliveries(DeliveryFilter(event_id=event.id), after=None, limit=100)).rows
    return [view.webhook_id for view in reversed(found)]


async def state(world: World, event: NewEvent) -> tuple[FanOutState, int]:
    view = await world.queries.event(event.id)
    assert view.fan_out
    assert view.deliveries
    return view.fan_out, view.deliveries.pending


async def test_a_fan_out_makes_each_delivery_in_the_order_of_webhooks(world: World) -> None:
    made = await webhooks(world, 10)
    first, second = await publish(world, "order.paid", "order.sent")
    assert await state(world, first) == (FanOutState.RUNNING, 0)
    assert await commands(world).step()
    assert await state(world, second) == (FanOutState.RUNNING, CHUNK // 2)
    await finish(world)
    for event in (first, second):
        assert await reached(world, event) == [webhook.id for webhook in made]
        assert await state(world, event) == (FanOutState.DONE, 10)
    assert not await commands(world).step()


async def test_a_list_says_which_events_are_fanned_out(world: World) -> None:
    await webhooks(world, 10)
    ready = samples.event(world.clock, type="order.done")
    async with world.unit_of_work() as uow:
        await uow.events.add([ready], [])
        await uow.commit()
    made = await publish(world, *("order.paid" for _ in range(3)))

    async def said() -> dict[UUID, object]:
        return {view.id: view.fan_out for view in (await world.queries.events(EventFilter(), after=None, limit=9)).rows}

    assert await said() == {ready.id: FanOutState.DONE} | {event.id: FanOutState.RUNNING for event in made}
    await finish(world)
    assert set((await said()).values()) == {FanOutState.DONE}


async def test_steps_side_by_side_make_each_delivery_once(world: World) -> None:
    made = await webhooks(world, 9)
    events = [event for _ in range(3) for event in await publish(world, "order.paid")]

    async def work() -> None:
        for _ in range(10):
            await commands(world).step()

    await asyncio.gather(*(work() for _ in range(4)))
    for event in events:
        assert await reached(world, event) == [webhook.id for webhook in made]


async def test_a_step_that_is_not_committed_changes_nothing(world: World) -> None:
    made = await webhooks(world, 6)
    (event,) = await publish(world, "order.paid")
    await commands(world).step()
    async with world.unit_of_work() as uow:
        taken = await uow.fan_outs.take()
        assert taken
        unfinished = await uow.fan_outs.get(taken)
        page = await uow.fan_outs.subscriptions(unfinished, CHUNK)
        deliveries, rest = fan_out.next_chunk(unfinished, page)
        assert rest is None
        await uow.events.add([], deliveries)
        await uow.fan_outs.remove(unfinished.id)
    assert await state(world, event) == (FanOutState.RUNNING, CHUNK)
    await finish(world)
    assert await reached(world, event) == [webhook.id for webhook in made]


async def test_what_was_enabled_at_the_acceptance_and_is_not_deleted_gets_a_delivery(world: World) -> None:
    made = await webhooks(world, 9)
    async with world.unit_of_work() as uow:
        await uow.webhooks.disable(made[7].id, "It is gone.")
        await uow.commit()
    await world.pass_time(1.0)
    (event,) = await publish(world, "order.paid")
    await world.pass_time(1.0)
    await commands(world).step()
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(made[4].id)
        await uow.webhooks.disable(made[5].id, "It is gone.")
        await uow.webhooks.set_paused(made[6].id, True)
        by_user = await uow.webhooks.get(made[8].id)
        await uow.webhooks.save(replace(by_user, enabled=False, disabled_at=uow.now), None)
        await uow.commit()
    await world.add_webhook(created_at=world.clock.now() + timedelta(seconds=5))
    await finish(world)
    expected = [webhook.id for index, webhook in enumerate(made) if index not in (4, 7)]
    assert await reached(world, event) == expected


async def test_deliveries_of_a_fan_out_have_the_keys_of_their_events(world: World) -> None:
    made = await webhooks(world, CHUNK + 1, ordered="key")
    event = samples.event(world.clock, order_key="a")
    async with world.unit_of_work() as uow:
        assert await add_events(uow, [event]) is None
        await uow.commit()
    await finish(world)
    await world.add_deliveries(made[0].id, key="a")
    assert [one.event_id for one in await world.take(made[0].id, ordered="key")] == [event.id]


async def test_fan_outs_take_turns(world: World) -> None:
    await webhooks(world, 12, event_types=("order.*",))
    await webhooks(world, 5, event_types=("user.*",))
    (large,) = await publish(world, "order.paid")
    (small,) = await publish(world, "user.created")
    for _ in range(4):
        await commands(world).step()
    assert await state(world, small) == (FanOutState.DONE, 5)
    assert (await state(world, large))[0] is FanOutState.RUNNING


async def test_a_fan_out_that_a_job_carries_on_is_not_taken(world: World) -> None:
    await webhooks(world, 6)
    (event,) = await publish(world, "order.paid")
    async with world.unit_of_work() as uow:
        parameters = FanOutParameters(event_id=event.id)
        await uow.jobs.add(new_job(event.id, parameters, created_by="system", now=uow.now))
        await uow.commit()
    assert await commands(world).step() is None
    async with world.unit_of_work() as uow:
        assert (await uow.fan_outs.get(event.id)).events[0].id == event.id
    await JobCommands(world.unit_of_work).run()
    assert await state(world, event) == (FanOutState.DONE, 6)
    async with world.unit_of_work() as uow:
        await uow.fan_outs.remove(event.id)
        with pytest.raises(NotFound):
            await uow.fan_outs.get(event.id)


async def test_a_webhook_that_an_event_leaves_out_gets_none(world: World) -> None:
    made = await webhooks(world, 6)
    event = samples.event(world.clock, except_webhook=made[1].id)
    async with world.unit_of_work() as uow:
        assert await add_events(uow, [event]) is None
        await uow.commit()
    await finish(world)
    assert await reached(world, event) == [webhook.id for webhook in made if webhook != made[1]]


async def test_an_ordered_webhook_waits_for_the_fan_outs_of_earlier_events(world: World) -> None:
    await webhooks(world, 5, event_types=("order.*",))
    ordered = await world.add_webhook(event_types=("order.*", "user.*"), ordered=True)
    free = await world.add_webhook(event_types=("order.*", "user.*"))
    other = await world.add_webhook(event_types=("user.*",), ordered=True)
    (large,) = await publish(world, "order.paid")
    small = samples.event(world.clock, type="user.created")
    async with world.unit_of_work() as uow:
        assert await add_events(uow, [small]) is not None
        await uow.commit()

    assert set(await world.ready()) == {free.id, other.id}
    assert await world.take(ordered.id, ordered=True) == []
    await finish(world)
    assert ordered.id in await world.ready()
    taken = []
    for _ in range(2):
        (one,) = await world.take(ordered.id, ordered=True)
        taken.append(one.event_id)
        async with world.unit_of_work() as uow:
            await uow.queue.finish([Finish(one.id, DeliveryState.DELIVERED)])
            await uow.commit()
    assert taken == [large.id, small.id]


@given(
    steps=st.integers(0, 3),
    before=st.booleans(),
    event_types=st.sampled_from([("order.*",), ("user.*",), ("*",)]),
    position=st.integers(0, 5),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20, deadline=None
)
async def test_exactly_the_ordered_lanes_that_a_fan_out_precedes_wait(
    world: World, steps: int, before: bool, event_types: tuple[str, ...], position: int
) -> None:
    """An ordered lane with a due head is locked, and leased from, iff ``precedes`` holds for no unfinished fan-out."""
    async with world.unit_of_work() as uow:  # Never committed, so that each example begins with empty tables.
        others = [samples.webhook(world.clock, created_at=uow.now) for _ in range(6)]
        ordered = samples.webhook(world.clock, created_at=uow.now, ordered=True, event_types=event_types)
        for webhook in [*others[:position], ordered, *others[position:]]:
            await uow.webhooks.add(webhook, {}, samples.KEY)
        earlier, event, later = (samples.event(world.clock) for _ in range(3))
        head = fan_out.NewDelivery(world.clock.new_id(), later.id, ordered.id)
        if before:
            head = fan_out.NewDelivery(derived(earlier.id, 1), earlier.id, ordered.id)
        await uow.events.add([earlier, later], [head])
        await uow.events.add([event], [])
        await uow.fan_outs.add([event])
        for _ in range(steps):
            if (taken := await uow.fan_outs.take()) is not None:
                unfinished = await uow.fan_outs.get(taken)
                page = await uow.fan_outs.subscriptions(unfinished, 2)
                _, rest = fan_out.next_chunk(unfinished, page)
                await (uow.fan_outs.save(rest) if rest else uow.fan_outs.remove(unfinished.id))
        taken = await uow.fan_outs.take()
        waits = taken is not None and precedes(await uow.fan_outs.get(taken), head.id, ordered.id, event_types)

        assert (ordered.id in await uow.queue.lock_ready_lanes(None, 10)) == (not waits)
        leased = await uow.queue.lease({ordered.id: 1}, {ordered.id: True}, worker="worker-1", lease_s=30.0)
        assert [one.id for one in leased] == ([] if waits else [head.id])
