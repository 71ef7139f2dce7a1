"""What every ``DeliveryQueue`` must do. A lease of no seconds has run out when the next transaction begins."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import NotFound
from monitor.domain.monitoring.health import Health
from monitor.domain.ports.queue import ClaimedDelivery, Finish, LeaseState, Postpone
from monitor.domain.vocab import DeliveryState, HealthStatus
from tests.integration.contract.world import World


def lease(claimed: ClaimedDelivery) -> tuple[UUID, int]:
    return claimed.id, claimed.fencing_token


# ---------------------------------------------------------------------------------------------------------------- lanes


async def test_a_lane_comes_back_as_it_was_saved_with_the_limits_of_its_webhook(world: World) -> None:
    made = await world.add_webhook(
        max_concurrency=3, rate_limit=RateLimit(2.0, 5), ordered=True, retry=RetryPolicy((0.0,), 0.0)
    )
    at = world.clock.now()
    lane = Lane(
        webhook_id=made.id,
        recent=("ok", "503", "timeout"),
        last_attempt_at=at,
        failing_since=at - timedelta(hours=1),
        health=Health(HealthStatus.DEGRADED, "2 of the last 3 attempts failed.", 0.4321, at),
        breaker=Breaker(BreakerState.OPEN, at + timedelta(seconds=30), 2, 3),
        tokens=1.25,
        tokens_at=at,
        throttled_until=at + timedelta(seconds=300),
        version=made.version,
        max_concurrency=3,
        rate_limit=RateLimit(2.0, 5),
        ordered=True,
        retry=RetryPolicy((0.0,), 0.0),
    )
    async with world.unit_of_work() as uow:
        await uow.queue.save_lanes([lane])
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.queue.lock_lanes([made.id, world.clock.new_id()]) == {made.id: lane}


async def test_the_lane_of_a_new_webhook_is_empty(world: World) -> None:
    made = await world.add_webhook()
    async with world.unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([made.id])
    # The detector looks at it at once.
    assert lanes == {made.id: Lane(webhook_id=made.id, evaluate_at=lanes[made.id].evaluate_at)}
    assert lanes[made.id].evaluate_at is not None


async def test_a_lane_is_ready_only_with_something_due_that_may_go_out(world: World) -> None:
    made = await world.add_webhook()
    assert await world.ready() == {}
    await world.add_deliveries(made.id, 2)
    assert list(await world.ready()) == [made.id]
    assert await world.ready([world.clock.new_id()]) == {}
    assert list(await world.ready([made.id])) == [made.id]
    await world.take(made.id, 1)
    assert (await world.ready())[made.id].in_flight == 1
    await world.take(made.id)
    assert await world.ready() == {}


async def test_a_paused_or_disabled_webhook_is_never_ready(world: World) -> None:
    paused, disabled = await world.add_webhook(), await world.add_webhook()
    for made in (paused, disabled):
        await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        await uow.webhooks.set_paused(paused.id, True)
        await uow.webhooks.disable(disabled.id, "It is gone.")
        await uow.commit()
    assert await world.ready() == {}


async def test_a_full_lane_stays_out_until_a_lease_ends(world: World) -> None:
    made = await world.add_webhook(max_concurrency=2)
    await world.add_deliveries(made.id, 3)
    [first, _] = await world.take(made.id, 2)
    assert await world.ready() == {}
    async with world.unit_of_work() as uow:
        await uow.queue.renew([lease(first)], lease_s=0)
        await uow.commit()
    assert (await world.ready())[made.id].in_flight == 1


async def test_an_open_breaker_holds_its_lane_until_the_probe_is_due(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    for wait_s, ready in ((60, []), (-1, [made.id])):
        async with world.unit_of_work() as uow:
            [lane] = (await uow.queue.lock_lanes([made.id])).values()
            breaker = Breaker(BreakerState.OPEN, uow.now + timedelta(seconds=wait_s), 1)
            await uow.queue.save_lanes([replace(lane, breaker=breaker)])
            await uow.commit()
        assert list(await world.ready()) == ready


async def test_the_lanes_that_waited_longest_come_first(world: World) -> None:
    latest, oldest, never = [await world.add_webhook() for _ in range(3)]
    for made in (latest, oldest, never):
        await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([latest.id, oldest.id])
        await uow.queue.save_lanes(
            [
                replace(lanes[latest.id], last_attempt_at=uow.now),
                replace(lanes[oldest.id], last_attempt_at=uow.now - timedelta(hours=1)),
            ]
        )
        await uow.commit()
    assert list(await world.ready()) == [never.id, oldest.id, latest.id]
    assert list(await world.ready(limit=2)) == [never.id, oldest.id]


# ----------------------------------------------------------------------------------------------------- take and leases


async def test_taking_leases_at_most_the_room_oldest_first(world: World) -> None:
    made = await world.add_webhook()
    ids = [id_ for _ in range(3) for id_ in await world.add_deliveries(made.id)]
    taken = await world.take(made.id, 2)
    assert sorted(delivery.id for delivery in taken) == ids[:2]
    assert {delivery.fencing_token for delivery in taken} == {1}
    assert taken[0].payload == b'{"amount": 1}'
    assert taken[0].event_type == "order.paid"
    assert [delivery.id for delivery in await world.take(made.id)] == ids[2:]
    assert (await world.queries.delivery(ids[0])).in_flight


async def test_an_ordered_lane_gives_its_head_alone_and_waits_for_it(world: World) -> None:
    made = await world.add_webhook(ordered=True)
    ids = await world.add_deliveries(made.id, 2)
    [head] = await world.take(made.id, ordered=True)
    assert head.id == ids[0]
    assert await world.take(made.id, ordered=True) == []
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(head.id, uow.now + timedelta(hours=1), 503, "status")])
        await uow.commit()
    assert await world.take(made.id, ordered=True) == []
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(head.id, DeliveryState.DELIVERED, 200, None, 1)])
        await uow.commit()
    assert [delivery.id for delivery in await world.take(made.id, ordered=True)] == ids[1:]


async def test_a_lease_that_ran_out_is_taken_over_and_fences_the_first_holder(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    [first] = await world.take(made.id, lease_s=0)
    [second] = await world.take(made.id)
    assert second.fencing_token == first.fencing_token + 1
    async with world.unit_of_work() as uow:
        assert await uow.queue.fence([lease(first)]) == {}
        assert await uow.queue.fence([lease(second)]) == {second.id: 0}


async def test_a_delivery_that_keeps_crashing_workers_is_quarantined(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    for _ in range(MAX_CRASHES):
        assert len(await world.take(made.id, lease_s=0)) == 1
    assert await world.take(made.id) == []
    assert await world.states([id_]) == [DeliveryState.QUARANTINED]


async def test_a_delivery_whose_lease_is_renewed_stays_with_its_holder(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    [held] = await world.take(made.id, lease_s=0)
    async with world.unit_of_work() as uow:
        await uow.queue.renew([lease(held)], lease_s=60)
        await uow.commit()
    assert await world.take(made.id) == []


async def test_a_renewal_returns_what_is_still_held_and_may_be_sent(world: World) -> None:
    usual, paused, deleted = [await world.add_webhook() for _ in range(3)]
    held = []
    for made in (usual, paused, deleted):
        await world.add_deliveries(made.id)
        held += await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.webhooks.set_paused(paused.id, True)
        await uow.webhooks.remove(deleted.id)
        await uow.queue.cancel_waiting(deleted.id, after=None, limit=10)
        await uow.commit()
    older = (held[0].id, held[0].fencing_token - 1)
    async with world.unit_of_work() as uow:
        states = await uow.queue.renew([*map(lease, held), older], lease_s=30)
    assert states == {lease(held[0]): LeaseState(True, True), lease(held[1]): LeaseState(True, False)}


@pytest.mark.parametrize("ordered", [False, True])
async def test_deliveries_that_are_held_are_left_out(world: World, ordered: bool) -> None:
    made = await world.add_webhook()
    first, second = await world.add_deliveries(made.id, 2)
    async with world.unit_of_work() as uow:
        taken = await uow.queue.lease({made.id: 1}, {made.id: ordered}, worker="worker-1", lease_s=30, held=[first])
    # The head of an ordered webhook is waited for.
    assert [delivery.id for delivery in taken] == ([] if ordered else [second])


async def test_the_clock_of_the_queue_goes_on_within_a_transaction(world: World) -> None:
    """While it waits for a lock, buckets of rate limits fill; its ``now`` stays that of its start."""
    async with world.unit_of_work() as uow:
        before = await uow.queue.clock()
        assert before >= uow.now
        await world.pass_time(0.001)
        assert await uow.queue.clock() > before


async def test_a_lost_lease_cannot_be_renewed_or_released(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    [lost] = await world.take(made.id, lease_s=0)
    [held] = await world.take(made.id, lease_s=60)
    async with world.unit_of_work() as uow:
        await uow.queue.renew([lease(lost)], lease_s=0)
        await uow.queue.release([lease(lost)])
        await uow.commit()
    assert await world.take(made.id) == []
    async with world.unit_of_work() as uow:
        assert await uow.queue.fence([lease(held)]) == {held.id: 0}


async def test_what_is_released_is_due_now_as_if_never_claimed(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    for _ in range(MAX_CRASHES + 1):
        [held] = await world.take(made.id)
        async with world.unit_of_work() as uow:
            await uow.queue.release([lease(held)])
            await uow.commit()
        async with world.unit_of_work() as uow:
            assert await uow.queue.fence([lease(held)]) == {}


async def test_claims_at_the_same_time_never_share_a_delivery_or_a_lane(world: World) -> None:
    made = [await world.add_webhook(max_concurrency=5) for _ in range(4)]
    ids = {id_ for webhook in made for id_ in await world.add_deliveries(webhook.id, 5)}

    async def claim() -> list[ClaimedDelivery]:
        async with world.unit_of_work() as uow:
            lanes = await uow.queue.lock_ready_lanes(None, 3)
            rooms = {id_: lane.max_concurrency - lane.in_flight for id_, lane in lanes.items()}
            taken = await uow.queue.lease(rooms, {}, worker="worker-1", lease_s=30)
            await uow.commit()
        return taken

    first, second = await asyncio.gather(claim(), claim())
    taken = [delivery.id for delivery in (*first, *second)]
    assert len(taken) == len(set(taken))
    assert set(taken) <= ids
    assert not {delivery.webhook_id for delivery in first} & {delivery.webhook_id for delivery in second}


# --------------------------------------------------------------------------------------------------- finish and so on


async def test_a_finished_delivery_tells_how_it_ended(world: World) -> None:
    made = await world.add_webhook()
    first, second = await world.add_deliveries(made.id, 2)
    await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.finish(
            [
                Finish(first, DeliveryState.FAILED, 503, "status", 1),
                Finish(second, DeliveryState.CANCELLED),
                Finish(world.clock.new_id(), DeliveryState.CANCELLED),
            ]
        )
        await uow.commit()
    failed, cancelled = await world.queries.delivery(first), await world.queries.delivery(second)
    assert (failed.state, failed.attempts, failed.last_status_code, failed.last_error) == (
        DeliveryState.FAILED,
        1,
        503,
        "status",
    )
    assert failed.due_at is None
    assert failed.finished_at is not None
    assert (cancelled.state, cancelled.attempts, cancelled.last_error) == (DeliveryState.CANCELLED, 0, None)


async def test_a_delivery_cancelled_between_attempts_keeps_what_its_last_one_brought(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now, None, "timeout")])
        await uow.queue.finish([Finish(id_, DeliveryState.CANCELLED)])
        await uow.commit()
    view = await world.queries.delivery(id_)
    assert (view.state, view.attempts, view.last_error) == (DeliveryState.CANCELLED, 1, "timeout")


async def test_a_postponed_delivery_waits_with_its_crashes_reset(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    for _ in range(MAX_CRASHES):
        await world.take(made.id, lease_s=0)
    async with world.unit_of_work() as uow:
        due_at = uow.now + timedelta(hours=1)
        await uow.queue.postpone([Postpone(id_, due_at, 503, "status")])
        await uow.commit()
    view = await world.queries.delivery(id_)
    assert (view.attempts, view.due_at, view.in_flight) == (1, due_at, False)
    assert (view.last_status_code, view.last_error) == (503, "status")
    assert await world.take(made.id) == []
    async with world.unit_of_work() as uow:
        await uow.queue.requeue(id_)
        await uow.commit()
    [again] = await world.take(made.id)
    assert again.attempts == 1


async def test_getting_a_delivery_returns_its_state_and_webhook(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        assert await uow.queue.get(id_) == (DeliveryState.PENDING, made.id)
        await uow.queue.finish([Finish(id_, DeliveryState.DELIVERED, 200, None, 1)])
        assert await uow.queue.get(id_) == (DeliveryState.DELIVERED, made.id)
        with pytest.raises(NotFound):
            await uow.queue.get(world.clock.new_id())


async def test_a_finished_delivery_is_requeued_with_its_history(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    [held] = await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.finish([Finish(id_, DeliveryState.FAILED, 500, "status", 1)])
        await uow.queue.requeue(id_)
        await uow.commit()
    [again] = await world.take(made.id)
    assert (again.id, again.attempts, again.fencing_token) == (id_, 1, held.fencing_token + 1)
    assert (held.schedule_from, again.schedule_from) == (0, 1)


async def test_a_pending_delivery_that_is_requeued_starts_its_schedule_over(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + timedelta(days=1), 500, "status")])
        await uow.queue.requeue(id_)
        await uow.commit()
    [again] = await world.take(made.id)
    assert (again.id, again.attempts, again.schedule_from) == (id_, 1, 1)


async def test_requeueing_what_is_being_sent_leaves_its_lease_and_restarts_its_schedule(world: World) -> None:
    made = await world.add_webhook()
    [id_] = await world.add_deliveries(made.id)
    [first] = await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now, 503, "status")])
        await uow.commit()
    [held] = await world.take(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.requeue(id_)
        await uow.commit()
    assert await world.take(made.id) == []
    async with world.unit_of_work() as uow:
        assert await uow.queue.fence([lease(first), lease(held)]) == {id_: 1}
