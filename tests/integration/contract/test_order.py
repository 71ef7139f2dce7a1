"""The order of deliveries, as every ``DeliveryQueue`` keeps it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.adapters.postgres import claims
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.job import Chunk, ReplayParameters
from monitor.domain.delivery.order import Order, QueuedDelivery, next_of
from monitor.domain.ports.queue import ClaimedDelivery, Finish, Postpone
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)


async def finish(world: World, *ids: UUID, state: DeliveryState = DeliveryState.DELIVERED) -> None:
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, state, 200, None, 1) for id_ in ids])
        await uow.commit()


async def fail(world: World, id_: UUID, *, aside: bool = False) -> None:
    """Postpone a delivery by an hour."""
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + HOUR, 503, "status", aside)])
        await uow.commit()


async def take_by_key(world: World, webhook_id: UUID, capacity: int = 10, *, lease_s: float = 30.0) -> list[UUID]:
    taken = await world.take(webhook_id, capacity, ordered="key", lease_s=lease_s)
    return sorted(delivery.id for delivery in taken)


def failed(webhook_id: UUID, now: datetime) -> ReplayParameters:
    states = (DeliveryState.FAILED,)
    return ReplayParameters(webhook_id=webhook_id, from_at=now - HOUR, to_at=now + HOUR, states=states)


async def replayed(world: World, webhook_id: UUID, ids: list[UUID], *, after_s: float = 0.0) -> None:
    """Finish deliveries and replay them."""
    await finish(world, *ids, state=DeliveryState.FAILED)
    async with world.unit_of_work() as uow:
        chunk = await uow.queue.requeue_finished(
            failed(webhook_id, uow.now), after=None, limit=100, per_s=1e9, after_s=after_s
        )
        assert chunk.rows == len(ids)
        await uow.commit()


async def test_of_each_key_one_goes_at_a_time_in_order(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    a = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    b = [id_ for _ in range(2) for id_ in await world.add_deliveries(made.id, key="b")]
    free = await world.add_deliveries(made.id, 2)
    assert await take_by_key(world, made.id) == sorted([a[0], b[0], *free])
    assert await take_by_key(world, made.id) == []
    await finish(world, a[0])
    assert await take_by_key(world, made.id) == [a[1]]
    await finish(world, a[1], b[0])
    assert await take_by_key(world, made.id) == [a[2], b[1]]


async def test_of_the_heads_of_keys_the_one_that_was_due_first_goes_first(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    [older] = await world.add_deliveries(made.id, key="a")
    [newer] = await world.add_deliveries(made.id, key="b")
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(newer, uow.now - HOUR, 503, "status", False)])
        await uow.commit()
    assert await take_by_key(world, made.id, 1) == [newer]
    assert await take_by_key(world, made.id, 1) == [older]


async def test_the_steps_of_a_claim_share_its_capacity(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that meets nothing but what waits is followed by another, within the same limits."""
    monkeypatch.setattr(claims, "WALKS", (2, 3, 3))
    made = await world.add_webhook(ordered="key")
    keys = ["a", "a", "b", "c", "d"]
    ids = [id_ for key in keys for id_ in await world.add_deliveries(made.id, key=key)]
    assert await take_by_key(world, made.id, 2) == [ids[0], ids[2]]
    assert await take_by_key(world, made.id, 2) == [ids[3], ids[4]]


