"""What passing time, unknown ids, ids given twice and equal times mean to every repository."""

from __future__ import annotations

from uuid import UUID

import pytest

from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.errors import IdempotencyMismatch, NotFound
from monitor.domain.ports.queue import Finish, Postpone
from monitor.domain.ports.repositories.attempts import AttemptRecord
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.contract.world import World

UNKNOWN = UUID("01900000-0000-7000-8000-000000000001")
DAY_S = 86_400.0


async def test_a_lease_lasts_as_long_as_it_was_asked_for(world: World) -> None:
    made = await world.add_webhook()
    await world.add_deliveries(made.id)
    [first] = await world.take(made.id, lease_s=60)
    await world.pass_time(30)
    assert await world.take(made.id) == []
    await world.pass_time(31)
    [second] = await world.take(made.id)
    assert second.fencing_token == first.fencing_token + 1


async def test_each_lease_that_runs_out_brings_a_delivery_nearer_to_quarantine(world: World) -> None:
    assert MAX_CRASHES == 5
    made = await world.add_webhook()
    ids = await world.add_deliveries(made.id)
    for _ in range(5):
        assert len(await world.take(made.id, lease_s=60)) == 1
        await world.pass_time(61)
    assert await world.states(ids) == [DeliveryState.PENDING]
    assert await world.take(made.id) == []
    assert await world.states(ids) == [DeliveryState.QUARANTINED]


async def test_a_delivery_whose_event_was_dropped_fails_with_an_error_of_its_own(world: World) -> None:
    made = await world.add_webhook()
    never, tried = await world.add_orphan(made.id), await world.add_orphan(made.id)
    [usual] = await world.add_deliveries(made.id)
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(tried, uow.now, 503, "status")])
        await uow.commit()
    assert [delivery.id for delivery in await world.take(made.id)] == [usual]
    assert await world.states([never, tried, usual]) == [DeliveryState.FAILED] * 2 + [DeliveryState.PENDING]
    for id_, attempts in ((never, 0), (tried, 1)):
        view = await world.queries.delivery(id_)
        assert (view.attempts, view.last_status_code, view.last_error) == (attempts, None, "expired")


async def test_an_idempotency_key_is_bound_for_a_day(world: World) -> None:
    async with world.unit_of_work() as uow:
        assert await uow.idempotency.begin("ada", "k", b"one") is None
        await uow.idempotency.finish("ada", "k", b"answer")
        await uow.commit()
    await world.pass_time(DAY_S - 3600)
    async with world.unit_of_work() as uow:
        assert await uow.idempotency.begin("ada", "k", b"one") == b"answer"
        with pytest.raises(IdempotencyMismatch):
            await uow.idempotency.begin("ada", "k", b"two")
    await world.pass_time(7200)
    async with world.unit_of_work() as uow:
        assert await uow.idempotency.begin("ada", "k", b"two") is None


async def test_a_rotated_secret_signs_until_its_overlap_ends(world: World) -> None:
    made = await world.add_webhook()
    async with world.unit_of_work() as uow:
        await uow.webhooks.rotate_secret(made.id, bytes(32), overlap_s=3600)
        await uow.commit()
    for seconds, keys in ((0.0, (bytes(32), samples.KEY)), (3540, (bytes(32), samples.KEY)), (120, (bytes(32),))):
        await world.pass_time(seconds)
        assert (await world.queries.destinations([made.id]))[made.id][1].keys == keys


async def test_what_is_done_to_an_unknown_delivery_does_nothing(world: World) -> None:
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(UNKNOWN, uow.now, 500, "status")])
        await uow.queue.finish([Finish(UNKNOWN, DeliveryState.CANCELLED)])
        await uow.queue.requeue(UNKNOWN)
        await uow.queue.release([(UNKNOWN, 1)])
        assert await uow.queue.renew([(UNKNOWN, 1)], lease_s=30) == {}
        assert await uow.queue.fence([(UNKNOWN, 1)]) == {}
        assert await uow.queue.lock_lanes([UNKNOWN]) == {}
        assert await uow.queue.lease({UNKNOWN: 3}, {}, worker="worker-1", lease_s=30) == []
        assert (await uow.queue.cancel_waiting(UNKNOWN, after=None, limit=3)).rows == 0
        assert not await uow.queue.has_event(UNKNOWN)
        with pytest.raises(NotFound):
            await uow.queue.get(UNKNOWN)
        await uow.idempotency.finish("ada", "unknown", b"answer")
        await uow.commit()


async def test_an_attempt_is_never_stored_twice(world: World) -> None:
    made = await world.add_webhook()
    attempt = AttemptRecord(id=world.clock.new_id(), webhook_id=made.id, outcome=samples.OK)
    with pytest.raises(DataRejected):
        async with world.unit_of_work() as uow:
            await uow.attempts.add([attempt, attempt])
    async with world.unit_of_work() as uow:
        await uow.attempts.add([attempt])
        await uow.commit()
    with pytest.raises(DataRejected):
        async with world.unit_of_work() as uow:
            await uow.attempts.add([attempt])


async def test_of_two_that_are_due_at_one_moment_each_is_leased_once(world: World) -> None:
    made = await world.add_webhook()
    ids = await world.add_deliveries(made.id, 6)
    taken = [delivery.id for _ in range(4) for delivery in await world.take(made.id, 2)]
    assert sorted(taken) == sorted(ids)
