"""What silences that begin later, repeat or hold deliveries must do in every database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.adapters.recurrences import expand
from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.recurrence import Recurrence
from monitor.domain.alerts.silences import Silence, SilenceSpec, SilenceState, advance, hold_of, plan_silence
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.monitoring.metrics import Rollup
from monitor.domain.ports.repositories.attempts import MinuteRollup
from monitor.domain.services.alerts import WebhookRef, is_silenced
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
BLUE = {"team": "blue=1"}


async def add(world: World, now: datetime | None = None, **changes: Any) -> Silence:
    members: dict[str, Any] = {"reason": "Maintenance.", "label": "team", "duration_s": 3600} | changes
    async with world.unit_of_work() as uow:
        made = plan_silence(SilenceSpec(**members), now or uow.now, expand, id_=world.clock.new_id(), created_by="ada")
        await uow.silences.add(made)
        await uow.commit()
    return made


def weekly(now: datetime) -> dict[str, Any]:
    return {"starts_at": now, "recurrence": Recurrence("FREQ=WEEKLY", "Europe/Berlin")}


async def test_a_series_is_stored_with_its_occurrences(world: World) -> None:
    made = await add(world, hold_deliveries=True, **weekly(await world.queries.now() + HOUR))
    async with world.unit_of_work() as uow:
        assert await uow.silences.lock(made.id) == made
        assert await uow.silences.due(10) == []
        assert await uow.silences.holding() == 1
        await uow.silences.save(replace(made, advance_at=uow.now))
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert [one.id for one in await uow.silences.due(10)] == [made.id]
        advanced = advance(made, next(made.windows()).ends_at, expand)
        await uow.silences.save(advanced)
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert await uow.silences.lock(made.id) == advanced
        assert await uow.silences.due(10) == []


@pytest.mark.parametrize(
    ("begins", "state"),
    [(HOUR, SilenceState.SCHEDULED), (-HOUR / 2, SilenceState.ACTIVE), (-2 * HOUR, SilenceState.SCHEDULED)],
)
@pytest.mark.parametrize("holds", [False, True])
async def test_the_state_of_a_series_follows_the_clock(
    world: World, begins: timedelta, state: SilenceState, holds: bool
) -> None:
    """The rules of the domain and those of the database agree."""
    blue = await world.add_webhook(labels=BLUE)
    other = await world.add_webhook()
    now = await world.queries.now()
    made = await add(world, now + begins, hold_deliveries=holds, **weekly(now + begins))
    view = await world.alert_queries.silence(made.id)
    assert (view.state, view.recurrence, view.hold_deliveries) == (state, made.recurrence, holds)
    for one in SilenceState:
        found = await world.alert_queries.silences(active=None, state=one, after=None, limit=10)
        assert [item.id for item in found] == ([made.id] if one is state else [])
    async with world.unit_of_work() as uow:
        active = await uow.silences.active()
        assert active == [made]
        silenced = is_silenced(active, blue.id, WebhookRef(labels=BLUE), AlertKind.FAILING, uow.now)
        assert silenced is (state is SilenceState.ACTIVE)
        lanes = await uow.queue.lock_lanes([blue.id, other.id])
        expected = hold_of(active, blue.id, BLUE, uow.now)
        lane = lanes[blue.id]
        assert (lane.held_until, lane.hold_ended_at) == expected
        assert lane.uncounted is (state is SilenceState.ACTIVE)
        assert (lanes[other.id].held_until, lanes[other.id].hold_ended_at, lanes[other.id].uncounted) == (
            None, None, False
        )  # fmt: skip
    held = (await world.queries.webhook(blue.id)).held
    assert held == (Held(HeldReason.SILENCE, expected.until) if expected.until else None)


@pytest.mark.parametrize(
    ("scope", "uncounted"),
    [
        ({}, True),
        ({"kind": AlertKind.FAILING}, True),
        ({"kind": AlertKind.LATENCY}, False),
        ({"label": "team=no"}, False),
    ],
)
async def test_a_silence_of_another_kind_counts_attempts(world: World, scope: dict[str, Any], uncounted: bool) -> None:
    blue = await world.add_webhook(labels=BLUE)
    await add(world, **scope)
    async with world.unit_of_work() as uow:
        lane = (await uow.queue.lock_lanes([blue.id]))[blue.id]
        assert (lane.uncounted, lane.held_until, lane.hold_ended_at) == (uncounted, None, None)


async def test_an_ended_hold_is_seen_once_and_silences_that_ended_are_found_by_time(world: World) -> None:
    blue = await world.add_webhook(labels=BLUE)
    now = await world.queries.now()
    made = await add(world, now - 2 * HOUR, starts_at=now - 2 * HOUR, hold_deliveries=True)
    async with world.unit_of_work() as uow:
        lane = (await uow.queue.lock_lanes([blue.id]))[blue.id]
        assert (lane.held_until, lane.hold_ended_at, lane.hold_seen_at) == (None, made.ends_at, None)
        await uow.queue.save_lanes([replace(lane, hold_seen_at=made.ends_at)])
        assert await uow.silences.active() == []
        assert await uow.silences.active(made.ends_at - HOUR) == [made]
        assert await uow.silences.active(made.ends_at) == []
        assert await uow.silences.holding() == 0
        await uow.commit()
    async with world.unit_of_work() as uow:
        assert (await uow.queue.lock_lanes([blue.id]))[blue.id].hold_seen_at == made.ends_at


async def test_a_claim_leaves_out_what_a_silence_holds(world: World) -> None:
    blue = await world.add_webhook(labels=BLUE)
    other = await world.add_webhook()
    await world.add_deliveries(blue.id)
    await world.add_deliveries(other.id)
    await add(world, hold_deliveries=True)
    async with world.unit_of_work() as uow:
        assert set(await uow.queue.lock_ready_lanes(None, 10)) == {other.id}


async def test_silenced_attempts_add_up_by_the_hour(world: World) -> None:
    blue = await world.add_webhook()
    at = (await world.queries.now()).replace(minute=1, second=0, microsecond=0)
    minutes = [MinuteRollup(blue.id, at + timedelta(minutes=n), Rollup(attempts=3, failures=n)) for n in (1, 2)]
    for _ in range(2):
        async with world.unit_of_work() as uow:
            await uow.attempts.add_silenced(minutes)
            await uow.commit()

    assert (await world.queries.uptime(blue.id)).hours[-1].silenced == 12
    assert (await world.queries.uptime(blue.id)).days[-1].silenced == 12
