"""What every ``DetectionStore`` must do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import asdict, replace

from monitor.domain.alerts.alert import AlertKind, Cause
from monitor.domain.alerts.conditions import REACH_PAIRS, Condition, MassFailure, WebhookSnapshot
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation, EvaluationInput, evaluate_webhook, normal_band
from monitor.domain.anomaly import Evidence, Signal, start_baselines
from monitor.domain.anomaly.tally import NO_ATTEMPTS, tally_of
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.fan_out import Reach
from monitor.domain.delivery.quarantine import MAX_CRASHES
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.health import UNKNOWN_HEALTH, Health
from monitor.domain.ports.queries.alerts import AlertFilter
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.views.alerts import HeldCondition
from monitor.domain.vocab import HealthStatus, Severity
from tests.integration.contract.alerts_made import make
from tests.integration.contract.world import World

HOUR = timedelta(hours=1)
TRIED = tally_of([(True, 20.0), (False, 3.0)])


async def change_lane(world: World, webhook_id: UUID, **changes: Any) -> None:
    """Change a lane; a timedelta in *changes* is added to now."""
    async with world.unit_of_work() as uow:
        [lane] = (await uow.queue.lock_lanes([webhook_id])).values()
        values = {name: uow.now + value if isinstance(value, timedelta) else value for name, value in changes.items()}
        await uow.queue.save_lanes([replace(lane, **values)])
        await uow.commit()


async def due(world: World, limit: int = 10) -> list[EvaluationInput]:
    async with world.unit_of_work() as uow:
        return await uow.detection.due(limit)


async def evaluate_at(world: World) -> list[Evaluation]:
    """Look at all that is due and store it."""
    async with world.unit_of_work() as uow:
        looks = [evaluate_webhook(watched, uow.now, DetectionPolicy()) for watched in await uow.detection.due(10)]
        await uow.detection.save(looks)
        await uow.commit()
    return looks


# ---------------------------------------------------------------------------------------------------------------- looks


async def test_a_new_webhook_is_due_and_nothing_is_known_of_it(world: World) -> None:
    made = await world.add_webhook(labels={"team": "blue"})
    assert await due(world) == [
        EvaluationInput(
            webhook_id=made.id, labels={"team": "blue"}, webhook=WebhookSnapshot(name=made.name, health=UNKNOWN_HEALTH)
        )
    ]


async def test_those_that_waited_longest_are_due_first_and_others_not_yet(world: World) -> None:
    last, first, later, never = [(await world.add_webhook()).id for _ in range(4)]
    for webhook_id, at in ((last, -HOUR), (first, -2 * HOUR), (later, HOUR), (never, None)):
        await change_lane(world, webhook_id, evaluate_at=at)
    assert [watched.webhook_id for watched in await due(world)] == [first, last]
    assert [watched.webhook_id for watched in await due(world, limit=1)] == [first]


async def test_a_look_finds_a_webhook_as_it_is(world: World) -> None:
    made = await world.add_webhook()
    at = world.clock.now()
    health = Health(HealthStatus.DEGRADED, "2 of the last 9 attempts failed: HTTP 503.", 0.25, at)
    await change_lane(world, made.id, unevaluated=TRIED, failing_since=at, health=health)
    async with world.unit_of_work() as uow:
        await uow.webhooks.disable(made.id, "It is gone.")
        await uow.commit()
        disabled_at = uow.now
    [watched] = await due(world)
    assert (watched.unevaluated, watched.deleted, watched.held) == (TRIED, False, True)
    assert watched.webhook == WebhookSnapshot(
        name=made.name,
        health=health,
        failing_since=at,
        enabled=False,
        disabled_reason="It is gone.",
        disabled_at=disabled_at,
    )


async def test_what_was_saved_is_known_at_the_next_look(world: World) -> None:
    made = await world.add_webhook()
    await change_lane(world, made.id, unevaluated=TRIED)
    [saved] = await evaluate_at(world)
    assert await due(world) == []
    view = await world.queries.webhook(made.id)
    assert (view.signals, view.normal) == (saved.signals, normal_band(saved.baselines, saved.verdicts))
    await change_lane(world, made.id, evaluate_at=timedelta(0))
    [watched] = await due(world)
    assert watched.unevaluated == NO_ATTEMPTS
    assert watched.baselines == saved.baselines
    assert watched.evaluated_at is not None
    assert watched.evaluated_at <= await world.queries.now()


async def test_a_look_that_was_not_committed_is_taken_again(world: World) -> None:
    made = await world.add_webhook()
    await change_lane(world, made.id, unevaluated=TRIED)
    async with world.unit_of_work() as uow:
        await uow.detection.save(
            [evaluate_webhook(watched, uow.now, DetectionPolicy()) for watched in await uow.detection.due(10)]
        )
    [watched] = await due(world)
    assert (watched.unevaluated, watched.baselines, watched.evaluated_at) == (TRIED, None, None)


@pytest.mark.parametrize("why", ["paused", "open breaker", "half-open breaker"])
async def test_what_monitor_holds_back_is_marked(world: World, why: str) -> None:
    made = await world.add_webhook()
    if why == "paused":
        async with world.unit_of_work() as uow:
            await uow.webhooks.set_paused(made.id, True)
            await uow.commit()
    else:
        state = BreakerState.OPEN if why == "open breaker" else BreakerState.HALF_OPEN
        await change_lane(world, made.id, breaker=Breaker(state, world.clock.now(), 1))
    assert [watched.held for watched in await due(world)] == [True]


async def test_a_deleted_webhook_is_due_once_more_and_then_never(world: World) -> None:
    made = await world.add_webhook()
    await evaluate_at(world)
    async with world.unit_of_work() as uow:
        await uow.webhooks.remove(made.id)
        await uow.commit()
    assert [watched.deleted for watched in await due(world)] == [True]
    await evaluate_at(world)
    await change_lane(world, made.id, unevaluated=TRIED)
    assert await due(world) == []


async def test_deliveries_set_aside_are_counted_for_a_day(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    await world.add_deliveries(made.id, 2)
    await world.add_deliveries(other.id, 1)
    for _ in range(MAX_CRASHES + 1):
        await world.take(made.id, lease_s=0)
    for seconds, counted in ((0, 2), (23 * 3600, 2), (2 * 3600, 0)):
        await world.pass_time(seconds)
        assert {w.webhook_id: w.webhook.quarantined for w in await due(world)} == {made.id: counted, other.id: 0}


async def test_deliveries_that_expired_are_counted_for_a_day(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    for _ in range(2):
        await world.add_orphan(made.id)
    await world.add_deliveries(other.id, 1)
    for webhook in (made, other):
        await world.take(webhook.id)
    for seconds, counted in ((0, 2), (23 * 3600, 2), (2 * 3600, 0)):
        await world.pass_time(seconds)
        assert {w.webhook_id: w.webhook.expired for w in await due(world)} == {made.id: counted, other.id: 0}


# ------------------------------------------------------------------------------------------------------------ anomalies


def anomaly(world: World, webhook_id: UUID, **changes: Any) -> AnomalyRecord:
    known: dict[str, Any] = {
        "id": world.clock.new_id(),
        "webhook_id": webhook_id,
        "signal": Signal.LATENCY,
        "severity": Severity.WARNING,
        "sentence": "Answers take twice as long.",
        "evidence": Evidence(200.5, 100.25, 40, 300.0, 1e-9),
        "opened_at": world.clock.now(),
    }
    return AnomalyRecord(**known | changes)


async def save(world: World, *anomalies: AnomalyRecord) -> None:
    async with world.unit_of_work() as uow:
        await uow.detection.save_anomalies(anomalies)
        await uow.commit()


async def open_ones(world: World, *webhook_ids: UUID) -> list[AnomalyRecord]:
    async with world.unit_of_work() as uow:
        return sorted(await uow.detection.open_anomalies(webhook_ids), key=lambda one: one.id)


async def test_an_open_anomaly_comes_back_as_it_was_saved_until_it_is_closed(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    slow, failing = anomaly(world, made.id), anomaly(world, made.id, signal=Signal.FAILURES)
    await save(world, slow, failing, anomaly(world, other.id))
    assert await open_ones(world, made.id) == [slow, failing]
    worse = replace(slow, severity=Severity.CRITICAL, sentence="Ten times.", evidence=Evidence(1, 2, 3, 4, 5))
    await save(world, worse, replace(failing, closed_at=world.clock.now()))
    assert await open_ones(world, made.id) == [worse]


async def test_a_signal_may_close_and_open_again_at_once(world: World) -> None:
    made = await world.add_webhook()
    first, second = anomaly(world, made.id), anomaly(world, made.id)
    await save(world, first)
    await save(world, second, replace(first, closed_at=world.clock.now()))
    assert await open_ones(world, made.id) == [second]


async def test_an_open_anomaly_names_the_open_alert_of_which_it_is_a_cause(world: World) -> None:
    made, other = await world.add_webhook(), await world.add_webhook()
    failing, slow = anomaly(world, made.id, signal=Signal.FAILURES), anomaly(world, made.id)
    over = replace(anomaly(world, made.id, signal=Signal.FAILURES), closed_at=world.clock.now())
    elsewhere = anomaly(world, other.id, signal=Signal.FAILURES)
    await save(world, failing, slow, over, elsewhere)
    now = world.clock.now()
    alert = await make(world, webhook_id=made.id, at=now, acknowledged_s=1)
    await make(world, webhook_id=other.id, at=now, resolved_s=1)
    assert {
        one.id: (await world.alert_queries.anomaly(one.id)).alert_id for one in (failing, slow, over, elsewhere)
    } == {
        failing.id: alert.id,
        slow.id: None,
        over.id: None,
        elsewhere.id: None,
    }
    listed = await world.alert_queries.anomalies(is_open=True, webhook_id=made.id, after=None, limit=10)
    assert [(view.id, view.alert_id) for view in listed] == [(slow.id, None), (failing.id, alert.id)]


async def test_anomalies_are_listed_newest_first_open_or_closed(world: World) -> None:
    made, other = await world.add_webhook(name="Refunds"), await world.add_webhook()
    first, second, third = anomaly(world, made.id), anomaly(world, other.id), anomaly(world, other.id)
    closed = replace(second, closed_at=world.clock.now())
    await save(world, first, closed, third)

    async def ids(is_open: bool, webhook_id: UUID | None = None, after: UUID | None = None) -> list[UUID]:
        found = await world.alert_queries.anomalies(is_open=is_open, webhook_id=webhook_id, after=after, limit=10)
        return [view.id for view in found]

    assert await ids(True) == [third.id, first.id]
    assert await ids(True, after=third.id) == [first.id]
    assert await ids(True, made.id) == [first.id]
    assert await ids(False) == [second.id]
    [view] = await world.alert_queries.anomalies(is_open=True, webhook_id=made.id, after=None, limit=1)
    assert (view.webhook_name, view.signal, view.evidence, view.closed_at) == (
        "Refunds",
        Signal.LATENCY,
        first.evidence,
        None,
    )


# ------------------------------------------------------------------------------------------------------------- together


async def mass_failure(world: World, since: timedelta = -HOUR / 4) -> MassFailure:
    async with world.unit_of_work() as uow:
        return await uow.detection.mass_failure(uow.now + since)


def unavailable(at: datetime) -> Health:
    return Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: HTTP 503.", 0.9, at)


async def test_those_count_that_were_tried_lately_and_fail_since_lately(world: World) -> None:
    now = world.clock.now()
    lately, long_ago = unavailable(now - HOUR / 6), unavailable(now - HOUR)
    for health, tried in ((lately, -HOUR / 60), (long_ago, -HOUR / 60), (UNKNOWN_HEALTH, -HOUR / 60), (lately, -HOUR)):
        made = await world.add_webhook()
        await change_lane(world, made.id, health=health, last_attempt_at=tried)
    await world.add_webhook()
    assert await mass_failure(world) == MassFailure(failing=1, tried=3)
    assert await mass_failure(world, -2 * HOUR) == MassFailure(failing=2, tried=3)


async def test_those_that_get_nothing_do_not_count(world: World) -> None:
    ids = [(await world.add_webhook()).id for _ in range(4)]
    for webhook_id in ids:
        await change_lane(world, webhook_id, health=unavailable(world.clock.now()), last_attempt_at=timedelta(0))
    async with world.unit_of_work() as uow:
        await uow.webhooks.set_paused(ids[0], True)
        await uow.webhooks.disable(ids[1], "It is gone.")
        await uow.webhooks.remove(ids[2])
        await uow.commit()
    assert await mass_failure(world) == MassFailure(failing=1, tried=1)


async def test_the_alert_about_all_tells_since_when(world: World) -> None:
    async def since() -> datetime | None:
        async with world.unit_of_work() as uow:
            return await uow.detection.mass_failure_since()

    assert await since() is None
    now = world.clock.now()
    await make(world, webhook_id=(await world.add_webhook()).id, at=now)
    assert await since() is None
    await make(world, webhook_id=SYSTEM_ID, kind=AlertKind.MASS_FAILURE, at=now - HOUR, resolved_s=60)
    assert await since() is None
    await make(world, webhook_id=SYSTEM_ID, kind=AlertKind.MASS_FAILURE, at=now - HOUR / 2)
    assert await since() == now - HOUR / 2


async def test_labels_of_those_that_fail_are_read_up_to_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing_labels() -> Reach:
        async with world.unit_of_work() as uow:
            return await uow.detection.failing_labels(uow.now - HOUR / 4)

    assert await failing_labels() == Reach()
    lately, long_ago = unavailable(world.clock.now() - HOUR / 6), unavailable(world.clock.now() - HOUR)
    for labels, health in (
        ({"team": "payments", "region": "eu"}, lately),
        ({"team": "search"}, lately),
        ({"team": "payments"}, lately),
        ({}, lately),
        ({"team": "other"}, long_ago),
    ):
        made = await world.add_webhook(labels=labels)
        await change_lane(world, made.id, health=health, last_attempt_at=timedelta(0))
    assert await failing_labels() == Reach({"region": ("eu",), "team": ("payments", "search")})
    for n in range(REACH_PAIRS // 30 + 1):
        made = await world.add_webhook(labels={f"{n}-{i}": "x" for i in range(30)})
        await change_lane(world, made.id, health=lately, last_attempt_at=timedelta(0))
    assert await failing_labels() == Reach(every=True)


async def test_alerts_show_what_holds_beside_what_they_began_with(world: World) -> None:
    webhook_id = (await world.add_webhook()).id
    alert = await make(world, webhook_id=webhook_id, at=world.clock.now())
    before = await world.alert_queries.alert(alert.id)
    assert (before.conditions, before.conditions_at) == ([], None)
    held = Condition(Cause.HEALTH, Severity.CRITICAL, "Orders is unavailable.", {"reason": "503"})
    mild = Condition(Cause.FAILURES, Severity.WARNING, "Orders: 3 of 20 attempts failed.", {"n": 20})
    async with world.unit_of_work() as uow:
        evaluation = Evaluation(
            webhook_id=webhook_id,
            baselines=start_baselines(0.0),
            verdicts=(),
            conditions={AlertKind.FAILING: (mild, held), AlertKind.LATENCY: ()},
            evaluate_at=None,
        )
        await uow.detection.save([evaluation])
        await uow.commit()
    [view] = await world.alert_queries.alerts(AlertFilter(), after=None, limit=10)
    assert view.conditions == [HeldCondition(**asdict(held)), HeldCondition(**asdict(mild))]
    assert view.conditions_at is not None