async def test_a_stuck_key_holds_no_other_and_says_what_holds_it(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    stuck = [id_ for _ in range(300) for id_ in await world.add_deliveries(made.id, key="stuck")]
    other = [id_ for _ in range(2) for id_ in await world.add_deliveries(made.id, key="other")]
    assert await take_by_key(world, made.id, 1) == stuck[:1]
    await fail(world, stuck[0])
    until = (await world.queries.delivery(stuck[0])).due_at
    assert await take_by_key(world, made.id) == other[:1]
    assert await world.ready() == {}
    await finish(world, other[0])
    assert await take_by_key(world, made.id) == other[1:]
    held = Held(HeldReason.ORDER, until, behind=stuck[0], order_key="stuck")
    assert (await world.queries.delivery(stuck[299])).held == held
    assert (await world.queries.webhook(made.id)).held == held
    # A new one of the key waits with them.
    await world.add_deliveries(made.id, key="stuck")
    assert await take_by_key(world, made.id) == []
    await finish(world, stuck[0], state=DeliveryState.CANCELLED)
    assert await take_by_key(world, made.id) == [stuck[1]]


async def test_a_webhook_shows_the_key_that_is_held_and_not_one_that_is_under_way(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    for key in "abc":
        for _ in range(2):
            await world.add_deliveries(made.id, key=key)
    _, b, _ = await take_by_key(world, made.id)
    assert await take_by_key(world, made.id) == []
    assert (await world.queries.webhook(made.id)).held is None
    await fail(world, b)
    held = (await world.queries.webhook(made.id)).held
    assert held is not None
    assert (held.behind, held.order_key) == (b, "b")


async def test_a_lease_that_is_taken_over_keeps_the_order_of_its_key(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    ids = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    assert await take_by_key(world, made.id, lease_s=0) == ids[:1]
    assert await take_by_key(world, made.id) == ids[:1]
    assert await take_by_key(world, made.id) == []


async def test_an_older_delivery_of_a_key_waits_for_the_one_in_flight(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    older = [id_ for _ in range(2) for id_ in await world.add_deliveries(made.id, key="a")]
    await finish(world, *older, state=DeliveryState.FAILED)
    [newer] = await world.add_deliveries(made.id, key="a")
    assert await take_by_key(world, made.id) == [newer]
    async with world.unit_of_work() as uow:
        await uow.queue.requeue(older[0])
        await uow.queue.requeue(older[1])
        await uow.commit()
    assert await take_by_key(world, made.id) == []
    await fail(world, newer)
    assert await take_by_key(world, made.id) == older[:1]
    await finish(world, older[0])
    assert await take_by_key(world, made.id) == older[1:]


@pytest.mark.parametrize("ordered", [True, "key"])
async def test_what_steps_aside_is_overtaken_and_goes_on_with_its_retries(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    ids = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    await world.take(made.id, ordered=ordered)
    await fail(world, ids[0])
    assert await world.take(made.id, ordered=ordered) == []
    assert (await world.queries.webhook(made.id)).held is not None
    await fail(world, ids[0], aside=True)
    assert list(await world.ready()) == [made.id]
    [second] = await world.take(made.id, ordered=ordered)
    assert second.id == ids[1]
    view = await world.queries.delivery(ids[0])
    assert (view.aside, view.held, view.attempts) == (True, None, 2)
    assert (await world.queries.webhook(made.id)).held is None
    await finish(world, ids[1])
    async with world.unit_of_work() as uow:
        # Due before the head: it goes first, and holds nothing when it fails again.
        await uow.queue.requeue(ids[0])
        await uow.commit()
    [again] = await world.take(made.id, 1, ordered=ordered)
    assert again.id == ids[0]
    await fail(world, ids[0])
    [last] = await world.take(made.id, ordered=ordered)
    assert last.id == ids[2]


@pytest.mark.parametrize("ordered", [True, "key"])
async def test_what_failed_often_enough_steps_aside_when_that_is_decided_later(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    ids = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    await fail(world, ids[0])
    await fail(world, ids[0])
    assert await world.take(made.id, ordered=ordered) == []
    for skip_after, gone, expected in ((None, 0, []), (3, 0, []), (2, 1, ids[1:2])):
        async with world.unit_of_work() as uow:
            await uow.webhooks.save(replace(made, skip_after=skip_after), None)
            assert await uow.queue.step_aside(made.id, after=None, limit=2) == Chunk(gone, ids[1], more=True)
            assert await uow.queue.step_aside(made.id, after=ids[1], limit=2) == Chunk(0, ids[2], more=False)
            assert await uow.queue.step_aside(made.id, after=ids[2], limit=2) == Chunk(0, ids[2], more=False)
            await uow.commit()
        assert [one.id for one in await world.take(made.id, ordered=ordered)] == expected


async def test_attempts_before_a_retry_by_hand_do_not_make_a_delivery_step_aside(world: World) -> None:
    made = await world.add_webhook(ordered="key", skip_after=2)
    ids = [id_ for _ in range(2) for id_ in await world.add_deliveries(made.id, key="a")]
    await fail(world, ids[0])
    await fail(world, ids[0])
    async with world.unit_of_work() as uow:
        await uow.queue.requeue(ids[0])
        await uow.queue.step_aside(made.id, after=None, limit=10)
        await uow.commit()
    assert await take_by_key(world, made.id) == ids[:1]


@pytest.mark.parametrize("ordered", [True, "key"])
async def test_new_deliveries_do_not_wait_for_replayed_ones(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    old = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    await replayed(world, made.id, old, after_s=60)
    new = [id_ for _ in range(2) for id_ in await world.add_deliveries(made.id, key="a")]
    assert list(await world.ready()) == [made.id]
    assert (await world.queries.delivery(new[0])).held is None
    held = (await world.queries.delivery(new[1])).held
    assert held is not None
    assert (held.reason, held.behind) == (HeldReason.ORDER, new[0])
    [first] = await world.take(made.id, ordered=ordered)
    assert first.id == new[0]


@pytest.mark.parametrize("ordered", [True, "key"])
async def test_replayed_deliveries_keep_their_order_behind_new_ones(world: World, ordered: Order) -> None:
    made = await world.add_webhook(ordered=ordered)
    old = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id, key="a")]
    await replayed(world, made.id, old)
    [new] = await world.add_deliveries(made.id, key="a")
    [first] = await world.take(made.id, ordered=ordered)
    assert first.id == new
    await finish(world, new)
    [second] = await world.take(made.id, ordered=ordered)
    assert second.id == old[0]
    # A replayed head that fails holds the rest of the replay, and nothing new.
    await fail(world, old[0])
    assert await world.take(made.id, ordered=ordered) == []
    [newest] = await world.add_deliveries(made.id, key="a")
    [third] = await world.take(made.id, ordered=ordered)
    assert third.id == newest
    await finish(world, newest, old[0])
    [fourth] = await world.take(made.id, ordered=ordered)
    assert fourth.id == old[1]


async def test_a_change_of_the_order_leaves_nothing_behind(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    ids = [id_ for _ in range(4) for id_ in await world.add_deliveries(made.id, key="a")]
    assert await take_by_key(world, made.id) == ids[:1]
    taken = await world.take(made.id)
    assert sorted(one.id for one in taken) == ids[1:]
    await finish(world, ids[2])
    await fail(world, ids[0])
    await finish(world, ids[0])
    async with world.unit_of_work() as uow:
        await uow.queue.release([(one.id, one.fencing_token) for one in taken if one.id != ids[2]])
        await uow.commit()
    assert await take_by_key(world, made.id) == [ids[1]]
    await finish(world, ids[1])
    assert await take_by_key(world, made.id) == [ids[3]]


async def test_claims_at_the_same_time_keep_one_of_a_key_in_flight(world: World) -> None:
    made = await world.add_webhook(ordered="key")
    for _ in range(5):
        for key in "abcd":
            await world.add_deliveries(made.id, key=key)
    order: dict[str, list[UUID]] = {}

    async def claim() -> list[ClaimedDelivery]:
        async with world.unit_of_work() as uow:
            lanes = await uow.queue.lock_ready_lanes([made.id], 1)
            taken = await uow.queue.lease(dict.fromkeys(lanes, 3), dict.fromkeys(lanes, "key"), worker="w", lease_s=30)
            await uow.commit()
        return taken

    for _ in range(40):
        both = [one for taken in await asyncio.gather(claim(), claim()) for one in taken]
        keys = [(await world.queries.delivery(one.id)).order_key or "" for one in both]
        assert len(keys) == len(set(keys))
        for key, one in zip(keys, both, strict=True):
            order.setdefault(key, []).append(one.id)
        await finish(world, *(one.id for one in both))
    assert {key: len(ids) for key, ids in order.items()} == dict.fromkeys("abcd", 5)
    assert all(ids == sorted(ids) for ids in order.values())


rows_of = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([-2, -1, 60]), st.booleans(), st.booleans()),
    min_size=1,
    max_size=8,
)


@given(rows=rows_of, ordered=st.sampled_from([False, True, "key"]), free=st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_a_claim_leases_what_the_order_chooses(
    world: World, rows: list[tuple[str | None, int, bool, bool]], ordered: Order, free: int
) -> None:
    """``lease`` takes exactly ``next_of`` of the stored rows."""
    async with world.unit_of_work() as uow:  # Never committed, so that each example begins with empty tables.
        webhook = samples.webhook(world.clock, ordered=ordered)
        await uow.webhooks.add(webhook, {}, samples.KEY)
        events = [samples.event(world.clock, order_key=key) for key, *_ in rows]
        new = [NewDelivery(world.clock.new_id(), one.id, webhook.id, one.order_key) for one in events]
        await uow.events.add(events, new)
        later = [one.id for one, (*_, again) in zip(new, rows, strict=True) if again]
        if later:
            await uow.queue.finish([Finish(id_, DeliveryState.FAILED) for id_ in later])
            await uow.queue.requeue_finished(failed(webhook.id, uow.now), after=None, limit=100, per_s=1e9, after_s=0)
        due = {
            one.id: uow.now + timedelta(seconds=due_s, microseconds=n)
            for n, (one, (_, due_s, *_)) in enumerate(zip(new, rows, strict=True))
        }
        aside = {one.id: row[2] for one, row in zip(new, rows, strict=True)}
        await uow.queue.postpone([Postpone(id_, at, None, None, aside[id_]) for id_, at in due.items()])
        queued = [
            QueuedDelivery(
                id=one.id, due_at=due[one.id], order_key=one.order_key, replayed=one.id in later, aside=aside[one.id]
            )
            for one in new
        ]
        expected = next_of(queued, ordered, free, uow.now)
        taken = await uow.queue.lease({webhook.id: free}, {webhook.id: ordered}, worker="worker-1", lease_s=30)
        assert sorted(one.id for one in taken) == sorted(one.id for one in expected)
