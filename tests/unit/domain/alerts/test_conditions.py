"""Alert conditions of one webhook, and of all webhooks together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.alerts import (
    AlertKind,
    AlertPolicy,
    Cause,
    Condition,
    MassFailure,
    WebhookSnapshot,
    check_mass_failure,
    conditions_of,
)
from monitor.domain.alerts.conditions import WEBHOOK_KINDS
from monitor.domain.anomaly import Evidence, Signal, SignalState, Verdict
from monitor.domain.monitoring.health import Health, HealthPolicy
from monitor.domain.vocab import HealthStatus, Severity
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import NOW, POLICY

HEALTH = HealthPolicy()
HEALTHY = Health(HealthStatus.HEALTHY, "The last attempt succeeded.", 0.02)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def unavailable(since: datetime | None) -> Health:
    return Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: HTTP 503.", 0.9, since)


def verdict(signal: Signal, state: SignalState, severity: Severity = Severity.WARNING) -> Verdict:
    return Verdict(signal, state, 60.0, "It departed.", severity, Evidence(0.5, 0.01, 20, 300.0, 1e-9), 60.0)


def found(*verdicts: Verdict, **fields: Any) -> dict[AlertKind, tuple[Condition, ...]]:
    """Return the conditions of a webhook, without the kinds that have none."""
    known: dict[str, Any] = {"name": "Orders", "health": HEALTHY}
    webhook = WebhookSnapshot(**known | fields)
    conditions = conditions_of(webhook, verdicts, NOW, policy=POLICY, health=HEALTH)
    assert tuple(conditions) == WEBHOOK_KINDS
    return {kind: held for kind, held in conditions.items() if held}


def test_nothing_is_wrong_with_a_healthy_webhook() -> None:
    assert found() == {}


def test_a_webhook_must_have_been_unavailable_for_a_minute() -> None:
    assert found(health=unavailable(ago(seconds=59.999))) == {}
    assert found(health=unavailable(None)) == {}
    (condition,) = found(health=unavailable(ago(seconds=60)))[AlertKind.FAILING]
    assert (condition.cause, condition.severity) == (Cause.HEALTH, Severity.CRITICAL)
    assert condition.title == "Orders is unavailable: all of the last 5 attempts failed: HTTP 503."
    assert condition.evidence == {
        "status": "unavailable",
        "reason": "All of the last 5 attempts failed: HTTP 503.",
        "since": "2026-03-01T11:59:00Z",
        "failure_probability": 0.9,
    }


def test_a_degraded_webhook_alone_has_no_condition() -> None:
    assert (
        found(health=Health(HealthStatus.DEGRADED, "2 of the last 20 attempts failed: HTTP 503.", 0.1, ago(days=1)))
        == {}
    )


@pytest.mark.parametrize("state", [SignalState.OPENED, SignalState.OPEN])
@pytest.mark.parametrize(
    ("signal", "kind", "cause"),
    [
        (Signal.FAILURES, AlertKind.FAILING, Cause.FAILURES),
        (Signal.LATENCY, AlertKind.LATENCY, Cause.LATENCY),
        (Signal.LATENCY_TAIL, AlertKind.LATENCY, Cause.LATENCY_TAIL),
        (Signal.VOLUME, AlertKind.VOLUME, Cause.VOLUME),
        (Signal.NO_DATA, AlertKind.VOLUME, Cause.NO_DATA),
    ],
)
def test_an_open_anomaly_is_a_cause(state: SignalState, signal: Signal, kind: AlertKind, cause: Cause) -> None:
    (condition,) = found(verdict(signal, state, Severity.CRITICAL))[kind]
    assert (condition.cause, condition.severity) == (cause, Severity.CRITICAL)
    assert condition.title == "Orders: it departed."
    assert condition.evidence == {"observed": 0.5, "expected": 0.01, "n": 20, "window_s": 300.0, "p_value": 1e-9}


@pytest.mark.parametrize("state", [SignalState.LEARNING, SignalState.NORMAL, SignalState.CLOSED])
def test_an_anomaly_that_is_not_open_is_no_cause(state: SignalState) -> None:
    assert found(verdict(Signal.FAILURES, state)) == {}


def test_one_alert_may_have_several_causes() -> None:
    causes = found(verdict(Signal.FAILURES, SignalState.OPEN), health=unavailable(ago(hours=1)))[AlertKind.FAILING]
    assert [condition.cause for condition in causes] == [Cause.HEALTH, Cause.FAILURES]


def test_the_owner_is_warned_two_days_before_the_end() -> None:
    assert found(failing_since=ago(days=2, hours=23)) == {}
    (condition,) = found(failing_since=ago(days=3))[AlertKind.DISABLING]
    assert (condition.cause, condition.severity) == (Cause.FAILING_FOR_DAYS, Severity.CRITICAL)
    assert condition.title == (
        "Orders has failed since 26 February, 12:00 UTC without one success;"
        " it will be disabled on 03 March, 12:00 UTC."
    )
    assert condition.evidence == {"failing_since": "2026-02-26T12:00:00Z", "disabled_at": "2026-03-03T12:00:00Z"}


def test_the_warning_stays_until_the_webhook_is_disabled() -> None:
    assert AlertKind.DISABLING in found(failing_since=ago(days=6))


def test_being_disabled_replaces_the_other_conditions() -> None:
    troubles: dict[str, Any] = {"health": unavailable(ago(days=5)), "failing_since": ago(days=5)}
    anomalies = [verdict(signal, SignalState.OPEN) for signal in Signal]
    assert set(found(*anomalies, **troubles)) == {
        AlertKind.FAILING,
        AlertKind.LATENCY,
        AlertKind.VOLUME,
        AlertKind.DISABLING,
    }
    disabled = found(*anomalies, **troubles, enabled=False, disabled_reason="The receiver answered 410 Gone.")
    assert set(disabled) == {AlertKind.DISABLED}
    (condition,) = disabled[AlertKind.DISABLED]
    assert (condition.cause, condition.severity) == (Cause.DISABLED, Severity.CRITICAL)
    assert condition.title == "Orders was disabled: the receiver answered 410 Gone."
    assert condition.evidence == {"reason": "The receiver answered 410 Gone."}


def test_being_disabled_says_until_when_its_events_are_kept() -> None:
    found_ = found(enabled=False, disabled_reason="Gone.", disabled_at=NOW)
    (condition,) = found_[AlertKind.DISABLED]
    assert condition.title == (
        "Orders was disabled: gone. Its events are kept until 31 March, 12:00 UTC; enable it and ask for a backfill"
        " before."
    )
    assert condition.evidence == {
        "reason": "Gone.",
        "disabled_at": "2026-03-01T12:00:00Z",
        "events_kept_until": "2026-03-31T12:00:00Z",
    }


def test_a_webhook_disabled_by_a_user_has_no_condition() -> None:
    assert found(health=unavailable(ago(days=5)), enabled=False) == {}


@pytest.mark.parametrize(
    ("count", "title"),
    [
        (1, "Orders: 1 delivery was quarantined because workers stopped while sending it."),
        (3, "Orders: 3 deliveries were quarantined because workers stopped while sending them."),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_quarantined_deliveries_are_a_condition_whether_it_is_enabled_or_not(
    count: int, title: str, enabled: bool
) -> None:
    (condition,) = found(quarantined=count, enabled=enabled)[AlertKind.QUARANTINED]
    assert (condition.cause, condition.severity, condition.title) == (Cause.QUARANTINED, Severity.WARNING, title)
    assert condition.evidence == {"quarantined": count}


@pytest.mark.parametrize(
    ("count", "title"),
    [
        (1, "Orders: 1 delivery was not sent because its event reached retention."),
        (999, "Orders: 999 deliveries were not sent because their events reached retention."),
        (1_000, "Orders: 1000 or more deliveries were not sent because their events reached retention."),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_expired_deliveries_are_a_condition_whether_it_is_enabled_or_not(count: int, title: str, enabled: bool) -> None:
    (condition,) = found(expired=count, enabled=enabled)[AlertKind.EXPIRED]
    assert (condition.cause, condition.severity, condition.title) == (Cause.EXPIRED, Severity.CRITICAL, title)
    assert condition.evidence == {"expired": count}


@given(our.webhook_snapshots, st.lists(our.verdicts, max_size=5), our.instants, our.alert_policies, our.health_policies)
def test_conditions_are_total_and_their_evidence_is_plain_json(
    webhook: WebhookSnapshot, verdicts: list[Verdict], now: datetime, policy: AlertPolicy, health: HealthPolicy
) -> None:
    """Every kind of a webhook is a key; a title names the webhook; evidence read back from JSON is the same."""
    conditions = conditions_of(webhook, verdicts, now, policy=policy, health=health)
    assert tuple(conditions) == WEBHOOK_KINDS
    for condition in (condition for held in conditions.values() for condition in held):
        assert condition.title.startswith(webhook.name)
        assert msgspec.json.decode(msgspec.json.encode(condition)) == msgspec.to_builtins(condition)
        assert msgspec.json.decode(msgspec.json.encode(condition), type=Condition) == condition


@pytest.mark.parametrize(
    ("failing", "tried", "is_open", "holds"),
    [
        (0, 0, False, False),
        (0, 0, True, False),
        (4, 5, False, False),
        (5, 5, False, True),
        (5, 10, False, False),
        (6, 10, False, True),
        (5, 10, True, True),
        (1, 3, True, True),
        (1, 4, True, False),
        (3, 10, True, True),
        (0, 10, True, False),
    ],
)
def test_more_than_half_failing_together_is_a_mass_failure_until_a_quarter_is_left(
    failing: int, tried: int, is_open: bool, holds: bool
) -> None:
    condition = check_mass_failure(MassFailure(failing, tried), is_open=is_open, policy=POLICY)
    assert (condition is not None) is holds
    if condition is not None:
        assert (condition.cause, condition.severity) == (Cause.MASS_FAILURE, Severity.CRITICAL)
        assert condition.title == (
            f"{failing} of {tried} webhooks began to fail together; check what they have in common."
        )
        assert condition.evidence == {"failing": failing, "tried": tried}


@given(our.mass_failures, our.alert_policies)
def test_a_mass_failure_that_raises_the_alert_keeps_it_open(seen: MassFailure, policy: AlertPolicy) -> None:
    """Hysteresis: keeping never takes more than raising."""
    raised = check_mass_failure(seen, is_open=False, policy=policy)
    assert raised is None or check_mass_failure(seen, is_open=True, policy=policy) == raised
