"""The status of a webhook in one word, its reason, and the order of the worst first."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain.monitoring.health import Health
from monitor.domain.monitoring.status import (
    DISABLED,
    PAUSED,
    RANKS,
    OpenAlert,
    StatusReason,
    status_reason,
    urgency,
    urgency_rank,
    webhook_status,
)
from monitor.domain.vocab import HealthStatus, Severity, WebhookStatus

healths = st.sampled_from(HealthStatus)
severities = st.none() | st.sampled_from(Severity)
statuses = st.sampled_from(WebhookStatus)
probabilities = st.floats(0, 1, exclude_max=True)


def reason_of(
    health: HealthStatus, alert: OpenAlert | None = None, enabled: bool = True, paused: bool = False
) -> StatusReason:
    return status_reason(Health(health, "Because of its attempts.", 0.1), alert, enabled=enabled, paused=paused)


@given(healths, severities, st.booleans(), st.booleans())
def test_the_status_is_total_and_what_a_user_set_comes_first(
    health: HealthStatus, severity: Severity | None, enabled: bool, paused: bool
) -> None:
    """Law: disabled before paused before health; without an alert that counts, the status is the health."""
    status = webhook_status(health, severity, enabled=enabled, paused=paused)
    assert (status is WebhookStatus.DISABLED) == (not enabled)
    assert (status is WebhookStatus.PAUSED) == (enabled and paused)
    if enabled and not paused and severity in (None, Severity.INFO):
        assert status == health.value


@pytest.mark.parametrize("health", [HealthStatus.HEALTHY, HealthStatus.UNKNOWN, HealthStatus.THROTTLED])
@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.CRITICAL])
def test_an_open_alert_makes_a_webhook_degraded_and_is_the_reason(health: HealthStatus, severity: Severity) -> None:
    found = reason_of(health, OpenAlert(severity, "Latency is 4.4 times its normal."))
    expected = "Latency is 4.4 times its normal. Because of its attempts."
    assert found == StatusReason(WebhookStatus.DEGRADED, expected)


@pytest.mark.parametrize("health", [HealthStatus.DEGRADED, HealthStatus.UNAVAILABLE])
def test_bad_health_stays_the_reason_beside_an_alert(health: HealthStatus) -> None:
    found = reason_of(health, OpenAlert(Severity.CRITICAL, "Failing."))
    assert found == StatusReason(WebhookStatus(health), "Because of its attempts.")


def test_an_alert_for_information_changes_nothing() -> None:
    found = reason_of(HealthStatus.HEALTHY, OpenAlert(Severity.INFO, "By the way."))
    assert found == StatusReason(WebhookStatus.HEALTHY, "Because of its attempts.")


def test_what_is_held_says_who_holds_it() -> None:
    alert = OpenAlert(Severity.CRITICAL, "Failing.")
    assert reason_of(HealthStatus.HEALTHY, alert, paused=True).reason == PAUSED
    assert reason_of(HealthStatus.HEALTHY, alert, enabled=False).reason == DISABLED
    told = status_reason(
        Health(HealthStatus.UNAVAILABLE, "x", 0.9), None, enabled=False, paused=False, disabled_reason="410 Gone."
    )
    assert told == StatusReason(WebhookStatus.DISABLED, "410 Gone.")


@given(statuses, severities, probabilities, statuses, severities, probabilities)
@example(WebhookStatus.HEALTHY, Severity.CRITICAL, 0.5, WebhookStatus.HEALTHY, None, 0.5)
def test_the_order_is_by_rank_and_then_by_the_chance_of_failure(
    one: WebhookStatus, severity: Severity | None, p: float, other: WebhookStatus, its: Severity | None, q: float
) -> None:
    """Law: urgency orders by (rank, -failure probability), and ranks are below RANKS."""
    ranks = urgency_rank(one, severity), urgency_rank(other, its)
    assert 0 <= min(ranks) <= max(ranks) < RANKS
    if ranks[0] < ranks[1] or (ranks[0] == ranks[1] and p > q):
        assert urgency(one, severity, p) <= urgency(other, its, q)


@given(statuses, statuses)
def test_a_critical_alert_comes_before_all_of_its_status_and_before_what_is_only_degraded(
    one: WebhookStatus, other: WebhookStatus
) -> None:
    """Law: with a critical alert a webhook precedes those of its status without; a held one precedes the degraded."""
    assert urgency_rank(one, Severity.CRITICAL) < urgency_rank(one, None)
    for held in (WebhookStatus.PAUSED, WebhookStatus.DISABLED):
        assert urgency_rank(held, Severity.CRITICAL) < urgency_rank(WebhookStatus.DEGRADED, None)
