"""Bulk work on deliveries and the filters that select it, in memory and in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from monitor.domain.delivery.bulk import BulkAction, BulkCount, BulkLook
from monitor.domain.delivery.job import BulkRetryParameters, Chunk, advance, new_job
from monitor.domain.delivery.selection import FINISHED, DeliveryFilter
from monitor.domain.ports.queries.resources import EventFilter
from monitor.domain.ports.queue import Finish, Postpone
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
UNKNOWN = UUID("01900000-0000-7000-8000-000000000000")
ENDS = {
    DeliveryState.DELIVERED: (200, None),
    DeliveryState.FAILED: (503, "status"),
    DeliveryState.CANCELLED: (None, "timeout"),
    DeliveryState.QUARANTINED: (404, "status"),
}


async def made(world: World, **changes: object) -> tuple[UUID, dict[DeliveryState, UUID]]:
    """Add a webhook with a delivery in each state, those that are not pending with the ends of ``ENDS``."""
    webhook = await world.add_webhook(**changes)
    ids = sorted(await world.add_deliveries(webhook.id, len(DeliveryState)))
    by_state = dict(zip(DeliveryState, ids, strict=True))
    async with world.unit_of_work() as uow:
        await uow.queue.finish(
            [Finish(by_state[state], state, code, error, 1) for state, (code, error) in ENDS.items()]
        )
        await uow.commit()
    return webhook.id, by_state


async def change(
    world: World, action: BulkAction, ids: list[UUID], chosen: DeliveryFilter | None = None, per_s: float = 1.0
) -> int:
    async with world.unit_of_work() as uow:
        changed = await uow.bulk.change(action, chosen or DeliveryFilter(), ids, per_s=per_s)
        await uow.commit()
    return len(changed.changed)


async def due_in_s(world: World, ids: list[UUID], since: datetime) -> list[int]:
    due = [(await world.queries.delivery(id_)).due_at for id_ in ids]
    return [round((at - since).total_seconds()) for at in due if at is not None]


FILTERS = [
    DeliveryFilter(),
    DeliveryFilter(state=DeliveryState.PENDING),
    *(DeliveryFilter(state=state) for state in FINISHED),
    DeliveryFilter(error="status"),
    DeliveryFilter(error="503"),
    DeliveryFilter(error="404", status_code=503),
    DeliveryFilter(error="timeout"),
    DeliveryFilter(error="dns"),
    DeliveryFilter(status_code=200),
    DeliveryFilter(status_code=503),
    DeliveryFilter(status_code=404, state=DeliveryState.QUARANTINED),
    DeliveryFilter(status_code=503, error="timeout"),
    DeliveryFilter(event_type="order.paid"),
    DeliveryFilter(event_type="order.*"),
    DeliveryFilter(event_type="order.*", state=DeliveryState.FAILED),
    DeliveryFilter(event_type="order.paid.*"),
    DeliveryFilter(event_type="ord.*"),
    DeliveryFilter(label="team"),
    DeliveryFilter(label="team=shipping"),
    DeliveryFilter(label="team=billing", error="status"),
    DeliveryFilter(label="tea"),
]


@pytest.mark.parametrize("chosen", FILTERS, ids=str)
async def test_a_filter_finds_the_same_deliveries_everywhere(world: World, chosen: DeliveryFilter) -> None:
    """Law: what PostgreSQL finds is what ``matches`` finds, in lists, looks and counts."""
    shipping, of_shipping = await made(world, labels={"team": "shipping"})
    _, of_billing = await made(world, labels={"team": "billing"})
    names = {
        id_: f"{name}-{state}" for name, ids in (("s", of_shipping), ("b", of_billing)) for state, id_ in ids.items()
    }
    for each in (chosen, structs.replace(chosen, webhook_id=shipping)):
        listed = await world.queries.deliveries(each, after=None, limit=20)
        assert listed.last is None
        expected = {names[id_] for id_ in names if _wanted(each, names[id_])}
        assert {names[row.id] for row in listed.rows} == expected
        async with world.unit_of_work() as uow:
            for action in BulkAction:
                if each.state is not None and each.state not in _states(action):
                    continue
                look = await uow.bulk.look(action, each, after=None, limit=20)
                assert {names[id_] for id_, _ in look.found} == {
                    name for name in expected if name.split("-")[1] in _states(action)
                }
                assert await uow.bulk.count(action, each) == BulkCount(len(look.found), complete=True)


def _states(action: BulkAction) -> list[str]:
    return {
        BulkAction.RETRY: ["pending", "failed", "cancelled", "quarantined"],
        BulkAction.CANCEL: ["pending"],
        BulkAction.RESEND: ["delivered", "failed", "cancelled", "quarantined"],
    }[action]


def _wanted(chosen: DeliveryFilter, name: str) -> bool:
    team, state = name.split("-")
    code, error = ENDS.get(DeliveryState(state), (None, None))
    return (
        chosen.state in (None, state)
        and chosen.error in (None, error, str(code) if error == "status" else None)
        and chosen.status_code in (None, code)
        and chosen.event_type in (None, "order.paid", "order.*")
        and (chosen.label in (None, "team") or chosen.label == {"s": "team=shipping", "b": "team=billing"}[team])
        and (chosen.webhook_id is None or team == "s")
    )


async def test_deliveries_and_events_are_found_by_id_and_by_answer(world: World) -> None:
    webhook_id, ids = await made(world)
    failed = ids[DeliveryState.FAILED]
    listed = await world.queries.deliveries(DeliveryFilter(id=failed), after=None, limit=9)
    assert [row.id for row in listed.rows] == [failed]
    some = DeliveryFilter(ids=(failed, ids[DeliveryState.PENDING], UNKNOWN))
    listed_some = await world.queries.deliveries(some, after=None, limit=9)
    assert {row.id for row in listed_some.rows} == {failed, ids[DeliveryState.PENDING]}
    async with world.unit_of_work() as uow:
        assert await uow.bulk.count(BulkAction.RETRY, some) == BulkCount(2, complete=True)
        assert await uow.bulk.count(BulkAction.CANCEL, some) == BulkCount(1, complete=True)
        look = await uow.bulk.look(BulkAction.RESEND, some, after=None, limit=9)
        assert look.found == ((failed, webhook_id),)
    other = DeliveryFilter(id=failed, state=DeliveryState.PENDING)
    assert (await world.queries.deliveries(other, after=None, limit=9)).rows == []
    event_id = listed.rows[0].event_id

    async def found(**conditions: Any) -> list[UUID]:
        return [row.id for row in (await world.queries.events(EventFilter(**conditions), after=None, limit=9)).rows]

    assert await found(status_code=503) == [event_id]
    assert await found(id=event_id) == await found(id=event_id, type="order.*") == [event_id]
    assert await found(id=webhook_id) == await found(status_code=500) == await found(type="order.sent.*") == []
    assert len(await found(type="order.paid")) == len(await found(type="order.*")) == len(DeliveryState)


async def test_events_are_found_by_their_labels(world: World) -> None:
    async with world.unit_of_work() as uow:
        events = [samples.event(world.clock, labels=labels) for labels in ({"team": "a"}, {"team": "b"}, {})]
        await uow.events.add(events, [])
        await uow.commit()
    for label, expected in (("team", {0, 1}), ("team=b", {1}), ("tea", set()), ("team=", set())):
        found = await world.queries.events(EventFilter(label=label), after=None, limit=9)
        assert {row.id for row in found.rows} == {events[n].id for n in expected}


async def test_looks_go_on_behind_a_cursor(world: World) -> None:
    webhook_id, by_state = await made(world)
    ids = sorted(by_state[state] for state in FINISHED)
    async with world.unit_of_work() as uow:
        first = await uow.bulk.look(BulkAction.RESEND, DeliveryFilter(), after=None, limit=3)
        assert first == BulkLook(tuple((id_, webhook_id) for id_ in ids[:3]), ids[2], more=True)
        rest = await uow.bulk.look(BulkAction.RESEND, DeliveryFilter(), after=ids[2], limit=3)
        assert rest == BulkLook(((ids[3], webhook_id),), ids[3], more=False)
        again = await uow.bulk.look_again(BulkAction.RETRY, DeliveryFilter(), [ids[0], by_state[DeliveryState.FAILED]])
        assert again == ((by_state[DeliveryState.FAILED], webhook_id),)
        assert await uow.bulk.look_again(BulkAction.RETRY, DeliveryFilter(), []) == ()


async def test_finished_ones_come_back_spread_over_time_with_their_whole_schedule(world: World) -> None:
    webhook_id, by_state = await made(world)
    ids = [by_state[state] for state in FINISHED]
    async with world.unit_of_work() as uow:
        now = uow.now
    assert await change(world, BulkAction.RESEND, ids[:2], per_s=0.01) == 2
    assert await change(world, BulkAction.RESEND, ids, per_s=0.01) == 2
    assert await world.states(ids) == [DeliveryState.PENDING] * 4
    assert sorted(await due_in_s(world, ids, now)) == [0, 100, 200, 300]
    [first] = [one for one in await world.take(webhook_id, 2) if one.id in ids]
    assert (first.attempts, first.schedule_from) == (1, 1)


async def test_pending_ones_fall_due_sooner_and_never_later(world: World) -> None:
    webhook = await world.add_webhook()
    due, *later = sorted(await world.add_deliveries(webhook.id, 4))
    async with world.unit_of_work() as uow:
        now = uow.now
        await uow.queue.postpone([Postpone(id_, now + HOUR, 503, "status") for id_ in later])
        await uow.commit()
    assert await change(world, BulkAction.RETRY, [due, *later], per_s=0.01) == 4
    waits = await due_in_s(world, later, now)
    assert waits == [0, 100, 200]
    assert (await due_in_s(world, [due], now))[0] <= 0
    taken = {one.id: one for one in await world.take(webhook.id)}
    assert {(one.attempts, one.schedule_from) for id_, one in taken.items() if id_ != due} <= {(1, 1)}


async def test_what_is_under_way_is_cancelled_and_not_retried(world: World) -> None:
    webhook = await world.add_webhook()
    ids = await world.add_deliveries(webhook.id, 2)
    [taken] = await world.take(webhook.id, 1)
    async with world.unit_of_work() as uow:
        look = await uow.bulk.look(BulkAction.RETRY, DeliveryFilter(), after=None, limit=9)
    assert [id_ for id_, _ in look.found] == [id_ for id_ in ids if id_ != taken.id]
    assert await change(world, BulkAction.RETRY, [taken.id]) == 0
    assert await change(world, BulkAction.CANCEL, ids) == 2
    assert await world.states(ids) == [DeliveryState.CANCELLED] * 2


async def test_deleted_webhooks_are_left_alone(world: World) -> None:
    webhook_id, by_state = await made(world)
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    for action in BulkAction:
        async with world.unit_of_work() as uow:
            assert (await uow.bulk.look(action, DeliveryFilter(), after=None, limit=9)).found == ()
        assert await change(world, action, list(by_state.values())) == 0


async def test_a_job_keeps_what_it_skipped(world: World) -> None:
    skipped = (world.clock.new_id(), world.clock.new_id())
    async with world.unit_of_work() as uow:
        parameters = BulkRetryParameters(chosen=DeliveryFilter(label="a", from_at=uow.now, to_at=uow.now + HOUR))
        job = new_job(world.clock.new_id(), parameters, created_by="ada", now=uow.now)
        await uow.jobs.add(job)
        await uow.jobs.save(advance(job, Chunk(1, UNKNOWN, more=True, skipped=skipped), uow.now))
        await uow.commit()
    async with world.unit_of_work() as uow:
        stored = await uow.jobs.get(job.id)
    assert (stored.skipped, stored.parameters) == (skipped, parameters)
