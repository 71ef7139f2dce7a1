"""Detection: the alerts and anomalies that evaluations raise and resolve."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, AlertState
from monitor.domain.anomaly.tally import Tally
from monitor.domain.delivery.alert_event import read_alert
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.services.detection import (
    NOTE_DELETED,
    NOTE_ENABLED,
    NOTE_NO_EXPIRY,
    NOTE_NO_QUARANTINE,
    NOTE_NOT_MONITORED,
)
from monitor.domain.vocab import EXPIRED, DeliveryState, Severity
from tests.fakes.postgres.database import FinishedDelivery
from tests.unit.domain.services.detection_harness import CALM, MINUTE, OUTAGE, POLICY, DetectionHarness

PENDING, ACKNOWLEDGED, RESOLVED = AlertState


@pytest.fixture
def harness() -> DetectionHarness:
    return DetectionHarness()


@pytest.fixture
async def webhook_id(harness: DetectionHarness) -> UUID:
    return await harness.add()


# ---------------------------------------------------------------------------------------------------------- one webhook


async def test_a_healthy_webhook_raises_no_alert(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_healthy(webhook_id)
    harness.add_attempts(webhook_id, CALM)
    await harness.evaluate_all()
    assert (harness.alerts, harness.take_notifications(), harness.take_domain_events()) == ([], [], [])
    assert harness.database.tables.lanes[webhook_id].unevaluated == Tally()


async def test_a_webhook_unavailable_for_a_minute_raises_one_critical_alert_and_resolves_by_itself(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.make_unavailable(webhook_id, for_s=59)
    await harness.evaluate_all()
    assert harness.alerts == []
    await harness.evaluate_all(after_s=1)
    alert = harness.alert(webhook_id)
    assert (alert.state, alert.severity, alert.count) == (PENDING, Severity.CRITICAL, 1)
    assert alert.title == "Orders is unavailable: all of the last 5 attempts failed: HTTP 503."
    assert (harness.take_notifications(), harness.take_domain_events()) == (["raised"], ["AlertRaised"])
    await harness.evaluate_all(after_s=15)
    assert harness.alert(webhook_id) == alert
    harness.make_healthy(webhook_id)
    await harness.evaluate_all(after_s=15)
    assert (harness.alert(webhook_id).state, harness.alert(webhook_id).resolved_by) == (RESOLVED, "system")
    assert harness.alert(webhook_id).note == "Back to normal: All of the last 20 attempts succeeded."
    assert (harness.take_notifications(), harness.take_domain_events()) == (["resolved"], ["AlertResolved"])
    harness.check_replay()


async def test_a_cause_within_15_minutes_reopens_the_alert_and_a_later_one_raises_another(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    for pause_s, count in ((0, 1), (14 * MINUTE, 1), (15 * MINUTE, 2)):
        harness.clock.advance(pause_s)
        harness.make_unavailable(webhook_id)
        await harness.evaluate_all()
        harness.make_healthy(webhook_id)
        await harness.evaluate_all()
        assert len(harness.alerts) == count
    assert [alert.count for alert in harness.alerts] == [2, 1]


async def test_a_webhook_disabled_by_410_is_an_alert_until_it_is_enabled_again(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    async with harness.unit_of_work() as uow:
        await uow.webhooks.disable(webhook_id, "The receiver answered 410 Gone.")
        await uow.commit()
    await harness.detector.tick()
    disabled = harness.alert(webhook_id, AlertKind.DISABLED)
    assert disabled.severity is Severity.CRITICAL
    assert disabled.title.startswith("Orders was disabled: the receiver answered 410 Gone. Its events are kept until ")
    assert harness.alert(webhook_id).note == "The receiver answered 410 Gone."
    harness.configure(webhook_id, enabled=True, disabled_reason=None)
    await harness.evaluate_all(after_s=1)
    assert harness.alert(webhook_id, AlertKind.DISABLED).note == NOTE_ENABLED


async def test_the_end_of_an_alert_says_what_is_well_now(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    harness.make_healthy(webhook_id)
    await harness.evaluate_all(after_s=15)
    _, resolved = harness.database.tables.notifications
    told = read_alert(resolved.type, resolved.payload)
    assert told is not None
    assert told.sentence == "Resolved after 15 seconds. Back to normal: All of the last 20 attempts succeeded."


async def test_disabling_a_webhook_resolves_its_alert(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    harness.configure(webhook_id, enabled=False)
    await harness.evaluate_all()
    assert [(alert.state, alert.note) for alert in harness.alerts] == [(RESOLVED, NOTE_NOT_MONITORED)]


async def test_failing_for_three_days_warns_before_it_disables(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.set_lane(webhook_id, failing_since=harness.clock.now() - timedelta(days=3))
    await harness.evaluate_all()
    alert = harness.alert(webhook_id, AlertKind.DISABLING)
    assert alert.severity is Severity.CRITICAL
    assert "will be disabled on 07 January, 12:00 UTC" in alert.title
    harness.set_lane(webhook_id, failing_since=None)
    await harness.evaluate_all()
    assert harness.alert(webhook_id, AlertKind.DISABLING).state is RESOLVED


@pytest.mark.parametrize(
    ("kind", "state", "error", "note"),
    [
        (AlertKind.QUARANTINED, DeliveryState.QUARANTINED, None, NOTE_NO_QUARANTINE),
        (AlertKind.EXPIRED, DeliveryState.FAILED, EXPIRED, NOTE_NO_EXPIRY),
    ],
)
async def test_a_delivery_that_ended_unsent_is_an_alert_for_a_day(
    harness: DetectionHarness, webhook_id: UUID, kind: AlertKind, state: DeliveryState, error: str | None, note: str
) -> None:
    id_ = harness.clock.new_id()
    harness.database.tables.finished[id_] = FinishedDelivery(
        id_, id_, webhook_id, state, 0, 3, None, error, harness.clock.now()
    )
    await harness.evaluate_all()
    assert harness.alert(webhook_id, kind).state is PENDING
    await harness.evaluate_all(after_s=24 * 60 * MINUTE)
    assert harness.alert(webhook_id, kind).note == note


async def test_a_deleted_webhook_leaves_nothing_open_and_is_not_evaluated_again(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.learn_normal(webhook_id)
    harness.add_attempts(webhook_id, OUTAGE)
    await harness.evaluate_all()
    assert {a.closed_at for a in harness.database.tables.anomalies.values()} == {None}
    async with harness.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await harness.detector.tick()
    assert [(alert.state, alert.note) for alert in harness.alerts] == [(RESOLVED, NOTE_DELETED)]
    assert None not in {a.closed_at for a in harness.database.tables.anomalies.values()}
    assert harness.database.tables.lanes[webhook_id].evaluate_at is None
    assert harness.take_notifications() == ["raised", "resolved"]


async def test_resolving_for_a_deleted_webhook_is_published_when_its_silence_ends(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    assert harness.take_notifications() == ["raised"]
    await harness.silence(100, webhook_id=webhook_id)
    async with harness.unit_of_work() as uow:
        await uow.webhooks.remove(webhook_id)
        await uow.commit()
    await harness.detector.tick()
    assert harness.take_notifications() == []
    for _ in range(3):
        harness.clock.advance(POLICY.idle_s)
        await harness.detector.tell()
    assert harness.take_notifications() == ["resolved"]
    assert harness.database.tables.lanes[webhook_id].evaluate_at is None


async def test_a_silenced_alert_is_raised_but_published_only_when_the_silence_ends(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    await harness.silence(10 * MINUTE, kind=AlertKind.FAILING)
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    assert (harness.alert(webhook_id).state, harness.take_notifications()) == (PENDING, [])
    await harness.evaluate_all(after_s=10 * MINUTE)
    assert harness.take_notifications() == ["raised"]


async def test_an_alert_that_began_and_ended_under_a_silence_is_never_published(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    await harness.silence(10 * MINUTE, webhook_id=webhook_id)
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    harness.make_healthy(webhook_id)
    await harness.evaluate_all()
    await harness.evaluate_all(after_s=20 * MINUTE)
    assert (harness.alert(webhook_id).state, harness.take_notifications()) == (RESOLVED, [])


# ------------------------------------------------------------------------------------------------------------ anomalies


async def test_a_departure_from_normal_opens_an_anomaly_and_an_alert_and_closes_both(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.learn_normal(webhook_id)
    harness.add_attempts(webhook_id, OUTAGE)
    await harness.evaluate_all()
    [anomaly] = harness.database.tables.anomalies.values()
    assert (anomaly.signal, anomaly.closed_at, anomaly.evidence.n) == ("failures", None, 50)
    assert anomaly.opened_at == harness.clock.now()
    assert harness.take_domain_events() == ["AnomalyOpened", "AlertRaised"]
    assert harness.alert(webhook_id).causes == ("failures",)
    for _ in range(60):
        harness.add_attempts(webhook_id, CALM)
        await harness.evaluate_all(after_s=MINUTE)
    [anomaly] = harness.database.tables.anomalies.values()
    assert anomaly.closed_at is not None
    assert harness.alert(webhook_id).state is RESOLVED
    assert harness.take_domain_events() == ["AnomalyClosed", "AlertResolved"]
    harness.check_replay()


async def test_an_anomaly_that_gets_worse_is_updated_and_keeps_its_identity(
    harness: DetectionHarness, webhook_id: UUID
) -> None:
    harness.learn_normal(webhook_id)
    harness.add_attempts(webhook_id, OUTAGE)
    await harness.evaluate_all()
    [opened] = harness.database.tables.anomalies.values()
    # As if it had been less severe when it was stored.
    harness.database.tables.anomalies[opened.id] = replace(opened, severity=Severity.INFO, sentence="Milder.")
    harness.add_attempts(webhook_id, OUTAGE)
    await harness.evaluate_all(after_s=MINUTE)
    [worse] = harness.database.tables.anomalies.values()
    assert (worse.id, worse.severity, worse.closed_at) == (opened.id, opened.severity, None)
    assert worse.sentence != "Milder."
    assert worse.opened_at == opened.opened_at


async def test_an_anomaly_without_baseline_is_closed(harness: DetectionHarness, webhook_id: UUID) -> None:
    harness.learn_normal(webhook_id)
    harness.add_attempts(webhook_id, OUTAGE)
    await harness.evaluate_all()
    del harness.database.tables.evaluations[webhook_id]
    await harness.evaluate_all(after_s=MINUTE)
    assert [a.closed_at for a in harness.database.tables.anomalies.values()] == [harness.clock.now()]


async def test_a_failed_evaluation_does_not_stop_the_others(harness: DetectionHarness, webhook_id: UUID) -> None:
    other = await harness.add(name="Refunds")
    harness.make_unavailable(webhook_id, other)
    harness.add_tally(webhook_id, Tally(attempts=1, failures=2))
    with pytest.raises(ExceptionGroup) as failed:
        await harness.detector.evaluate_due()
    assert len(failed.value.exceptions) == 1
    assert {harness.alert(id_).state for id_ in (webhook_id, other)} == {PENDING}
    await harness.detector.tick()
    assert harness.database.tables.lanes[webhook_id].unevaluated == Tally()


# ----------------------------------------------------------------------------------------------------------------- held


@pytest.mark.parametrize("held", ["paused", "open breaker"])
async def test_attempts_that_monitor_holds_back_are_not_missing(
    harness: DetectionHarness, webhook_id: UUID, held: str
) -> None:
    harness.learn_normal(webhook_id)
    if held == "paused":
        harness.configure(webhook_id, paused_at=harness.clock.now())
    else:
        harness.set_lane(webhook_id, breaker=Breaker(BreakerState.OPEN, harness.clock.now(), 1))
    for _ in range(10):
        await harness.evaluate_all(after_s=MINUTE)
    assert harness.alerts == []
