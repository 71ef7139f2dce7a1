"""The backlog of a webhook, and sending it now, in memory and in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.backlog import Backlog, BreakerView
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.job import Chunk
from monitor.domain.ports.queue import Postpone
from tests import samples
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
APART_S = 60.0
"""Between two that are hastened: more than the steps of a test take."""


async def backlog(world: World, webhook_id: UUID) -> Backlog:
    shown = (await world.queries.webhook(webhook_id)).backlog
    assert isinstance(shown, Backlog)
    return shown


async def hasten(world: World, webhook_id: UUID, *, after: UUID | None = None, limit: int = 10) -> Chunk:
    async with world.unit_of_work() as uow:
        chunk = await uow.bulk.hasten(webhook_id, after=after, limit=limit, per_s=1 / APART_S)
        await uow.commit()
    return chunk


async def postponed(world: World, count: int) -> tuple[UUID, list[UUID]]:
    """Return a webhook with *count* deliveries that failed once and wait for an hour."""
    made = await world.add_webhook()
    ids = sorted(await world.add_deliveries(made.id, count))
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(id_, uow.now + HOUR, 500, "status") for id_ in ids])
        await uow.commit()
    return made.id, ids


async def test_a_new_webhook_has_none(world: World) -> None:
    made = await world.add_webhook()
    closed = BreakerView(BreakerState.CLOSED, None, None, 0)
    assert await backlog(world, made.id) == Backlog(
        waiting=0,
        complete=True,
        in_flight=0,
        oldest_due_at=None,
        next_try_at=None,
        breaker=closed,
        failing_since=None,
        disables_at=None,
    )


async def test_what_waits_is_counted_and_the_breaker_shown(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    await world.add_deliveries(other.id, 3)
    ids = sorted(await world.add_deliveries(made.id, 4))
    (sent,) = await world.take(made.id, 1)
    waiting = [id_ for id_ in ids if id_ != sent.id]
    async with world.unit_of_work() as uow:
        await uow.queue.postpone([Postpone(waiting[0], uow.now + HOUR, 500, "status")])
        [lane] = (await uow.queue.lock_lanes([made.id])).values()
        opened = Breaker(BreakerState.OPEN, uow.now + HOUR, 1, cause_at=uow.now)
        failing = replace(lane, breaker=opened, recent=("ok", "500", "500"), failing_since=uow.now)
        await uow.queue.save_lanes([failing])
        await uow.commit()
    shown = await backlog(world, made.id)
    assert (shown.waiting, shown.complete, shown.in_flight) == (3, True, 1)
    assert shown.breaker == BreakerView(BreakerState.OPEN, opened.cause_at, opened.until, 2)
    assert shown.next_try_at == opened.until
    assert shown.oldest_due_at is not None
    assert shown.disables_at == opened.cause_at + timedelta(days=5)  # type: ignore[operator]


async def test_the_next_try_is_the_next_attempt_while_none_is_due(world: World) -> None:
    webhook_id, ids = await postponed(world, 2)
    due = [(await world.queries.delivery(id_)).due_at for id_ in ids]
    shown = await backlog(world, webhook_id)
    assert (shown.waiting, shown.oldest_due_at, shown.next_try_at) == (2, None, due[0])


async def test_former_secrets_are_shown_until_they_end(world: World) -> None:
    made = await world.add_webhook()
    assert (await world.queries.webhook(made.id)).previous_secrets_expire_at is None
    async with world.unit_of_work() as uow:
        expires_at = await uow.webhooks.rotate_secret(made.id, b"2" * 32, overlap_s=60.0)
        await uow.commit()
    assert (await world.queries.webhook(made.id)).previous_secrets_expire_at == expires_at
    await world.pass_time(61)
    assert (await world.queries.webhook(made.id)).previous_secrets_expire_at is None


async def test_what_waits_for_a_later_attempt_is_hastened_in_chunks_at_a_rate(world: World) -> None:
    webhook_id, ids = await postponed(world, 3)
    first = await hasten(world, webhook_id, limit=2)
    assert first == Chunk(2, ids[1], more=True)
    assert await hasten(world, webhook_id, after=first.cursor, limit=2) == Chunk(1, ids[2], more=False)
    times = [(await world.queries.delivery(id_)).due_at for id_ in ids]
    due = [at.timestamp() for at in times if at is not None]
    assert [round((at - due[0]) / APART_S) for at in due] == [0, 1, 2]
    assert [one.id for one in await world.take(webhook_id, 5)] == [ids[0]]


async def test_hastening_again_moves_nothing(world: World) -> None:
    webhook_id, ids = await postponed(world, 3)
    await hasten(world, webhook_id)
    before = [await world.queries.delivery(id_) for id_ in ids]
    assert (await hasten(world, webhook_id)).rows == 0
    assert [await world.queries.delivery(id_) for id_ in ids] == before


async def test_what_is_in_flight_due_or_of_another_webhook_is_left_alone(world: World) -> None:
    made = await world.add_webhook()
    ids = await world.add_deliveries(made.id, 2)
    other_id, others = await postponed(world, 1)
    await samples.take(world.unit_of_work, made.id, 1)
    before = [await world.queries.delivery(id_) for id_ in (*ids, *others)]
    assert (await hasten(world, made.id)).rows == 0
    assert [await world.queries.delivery(id_) for id_ in (*ids, *others)] == before
    assert (await hasten(world, other_id)).rows == 1


async def test_a_hastened_delivery_has_its_whole_schedule_again(world: World) -> None:
    webhook_id, _ = await postponed(world, 1)
    await hasten(world, webhook_id)
    (taken,) = await world.take(webhook_id, 5)
    assert (taken.attempts, taken.schedule_from) == (1, 1)
