"""When most webhooks fail together: one alert instead of many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.alerts.conditions import REACH_PAIRS
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.services.alerts import AlertNote
from monitor.domain.services.detection import FADES_FOR, NOTE_MASS_FAILURE
from tests import samples
from tests.fakes.clock import START
from tests.unit.domain.services.detection_harness import CALM, MINUTE, OUTAGE, POLICY, DetectionHarness

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


async def many(harness: DetectionHarness, count: int = 10) -> list[UUID]:
    ids = [await harness.add(name=f"w{number}") for number in range(count)]
    harness.make_healthy(*ids)
    return ids


async def test_webhooks_that_fail_together_get_one_alert_that_replaces_theirs(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.clock.advance(MINUTE)
    harness.make_unavailable(*ids[:6])
    await harness.evaluate_all()
    assert len(harness.alerts) == 6
    assert harness.take_notifications() == ["raised"] * 6
    await harness.check_mass_failure()
    mass_failure = harness.alert(kind=AlertKind.MASS_FAILURE)
    assert mass_failure.title == "6 of 10 webhooks began to fail together; check what they have in common."
    assert harness.take_notifications() == ["raised"]
    await harness.evaluate_all(after_s=15)
    assert {(a.state, a.note) for a in harness.alerts if a.kind is AlertKind.FAILING} == {(RESOLVED, NOTE_MASS_FAILURE)}
    assert {harness.actions(a)[-1] for a in harness.alerts if a.kind is AlertKind.FAILING} == {"superseded"}
    assert harness.take_notifications() == []
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=15)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
    assert harness.take_notifications() == ["resolved"]
    await harness.evaluate_all(after_s=15)
    # Now they are well, and were told as failing one by one.
    assert (len(harness.alerts), harness.take_notifications()) == (7, ["resolved"] * 6)
    stats = await harness.alert_queries.stats(1)
    assert (stats.time_to_resolve.n, sum(day.resolved for day in stats.series)) == (1, 1)
    harness.check_replay()


async def test_an_end_that_a_silence_held_is_not_told_when_the_webhook_fails_again(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.clock.advance(MINUTE)
    harness.make_unavailable(*ids[:7])
    await harness.evaluate_all()
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    await harness.silence(MINUTE, webhook_id=ids[0])
    harness.make_healthy(ids[0])
    await harness.evaluate_all(after_s=15)
    assert harness.actions(harness.alert(ids[0]))[-1] == "recovered"
    harness.make_unavailable(ids[0])
    await harness.evaluate_all(after_s=15)
    assert harness.actions(harness.alert(ids[0]))[-1] == "superseded"
    harness.take_notifications()
    harness.clock.advance(MINUTE)
    await harness.detector.tell()
    assert harness.take_notifications() == []
    harness.check_replay()


async def test_a_webhook_that_still_fails_after_the_others_gets_its_own_alert(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids[:6])
    await harness.check_mass_failure()
    await harness.evaluate_all()
    assert [alert.kind for alert in harness.alerts] == [AlertKind.MASS_FAILURE]
    harness.make_healthy(*ids[1:])
    await harness.check_mass_failure(after_s=15)
    await harness.evaluate_all()
    assert [(a.webhook_id, a.state) for a in harness.alerts] == [(SYSTEM_ID, RESOLVED), (ids[0], PENDING)]


async def test_a_webhook_that_failed_long_before_the_others_keeps_its_own_alert(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(ids[0])
    await harness.evaluate_all()
    harness.clock.advance(POLICY.alert.mass_failure_s + 1)
    harness.make_healthy(*ids[1:])
    harness.make_unavailable(*ids[1:8])
    await harness.check_mass_failure()
    await harness.evaluate_all()
    assert {(a.webhook_id, a.state) for a in harness.alerts} == {(SYSTEM_ID, PENDING), (ids[0], PENDING)}


@pytest.mark.parametrize(("count", "failing"), [(10, 5), (6, 3), (5, 4), (4, 4)])
async def test_few_or_half_are_no_mass_failure(harness: DetectionHarness, count: int, failing: int) -> None:
    ids = await many(harness, count)
    harness.make_unavailable(*ids[:failing])
    await harness.check_mass_failure()
    assert bool(harness.alerts) is (failing >= POLICY.alert.mass_failure_min and failing * 2 > count)


@pytest.mark.parametrize("changes", [{"enabled": False}, {"paused_at": START}, {"deleted": True}])
async def test_webhooks_without_deliveries_do_not_count(harness: DetectionHarness, changes: dict[str, Any]) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids[:6])
    for id_ in ids[:3]:
        if "deleted" in changes:
            harness.delete(id_)
        else:
            harness.configure(id_, **changes)
    await harness.check_mass_failure()
    assert harness.alerts == []


async def test_a_silence_of_the_kind_suppresses_its_notifications(harness: DetectionHarness) -> None:
    ids = await many(harness)
    await harness.silence(MINUTE, kind=AlertKind.MASS_FAILURE)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    assert (harness.alert(kind=AlertKind.MASS_FAILURE).state, harness.take_notifications()) == (PENDING, [])
    await harness.check_mass_failure(after_s=MINUTE)
    assert harness.take_notifications() == ["raised"]


async def test_a_mass_failure_resolved_by_a_user_is_raised_when_it_comes_back(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    first = harness.alert(kind=AlertKind.MASS_FAILURE)
    await harness.commands.resolve(first.id, AlertNote("We know."), samples.ACTOR)
    await harness.check_mass_failure(after_s=MINUTE)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).state is RESOLVED
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=MINUTE)
    harness.clock.advance(POLICY.alert.reopen_s)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    assert [alert.state for alert in harness.alerts] == [RESOLVED, PENDING]


async def test_flapping_of_a_mass_failure_ends_by_itself(harness: DetectionHarness) -> None:
    ids = await many(harness)
    for _ in range(3):
        harness.make_unavailable(*ids)
        await harness.check_mass_failure(after_s=MINUTE)
        harness.make_healthy(*ids)
        await harness.check_mass_failure(after_s=MINUTE)
    assert harness.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert harness.take_notifications().count("flapping") == 1
    await harness.check_mass_failure(after_s=POLICY.alert.flap_s)
    assert not harness.alert(kind=AlertKind.MASS_FAILURE).flapping
    assert harness.take_notifications() == ["resolved"]


async def test_what_still_fails_after_a_mass_failure_is_raised_again_and_told(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.make_unavailable(*ids[:6])
    await harness.evaluate_all()
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["raised"] * 7
    first = harness.alert(ids[0]).id
    harness.make_healthy(*ids[1:])
    # Days later: destinations know it as open, so it is the same alert.
    await harness.evaluate_all(after_s=3 * 86_400)
    assert harness.take_notifications() == ["resolved"] * 5
    harness.set_lane(ids[0], last_attempt_at=harness.clock.now())
    harness.make_healthy(*ids[1:])
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["resolved", "raised"]
    assert (harness.alert(ids[0]).id, harness.alert(ids[0]).state) == (first, PENDING)
    assert harness.actions(harness.alert(ids[0])) == ["raised", "notified", "superseded", "reopened", "notified"]
    harness.check_replay()


async def failing_apart_from_health(harness: DetectionHarness) -> tuple[list[UUID], UUID]:
    """Return all webhooks after a mass failure, and the one of which an anomaly is open still."""
    ids = await many(harness)
    harness.learn_normal(ids[0])
    harness.add_attempts(ids[0], OUTAGE)
    harness.make_unavailable(*ids[:6])
    await harness.evaluate_all()
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["raised"] * 7
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=15)
    return ids, ids[0]


async def test_an_anomaly_that_fades_after_a_mass_failure_is_not_raised_again(harness: DetectionHarness) -> None:
    _, fading = await failing_apart_from_health(harness)
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["resolved"] * 6
    for _ in range(20):
        harness.add_attempts(fading, CALM)
        await harness.evaluate_all(after_s=MINUTE)
    assert harness.take_notifications() == ["resolved"]
    assert harness.actions(harness.alert(fading)) == ["raised", "notified", "superseded", "recovered", "notified"]
    harness.check_replay()


async def test_an_anomaly_that_stays_after_a_mass_failure_is_raised_again(harness: DetectionHarness) -> None:
    _, failing = await failing_apart_from_health(harness)
    for _ in range(FADES_FOR // timedelta(minutes=1)):
        assert harness.alert(failing).is_replaced
        harness.add_attempts(failing, [*CALM, *OUTAGE[:5]])
        await harness.evaluate_all(after_s=MINUTE)
    assert (harness.alert(failing).state, harness.take_notifications()[-1]) == (PENDING, "raised")


async def test_an_anomaly_that_was_never_told_fades_after_a_mass_failure(harness: DetectionHarness) -> None:
    ids = await many(harness)
    harness.learn_normal(ids[0])
    harness.add_attempts(ids[0], OUTAGE)
    harness.make_unavailable(*ids[:6])
    await harness.check_mass_failure()
    await harness.evaluate_all()
    assert [anomaly.webhook_id for anomaly in harness.database.tables.anomalies.values()] == [ids[0]]
    harness.clock.advance(15)
    harness.make_healthy(*ids)
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["raised", "resolved"]
    harness.make_unavailable(ids[0])
    await harness.evaluate_all(after_s=15)
    assert harness.take_notifications() == ["raised"]


async def test_a_webhook_that_fails_again_after_a_mass_failure_is_raised_again(harness: DetectionHarness) -> None:
    _, failing = await failing_apart_from_health(harness)
    harness.make_unavailable(failing)
    await harness.evaluate_all(after_s=15)
    assert (harness.alert(failing).state, harness.take_notifications()) == (
        PENDING,
        ["resolved", "raised"] + ["resolved"] * 5,
    )


async def test_a_webhook_that_is_not_counted_keeps_its_own_alert(harness: DetectionHarness) -> None:
    """Its labels are not among those by which destinations hear of the mass failure."""
    ids = await many(harness)
    harness.learn_normal(ids[9])
    harness.add_attempts(ids[9], OUTAGE)
    await harness.evaluate_all()
    assert harness.take_notifications() == ["raised"]
    harness.make_unavailable(*ids[:6])
    await harness.check_mass_failure()
    await harness.evaluate_all(after_s=15)
    assert (harness.alert(ids[9]).state, harness.take_notifications()) == (PENDING, ["raised"])


async def published_to(harness: DetectionHarness) -> list[tuple[str, str]]:
    """Publish what is queued; return the deliveries made, as name of the destination and last segment of the type."""
    before = set(harness.database.tables.deliveries)
    await harness.notifier.run()
    tables = harness.database.tables
    return sorted(
        (
            tables.webhooks[delivery.webhook_id].webhook.name,
            tables.events[delivery.event_id].event.type.rpartition(".")[2],
        )
        for id_, delivery in tables.deliveries.items()
        if id_ not in before
    )


async def test_destinations_of_the_failing_webhooks_labels_hear_of_a_mass_failure_and_of_its_end(
    harness: DetectionHarness,
) -> None:
    types = ("monitor.alert.*",)
    for name, labels in {
        "all": {},
        "payments": {"team": "payments"},
        "search": {"team": "search"},
        "late": {"team": "late"},
        "warnings": {"severity": "warning"},
    }.items():
        await harness.add(name=name, event_types=types, labels=labels)
    ids = [
        await harness.add(name=f"w{n}", labels={"team": team})
        for n, team in enumerate([*["payments"] * 3, *["search"] * 3, "late", "late", "other"])
    ]
    harness.make_healthy(*ids)
    harness.make_unavailable(*ids[:6])
    await harness.check_mass_failure()
    assert await published_to(harness) == [("all", "raised"), ("payments", "raised"), ("search", "raised")]
    # It spreads: only who does not know yet is told.
    harness.make_unavailable(ids[6])
    await harness.check_mass_failure(after_s=5)
    assert await published_to(harness) == [("late", "raised")]
    harness.make_unavailable(ids[7])
    await harness.check_mass_failure(after_s=5)
    assert await published_to(harness) == []
    harness.make_healthy(*ids)
    await harness.check_mass_failure(after_s=5)
    assert await published_to(harness) == [(name, "resolved") for name in ("all", "late", "payments", "search")]
    harness.check_replay()


async def test_a_mass_failure_with_more_labels_than_are_read_is_told_to_every_destination(
    harness: DetectionHarness,
) -> None:
    await harness.add(name="severe", event_types=("monitor.alert.*",), labels={"team": "x", "severity": "critical"})
    await harness.add(name="lesser", event_types=("monitor.alert.*",), labels={"severity": "warning"})
    ids = [
        await harness.add(name=f"w{n}", labels={f"name{n}-{i}": "value" for i in range(30)})
        for n in range(REACH_PAIRS // 30 + 1)
    ]
    harness.make_healthy(*ids)
    harness.make_unavailable(*ids)
    await harness.check_mass_failure()
    assert await published_to(harness) == [("severe", "raised")]
