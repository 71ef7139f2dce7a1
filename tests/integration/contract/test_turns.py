"""The turns of messages about one alert, as every ``DeliveryQueue`` keeps them: the newest alone is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.order import FAN_OUT_WAIT_S, REPLACED_MAX, Order, alert_key
from monitor.domain.ids import derived
from monitor.domain.ports.queue import ClaimedDelivery, Finish, Postpone
from monitor.domain.vocab import REPLACED, DeliveryState
from tests import samples
from tests.integration.contract.world import World

KEYS = tuple(alert_key(UUID(int=n)) for n in range(1, 3))
KEY = KEYS[0]
HOUR = timedelta(hours=1)
ORDERS: list[Order] = [False, "key", True]
IN_FLIGHT_S = 30.0

by_order = pytest.mark.parametrize("ordered", ORDERS)


async def postpone(world: World, id_: UUID, after: timedelta = HOUR) -> None:
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + after, 503, "status", False)])
        await uow.commit()


async def finish(world: World, id_: UUID, state: DeliveryState = DeliveryState.DELIVERED) -> None:
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, state, 200, None, 1)])
        await uow.commit()


async def take(world: World, webhook_id: UUID, ordered: Order = False, capacity: int = 10) -> list[UUID]:
    return [one.id for one in await world.take(webhook_id, capacity, ordered=ordered, lease_s=IN_FLIGHT_S)]


async def publish(world: World, webhook_id: UUID, *, key: str = KEY, replace: bool = True) -> UUID:
    """Publish a message; without *replace*, as if the lane was locked."""
    event = samples.event(world.clock, order_key=key)
    made = NewDelivery(derived(event.id, 1), event.id, webhook_id, key)
    async with world.unit_of_work() as uow:
        await uow.events.add([event], [made])
        if replace:
            await uow.queue.replace_older([event.id])
        await uow.commit()
    return made.id


@by_order
async def test_the_newest_of_what_waits_is_sent_and_the_others_are_replaced(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    ids = [await publish(world, made.id, replace=False) for _ in range(3)]
    other = await publish(world, made.id, key=KEYS[1])
    sent: list[UUID] = []
    for _ in range(5):
        taken = await take(world, made.id, ordered)
        for id_ in taken:
            await finish(world, id_)
        sent += taken
    assert sorted(sent) == sorted([ids[2], other])
    assert await world.states(ids) == [DeliveryState.CANCELLED, DeliveryState.CANCELLED, DeliveryState.DELIVERED]
    assert [(await world.queries.delivery(id_)).last_error for id_ in ids] == [REPLACED, REPLACED, None]


@by_order
async def test_a_failed_message_is_not_tried_again_once_a_newer_one_waits(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    older = await publish(world, made.id)
    assert await take(world, made.id, ordered) == [older]
    newer = await publish(world, made.id)
    assert await world.states([older, newer]) == [DeliveryState.PENDING, DeliveryState.PENDING]
    assert await take(world, made.id, ordered) == []
    await postpone(world, older)
    assert await world.states([older]) == [DeliveryState.CANCELLED]
    assert await take(world, made.id, ordered) == [newer]


@by_order
async def test_a_message_waits_for_the_older_one_in_flight(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    older = await publish(world, made.id)
    assert await take(world, made.id, ordered) == [older]
    newer = await publish(world, made.id)
    assert await take(world, made.id, ordered) == []
    # A claim that found nothing to send does not find its lane ready again.
    assert ordered is True or await world.ready() == {}
    await finish(world, older)
    assert list(await world.ready()) == [made.id]
    assert await take(world, made.id, ordered) == [newer]


async def test_what_waits_for_a_retry_is_replaced_when_a_newer_message_is_published(world: World) -> None:
    made = await world.add_webhook()
    older = await publish(world, made.id)
    assert await take(world, made.id) == [older]
    await postpone(world, older)
    newer = await publish(world, made.id)
    assert await world.states([older, newer]) == [DeliveryState.CANCELLED, DeliveryState.PENDING]


async def test_a_resent_older_message_does_not_replace_the_newer_one(world: World) -> None:
    made = await world.add_webhook()
    events = [samples.event(world.clock, order_key=KEY) for _ in range(2)]
    newer = NewDelivery(world.clock.new_id(), events[1].id, made.id, KEY)
    resent = NewDelivery(world.clock.new_id(), events[0].id, made.id, KEY)
    async with world.unit_of_work() as uow:
        await uow.events.add(events, [newer, resent])
        await uow.commit()
    assert await take(world, made.id) == [newer.id]
    assert await world.states([resent.id]) == [DeliveryState.CANCELLED]


async def test_a_message_waits_for_a_fan_out_that_may_make_an_older_one(world: World) -> None:
    made = await world.add_webhook(event_types=("monitor.alert.*",))
    earlier = samples.event(world.clock, type="monitor.alert.raised")
    other = samples.event(world.clock, type="order.paid")
    async with world.unit_of_work() as uow:
        await uow.events.add([earlier, other], [])
        await uow.fan_outs.add([earlier])
        await uow.fan_outs.add([other])
        await uow.commit()
    newer = await publish(world, made.id)
    assert await take(world, made.id) == []
    async with world.unit_of_work() as uow:
        await uow.fan_outs.remove(earlier.id)
        await uow.commit()
    assert await take(world, made.id) == []
    await world.pass_time(FAN_OUT_WAIT_S + 1)
    assert await take(world, made.id) == [newer]


async def test_more_messages_than_one_claim_replaces_are_replaced_by_the_next_one(world: World) -> None:
    made = await world.add_webhook()
    ids = [await publish(world, made.id, replace=False) for _ in range(REPLACED_MAX + 5)]
    assert await take(world, made.id, capacity=200) == []
    assert await take(world, made.id, capacity=200) == [ids[-1]]
    assert set(await world.states(ids[:-1])) == {DeliveryState.CANCELLED}


async def test_other_keys_and_messages_of_other_webhooks_are_left_alone(world: World) -> None:
    one, two = await world.add_webhook(), await world.add_webhook()
    plain = [await publish(world, one.id, key="customer-1") for _ in range(2)]
    of_two = await publish(world, two.id)
    of_one = await publish(world, one.id)
    assert sorted(await take(world, one.id)) == sorted([*plain, of_one])
    assert await take(world, two.id) == [of_two]


Step = tuple[Literal["publish", "claim", "deliver", "fail", "die", "pass"], int]
steps_of = st.lists(
    st.tuples(st.sampled_from(["publish", "claim", "claim", "deliver", "fail", "die", "pass"]), st.integers(0, 3)),
    min_size=4,
    max_size=18,
)


class Destination:
    """Plays the worker of one webhook, and notes in which order its receiver got the messages."""

    def __init__(self, world: World, webhook_id: UUID, ordered: Order) -> None:
        self._world = world
        self._webhook_id = webhook_id
        self._ordered = ordered
        self._in_flight: list[ClaimedDelivery] = []
        self.keys: dict[UUID, str] = {}
        self.published: dict[str, list[UUID]] = {key: [] for key in KEYS}
        self.received: dict[str, list[UUID]] = {key: [] for key in KEYS}

    async def step(self, what: str, n: int) -> None:
        if what == "publish":
            key = KEYS[n % 2]
            event = samples.event(self._world.clock, order_key=key)
            made = NewDelivery(derived(event.id, 1), event.id, self._webhook_id, key)
            async with self._world.unit_of_work() as uow:
                await uow.events.add([event], [made])
                if n < 2:
                    await uow.queue.replace_older([event.id])
                await uow.commit()
            self.published[key].append(event.id)
            self.keys[event.id] = key
        elif what == "claim":
            await self.claim(n + 1)
        elif what == "pass":
            await self._world.pass_time(n * 10)
        elif self._in_flight:
            one = self._in_flight.pop(n % len(self._in_flight))
            if what == "deliver":
                await self._settle(one, None)
            elif what == "fail":
                await self._settle(one, timedelta(seconds=(n - 1) * 20))
            # One whose worker died stays leased until its lease runs out.

    async def claim(self, capacity: int = 4) -> None:
        """Lease as much, as a lane of that concurrency would."""
        free = 1 - len(self._in_flight) if self._ordered is True else capacity
        if free <= 0:
            return
        taken = await self._world.take(self._webhook_id, free, ordered=self._ordered, lease_s=IN_FLIGHT_S)
        renewed = {one.id for one in taken}
        self._in_flight = [one for one in self._in_flight if one.id not in renewed] + taken
        for one in taken:
            self.received[self.keys[one.event_id]].append(one.event_id)

    async def _settle(self, one: ClaimedDelivery, retry_after: timedelta | None) -> None:
        async with self._world.unit_of_work() as uow:
            if await uow.queue.fence([(one.id, one.fencing_token)]):
                if retry_after is None:
                    await uow.queue.finish([Finish(one.id, DeliveryState.DELIVERED, 200, None, 1)])
                else:
                    await uow.queue.postpone([Postpone(one.id, uow.now + retry_after, 429, "status", False)])
            await uow.commit()

    async def drain(self) -> None:
        """Deliver whatever is left."""
        for _ in range(8):
            for one in self._in_flight:
                await self._settle(one, None)
            self._in_flight.clear()
            await self._world.pass_time(100)
            for _ in range(4):
                await self.claim()
                for one in self._in_flight:
                    await self._settle(one, None)
                self._in_flight.clear()


@given(steps=steps_of, ordered=st.sampled_from(ORDERS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
async def test_an_older_message_is_never_sent_after_a_newer_one_and_the_last_one_is_sent(
    world: World, steps: list[Step], ordered: Order
) -> None:
    """Whatever fails, dies, is retried or is published meanwhile: of each alert the events that the receiver gets
    ascend, and the last one is the newest."""
    made = await world.add_webhook(ordered=ordered)
    destination = Destination(world, made.id, ordered)
    for what, n in steps:
        await destination.step(what, n)
    await destination.drain()
    for key in KEYS:
        received, published = destination.received[key], destination.published[key]
        assert received == sorted(received)
        assert received[-1:] == published[-1:]
