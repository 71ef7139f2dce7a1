"""What every ``AlertRepository``, ``SilenceRepository``, ``Outbox`` and ``AlertQueries`` must do."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import UNSET

from monitor.domain.alerts.alert import (
    Action,
    AlertKind,
    AlertState,
    HistoryEntry,
    Identity,
    replay,
)
from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.alerts.silences import Silence, SilenceSpec
from monitor.domain.errors import NotFound
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.queries.alerts import AlertFilter
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.views.alerts import AlertCount, Durations
from monitor.domain.vocab import Severity
from tests.integration.contract.alerts_made import POLICY, latest, made, make, save, then
from tests.integration.contract.world import World

DAY = timedelta(days=1)
INFO, WARNING, CRITICAL = Severity
PENDING, ACKNOWLEDGED, RESOLVED = AlertState


# --------------------------------------------------------------------------------------------------------------- alerts


async def test_an_alert_comes_back_as_it_was_saved(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at, acknowledged_s=0.25, severity=CRITICAL)
    assert await latest(world, webhook_id, world.clock.new_id()) == {(webhook_id, AlertKind.FAILING): alert}
    async with world.unit_of_work() as uow:
        assert await uow.alerts.get(alert.id) == alert
        with pytest.raises(NotFound):
            await uow.alerts.get(world.clock.new_id())


async def test_a_webhook_has_one_open_alert_of_a_kind(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    first = await make(world, webhook_id=webhook_id, at=at)
    second, entries = made(Identity(world.clock.new_id(), webhook_id, AlertKind.FAILING), at)
    assert not await save(world, None, second, *entries)
    over, entry = then(first, Action.RESOLVED, at)
    assert await save(world, first, over, entry)
    assert not await save(world, first, over, entry)
    assert await save(world, over, second, *entries)
    assert await latest(world, webhook_id) == {(webhook_id, AlertKind.FAILING): second}
    other, others = made(Identity(world.clock.new_id(), webhook_id, AlertKind.LATENCY), at)
    assert await save(world, None, other, *others)
    assert len(await latest(world, webhook_id)) == 2


async def test_what_has_changed_meanwhile_is_not_saved(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at)
    acknowledged, entry = then(alert, Action.ACKNOWLEDGED, at, actor="ada")
    assert await save(world, alert, acknowledged, entry)
    mine, my_entry = then(alert, Action.ACKNOWLEDGED, at, actor="grace")
    assert not await save(world, alert, mine, my_entry)
    view = await world.alert_queries.alert(alert.id)
    assert (view.acknowledged_by, view.version) == ("ada", 2)
    assert view.history is not UNSET
    assert [line.actor for line in view.history] == ["system", "ada"]


async def test_no_id_and_no_version_is_stored_twice(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at)
    again, entries = made(Identity(alert.id, webhook_id, AlertKind.LATENCY), at)
    with pytest.raises(DataRejected):
        await save(world, None, again, *entries)
    over, entry = then(alert, Action.RESOLVED, at)
    with pytest.raises(DataRejected):
        await save(world, alert, over, entry, entry)
    assert await latest(world, webhook_id) == {(webhook_id, AlertKind.FAILING): alert}
    assert await save(world, alert, over, entry)


async def test_an_alert_is_not_reopened_beside_another_open_one(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    first = await make(world, webhook_id=webhook_id, at=at, resolved_s=0.0)
    second = await make(world, webhook_id=webhook_id, at=at)
    reopened, entry = then(first, Action.REOPENED, at)
    with pytest.raises(DataRejected):
        await save(world, first, reopened, entry)
    assert await latest(world, webhook_id) == {(webhook_id, AlertKind.FAILING): second}


async def test_evidence_comes_back_as_json(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    raised = HistoryEntry(
        at=at, action=Action.RAISED, evidence={"failures": {"labels": ("503", "reset"), "p_value": math.nan}}
    )
    alert = replay(Identity(world.clock.new_id(), webhook_id, AlertKind.FAILING), [raised], POLICY)
    assert await save(world, None, alert, raised)
    [stored] = (await latest(world, webhook_id)).values()
    assert stored.evidence == {"failures": {"labels": ["503", "reset"], "p_value": None}}


async def test_64_savers_at_once_raise_one_alert(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    raised = [made(Identity(world.clock.new_id(), webhook_id, AlertKind.FAILING), at) for _ in range(64)]
    saved = await asyncio.gather(*(save(world, None, alert, *entries) for alert, entries in raised))
    assert saved.count(True) == 1
    [view] = await world.alert_queries.alerts(AlertFilter(), after=None, limit=10)
    assert view.count == 1


async def test_the_history_grows_in_its_order(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    alert = await make(world, webhook_id=webhook_id, at=at)
    for action, note in ((Action.NOTIFIED, None), (Action.RESOLVED, "Over."), (Action.REOPENED, None)):
        after, entry = then(alert, action, at, note=note)
        assert await save(world, alert, after, entry)
        alert = after
    view = await world.alert_queries.alert(alert.id)
    assert view.history is not UNSET
    assert [(line.action.value, line.note) for line in view.history] == [
        ("raised", None),
        ("notified", None),
        ("resolved", "Over."),
        ("reopened", None),
    ]
    assert (view.history[0].title, view.history[0].severity) == ("It is warning.", WARNING)
    with pytest.raises(NotFound):
        await world.alert_queries.alert(world.clock.new_id())


async def test_the_open_alert_is_the_latest_whoever_made_its_id(world: World) -> None:
    webhook_id, at = (await world.add_webhook()).id, world.clock.now()
    by_a_slow_clock = world.clock.new_id()
    await make(world, webhook_id=webhook_id, at=at - DAY / 2, resolved_s=60)
    alert, entries = made(Identity(by_a_slow_clock, webhook_id, AlertKind.FAILING), at)
    assert await save(world, None, alert, *entries)
    assert await latest(world, webhook_id) == {(webhook_id, AlertKind.FAILING): alert}


async def test_what_was_resolved_over_two_days_ago_is_history(world: World) -> None:
    webhook_id, now = (await world.add_webhook()).id, world.clock.now()
    await make(world, webhook_id=webhook_id, at=now - 3 * DAY, resolved_s=60)
    assert await latest(world, webhook_id) == {}
    lately = await make(world, webhook_id=webhook_id, at=now - 3 * DAY, resolved_s=1.5 * DAY.total_seconds())
    still = await make(world, webhook_id=webhook_id, at=now - 30 * DAY, kind=AlertKind.VOLUME)
    assert {alert.id for alert in (await latest(world, webhook_id)).values()} == {lately.id, still.id}


async def test_alerts_are_found_by_each_filter_newest_first(world: World) -> None:
    now = world.clock.now()
    one, two = await world.add_webhook(name="Orders"), await world.add_webhook(name="Refunds")
    a = await make(world, webhook_id=one.id, at=now - 3 * DAY, severity=CRITICAL, resolved_s=60)
    b = await make(world, webhook_id=one.id, at=now - 2 * DAY, severity=INFO, kind=AlertKind.LATENCY, acknowledged_s=9)
    c = await make(world, webhook_id=two.id, at=now - DAY)
    d = await make(world, webhook_id=SYSTEM_ID, at=now, severity=CRITICAL, kind=AlertKind.MASS_FAILURE)

    async def ids(after: UUID | None = None, limit: int = 10, **where: Any) -> list[UUID]:
        return [view.id for view in await world.alert_queries.alerts(AlertFilter(**where), after=after, limit=limit)]

    assert await ids() == [d.id, c.id, b.id, a.id]
    assert await ids(limit=2) == [d.id, c.id]
    assert await ids(after=c.id) == [b.id, a.id]
    assert await ids(states=(PENDING,)) == [d.id, c.id]
    assert await ids(states=(ACKNOWLEDGED, RESOLVED)) == [b.id, a.id]
    assert await ids(severity=CRITICAL) == [d.id, a.id]
    assert await ids(kind=AlertKind.LATENCY) == [b.id]
    assert await ids(webhook_id=one.id) == [b.id, a.id]
    assert await ids(from_at=b.raised_at, to_at=d.raised_at) == [c.id, b.id]
    views = {view.id: view for view in await world.alert_queries.alerts(AlertFilter(), after=None, limit=10)}
    assert (views[c.id].webhook_id, views[c.id].webhook_name) == (two.id, "Refunds")
    assert (views[d.id].webhook_id, views[d.id].webhook_name) == (None, None)
    assert (views[b.id].acknowledged_by, views[b.id].note, views[b.id].acknowledged_at) == (
        "ada",
        "Mine.",
        b.acknowledged_at,
    )
    assert views[a.id].evidence == {"failures": {"n": 20, "observed": 0.5}}
    assert views[a.id].history is UNSET


# ---------------------------------------------------------------------------------------------------------- statistics


async def test_statistics_are_what_a_hand_computes(world: World) -> None:
    now = world.clock.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    webhook_id = (await world.add_webhook()).id
    # Of the last seven days: acknowledged after 10, 20, 30, 100 s; resolved after 60, 120, 600 s.
    yesterday = today - DAY / 2
    for acknowledged_s, resolved_s in ((10, 60), (20, 120), (30, 600)):
        lasted: Any = {"acknowledged_s": acknowledged_s, "resolved_s": resolved_s}
        await make(world, webhook_id=webhook_id, at=yesterday, told=True, **lasted)
    # Silenced from its beginning to its end: nowhere.
    await make(world, webhook_id=webhook_id, at=yesterday, acknowledged_s=1, resolved_s=9_999)
    await make(world, webhook_id=webhook_id, at=today - 3 * DAY, severity=CRITICAL, acknowledged_s=100)
    # Older: counts while it is open, and in no duration; resolved long ago: nowhere.
    await make(world, webhook_id=webhook_id, at=today - 9 * DAY, kind=AlertKind.VOLUME, severity=INFO)
    await make(
        world, webhook_id=webhook_id, at=today - 30 * DAY, kind=AlertKind.LATENCY, acknowledged_s=1, resolved_s=2
    )
    # Raised before the days, resolved in them.
    await make(
        world,
        webhook_id=webhook_id,
        at=today - 8 * DAY,
        kind=AlertKind.LATENCY,
        resolved_s=6.5 * DAY.total_seconds(),
        told=True,
    )
    stats = await world.alert_queries.stats(7)
    assert stats.days == 7
    assert set(stats.counts) == {
        AlertCount(RESOLVED, WARNING, AlertKind.FAILING, 3),
        AlertCount(ACKNOWLEDGED, CRITICAL, AlertKind.FAILING, 1),
        AlertCount(PENDING, INFO, AlertKind.VOLUME, 1),
    }
    assert stats.oldest_pending_age_s == pytest.approx((stats.as_of - today + 9 * DAY).total_seconds(), abs=0.01)
    assert stats.time_to_acknowledge == Durations(n=4, median_s=25.0, p90_s=79.0, mean_s=40.0)
    assert stats.time_to_resolve == Durations(n=3, median_s=120.0, p90_s=504.0, mean_s=260.0)
    assert [day.day for day in stats.series] == [(today - n * DAY).date() for n in range(6, -1, -1)]
    by_day = [(sum(day.raised.values()), day.resolved) for day in stats.series]
    assert by_day == [(0, 0), (0, 0), (0, 0), (1, 0), (0, 1), (3, 3), (0, 0)]
    assert stats.series[3].raised == {INFO: 0, WARNING: 0, CRITICAL: 1}


async def test_without_alerts_statistics_are_empty(world: World) -> None:
    stats = await world.alert_queries.stats(1)
    assert (stats.counts, stats.oldest_pending_age_s) == ([], None)
    assert stats.time_to_resolve == stats.time_to_acknowledge == Durations(0, None, None, None)
    assert [(day.raised, day.resolved) for day in stats.series] == [({INFO: 0, WARNING: 0, CRITICAL: 0}, 0)]


# ------------------------------------------------------------------------------------------------------------- silences


async def silence(world: World, for_s: float = 3600, **scope: Any) -> Silence:
    async with world.unit_of_work() as uow:
        found = Silence(
            id=world.clock.new_id(),
            created_by="ada",
            created_at=uow.now,
            reason="Maintenance.",
            ends_at=uow.now + timedelta(seconds=for_s),
            **scope,
        )
        await uow.silences.add(found)
        await uow.commit()
    return found


async def active(world: World) -> list[Silence]:
    async with world.unit_of_work() as uow:
        return sorted(await uow.silences.active(), key=lambda one: one.id)


async def test_a_silence_is_active_until_its_end(world: World) -> None:
    first = await silence(world, label="team=blue", kind=AlertKind.FAILING)
    second = await silence(world, webhook_id=(await world.add_webhook()).id)
    await silence(world, for_s=0)
    assert await active(world) == [first, second]
    async with world.unit_of_work() as uow:
        assert await uow.silences.end(first.id)
        await uow.commit()
    assert await active(world) == [second]
    async with world.unit_of_work() as uow:
        assert not await uow.silences.end(first.id)
        with pytest.raises(NotFound):
            await uow.silences.end(world.clock.new_id())
        await uow.commit()
    view = await world.alert_queries.silence(first.id)
    assert not view.active
    assert view.ends_at <= await world.queries.now()


async def test_silences_are_listed_newest_first(world: World) -> None:
    first, over, last = await silence(world), await silence(world, for_s=0), await silence(world)

    async def ids(is_active: bool | None, after: UUID | None = None) -> list[UUID]:
        return [view.id for view in await world.alert_queries.silences(active=is_active, after=after, limit=10)]

    assert await ids(None) == [last.id, over.id, first.id]
    assert await ids(True) == [last.id, first.id]
    assert await ids(False) == [over.id]
    assert await ids(None, last.id) == [over.id, first.id]
    with pytest.raises(NotFound):
        await world.alert_queries.silence(world.clock.new_id())


@pytest.mark.parametrize(
    ("scope", "matched", "webhooks"),
    [
        ({"label": "team=blue"}, {"blue"}, 1),
        ({"label": "team"}, {"blue", "red"}, 2),
        ({"label": "team="}, set(), 0),
        ({"label": "link"}, {"red"}, 1),
        ({"label": "link=a=b"}, {"red"}, 1),
        ({"label": "other"}, set(), 0),
        ({"kind": AlertKind.MASS_FAILURE}, {"all"}, 3),
        ({"kind": AlertKind.FAILING}, {"blue", "red"}, 3),
        ({"kind": AlertKind.FAILING, "label": "team=red"}, {"red"}, 1),
        ({"kind": AlertKind.VOLUME, "label": "team=red"}, set(), 1),
        ({"webhook_id": "blue"}, {"blue"}, 1),
        ({"webhook_id": "blue", "label": "team=red"}, set(), 0),
    ],
)
async def test_a_silence_matches_by_webhook_label_and_kind(
    world: World, scope: dict[str, Any], matched: set[str], webhooks: int
) -> None:
    now = world.clock.now()
    blue = await world.add_webhook(labels={"team": "blue"})
    red = await world.add_webhook(labels={"team": "red", "link": "a=b"})
    await world.add_webhook()
    alerts = {
        "blue": await make(world, webhook_id=blue.id, at=now),
        "red": await make(world, webhook_id=red.id, at=now),
        "all": await make(world, webhook_id=SYSTEM_ID, at=now, kind=AlertKind.MASS_FAILURE),
    }
    await make(world, webhook_id=blue.id, at=now - DAY, kind=AlertKind.FAILING, resolved_s=1)
    scope = scope | ({"webhook_id": blue.id} if "webhook_id" in scope else {})
    spec = SilenceSpec(reason="Maintenance.", ends_at=now + DAY, **scope)
    preview = await world.alert_queries.preview(spec)
    expected = {alerts[name].id for name in matched}
    assert ({view.id for view in preview.alerts}, preview.webhooks) == (expected, webhooks)
    made_ = await silence(world, **scope)
    assert (await world.alert_queries.silence(made_.id)).matches == len(matched)
    views = await world.alert_queries.alerts(AlertFilter(states=(PENDING,)), after=None, limit=10)
    assert {view.id for view in views if view.silenced} == expected
    async with world.unit_of_work() as uow:
        await uow.silences.end(made_.id)
        await uow.commit()
    assert (await world.alert_queries.silence(made_.id)).matches == 0
    views = await world.alert_queries.alerts(AlertFilter(states=(PENDING,)), after=None, limit=10)
    assert not any(view.silenced for view in views)


# --------------------------------------------------------------------------------------------------------------- outbox


async def announce(world: World, *names: str) -> list[AlertNotification]:
    told = [AlertNotification(f"monitor.{name}", b'{"a": 1}', {"team": "blue"}, world.clock.new_id()) for name in names]
    async with world.unit_of_work() as uow:
        await uow.notifications.add(told)
        await uow.commit()
    return told


async def take(world: World, limit: int = 10, *, commit: bool = True) -> list[AlertNotification]:
    async with world.unit_of_work() as uow:
        taken = await uow.notifications.take(limit)
        if commit:
            await uow.commit()
    return taken


async def test_what_is_announced_is_taken_in_its_order_and_once(world: World) -> None:
    told = [*await announce(world, "a", "b"), *await announce(world, "c")]
    assert await take(world, 2, commit=False) == told[:2]
    assert await take(world, 2) == told[:2]
    assert await take(world) == told[2:]
    assert await take(world) == []


async def test_takers_at_once_take_each_announcement_once(world: World) -> None:
    told = await announce(world, *(f"n{number}" for number in range(50)))
    taken = await asyncio.gather(*(take(world, 7) for _ in range(20)))
    while more := await take(world):
        taken.append(more)
    assert sorted(one.type for some in taken for one in some) == sorted(one.type for one in told)
