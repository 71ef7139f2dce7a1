"""Health: the status of recent attempts, with hysteresis and a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.monitoring.health import (
    PRIOR_FAILURE_RATIO,
    UNKNOWN_HEALTH,
    Health,
    HealthPolicy,
    continuous_failure,
    evaluate_health,
    failure_probability,
)
from monitor.domain.vocab import HealthStatus
from tests import strategies as our

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
POLICY = HealthPolicy()
SEVERITY = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNAVAILABLE: 2}
HEALTHY = Health(HealthStatus.HEALTHY, "", 0.0, NOW)
DEGRADED = Health(HealthStatus.DEGRADED, "", 0.0, NOW)
UNAVAILABLE = Health(HealthStatus.UNAVAILABLE, "", 0.0, NOW)
previous_healths = st.none() | our.healths


def outcomes(text: str) -> tuple[str, ...]:
    """Read a picture of attempts, oldest first: ``.`` succeeded, ``x`` failed, ``t`` was throttled."""
    return tuple({".": "ok", "x": "503", "t": "429"}[char] for char in text)


def status_of(text: str, previous: Health | None = None) -> HealthStatus:
    return evaluate_health(outcomes(text), previous, POLICY, NOW).status


@pytest.mark.parametrize(
    ("attempts", "status"),
    [
        ("", "unknown"),
        (".", "healthy"),
        ("x", "degraded"),
        ("x.", "degraded"),
        ("x..", "healthy"),
        ("xxxx", "degraded"),
        ("xxxxx", "unavailable"),
        ("x.x.x", "unavailable"),
        ("...............xxxxx", "unavailable"),
        ("..........xxx.xxxx..", "degraded"),
        (".........xxxx.xxxx.x", "degraded"),
        ("........xxxxx.xxxx.x", "unavailable"),
        ("...................x", "healthy"),
        ("..................xx", "healthy"),
        ("t", "throttled"),
        ("tttttttttttttttttttt", "throttled"),
        ("...............t....", "throttled"),
        ("..............t.....", "healthy"),
        ("xtxtxt", "degraded"),
        ("xxxxxttttttttttttttt", "unavailable"),
        (".................xxx", "degraded"),
        ("xxxxxxxxxxxxxxx.....", "degraded"),
        ("xxxxxxxxxx..........", "healthy"),
    ],
)
def test_a_webhook_first_seen_is_judged_by_its_attempts_alone(attempts: str, status: str) -> None:
    assert status_of(attempts) == status


@pytest.mark.parametrize(
    ("previous", "attempts", "status"),
    [
        (UNAVAILABLE, "...............x....", "unavailable"),
        (UNAVAILABLE, "..............x.....", "healthy"),
        (UNAVAILABLE, ".............xx.....", "degraded"),
        (UNAVAILABLE, ".", "unavailable"),
        (DEGRADED, "..................xx", "degraded"),
        (DEGRADED, "...................x", "healthy"),
        (DEGRADED, ".........xx.........", "degraded"),
        (DEGRADED, "........xx..........", "healthy"),
        (HEALTHY, "..................xx", "healthy"),
        (UNAVAILABLE, "", "unknown"),
    ],
)
def test_a_bad_status_is_left_only_after_enough_successes(previous: Health, attempts: str, status: str) -> None:
    assert status_of(attempts, previous) == status


@given(our.recents, previous_healths, our.health_policies, our.instants)
def test_every_webhook_has_a_health_with_a_sentence_for_a_reason(
    recent: tuple[str, ...], previous: Health | None, policy: HealthPolicy, now: datetime
) -> None:
    """evaluate_health is total; the status is unknown exactly without attempts; the reason is one sentence."""
    health = evaluate_health(recent, previous, policy, now)
    assert (health.status is HealthStatus.UNKNOWN) == (not recent)
    assert health.reason.endswith(".")
    assert health.reason.count(".") == 1
    assert 0 < health.failure_probability < 1


@given(our.recents, previous_healths, our.health_policies, our.instants, our.instants)
def test_a_duplicate_changes_nothing(
    recent: tuple[str, ...], previous: Health | None, policy: HealthPolicy, now: datetime, later: datetime
) -> None:
    """evaluate_health(r, evaluate_health(r, p)) == evaluate_health(r, p), whenever it is repeated."""
    health = evaluate_health(recent, previous, policy, now)
    assert evaluate_health(recent, health, policy, later) == health


@given(st.lists(our.labels), st.lists(our.labels), our.failure_labels, previous_healths, our.health_policies)
def test_a_worse_sample_never_improves_it(
    older: list[str], newer: list[str], failure: str, previous: Health | None, policy: HealthPolicy
) -> None:
    """For a fixed previous health, a success turned into a failure never lowers severity or failure probability."""
    samples = [(*older, label, *newer) for label in ("ok", failure)]
    before, after = (evaluate_health(sample, previous, policy, NOW) for sample in samples)
    assert SEVERITY[after.status] >= SEVERITY[before.status]
    assert after.failure_probability >= before.failure_probability


@given(our.recents.filter(bool), our.health_policies)
def test_a_worse_past_never_improves_it(recent: tuple[str, ...], policy: HealthPolicy) -> None:
    """For fixed attempts, a worse previous status never gives a better one."""
    now_by_past = [
        SEVERITY[evaluate_health(recent, past, policy, NOW).status] for past in (HEALTHY, DEGRADED, UNAVAILABLE)
    ]
    assert now_by_past == sorted(now_by_past)


@given(our.recents, previous_healths, our.health_policies, our.instants)
def test_the_time_of_change_moves_only_with_the_status(
    recent: tuple[str, ...], previous: Health | None, policy: HealthPolicy, now: datetime
) -> None:
    """changed_at is now if the status differs from the previous one, and what it was otherwise."""
    before = previous or UNKNOWN_HEALTH
    health = evaluate_health(recent, previous, policy, now)
    assert health.changed_at == (before.changed_at if health.status is before.status else now)


@given(st.data(), st.lists(our.labels, max_size=10), previous_healths, our.health_policies)
def test_only_the_window_counts(
    data: st.DataObject, older: list[str], previous: Health | None, policy: HealthPolicy
) -> None:
    """What came before the last ``window`` attempts makes no difference."""
    window = tuple(data.draw(st.lists(our.labels, min_size=policy.window, max_size=policy.window)))
    assert evaluate_health((*older, *window), previous, policy, NOW) == evaluate_health(window, previous, policy, NOW)


def test_the_reason_stays_current_while_the_status_stands() -> None:
    first = evaluate_health(outcomes("xxxxx"), None, POLICY, NOW)
    second = evaluate_health(outcomes("xxxxxx"), first, POLICY, LATER)
    assert (second.status, second.changed_at) == (first.status, NOW)
    assert second.reason == "All of the last 6 attempts failed: HTTP 503."


@pytest.mark.parametrize(
    ("recent", "previous", "reason"),
    [
        ((), None, "No attempts yet."),
        (("ok",), None, "The last attempt succeeded."),
        (("ok",) * 20, None, "All of the last 20 attempts succeeded."),
        (("dns",), None, "The last attempt failed: host name not found."),
        (
            ("503",) * 10 + ("ok",) * 10,
            UNAVAILABLE,
            "All of the last 10 attempts succeeded; 10 of the last 20 attempts failed: HTTP 503.",
        ),
        (("ok",) * 14 + ("503",) * 6, None, "6 of the last 20 attempts failed: HTTP 503."),
        (
            ("ok", "timeout", "503", "503"),
            None,
            "3 of the last 4 attempts failed: HTTP 503 (2), timed out (1).",
        ),
        (
            ("tls", "503", "dns", "reset", "404", "503"),
            None,
            "All of the last 6 attempts failed: HTTP 503 (2), HTTP 404 (1), host name not found (1), others (2).",
        ),
        (
            ("503", "503", "ok"),
            UNAVAILABLE,
            "2 of the last 3 attempts failed: HTTP 503; available again after 4 more successes in a row.",
        ),
        (
            ("ok",) * 4,
            UNAVAILABLE,
            "All of the last 4 attempts succeeded; available again after 1 more success in a row.",
        ),
    ],
)
def test_the_reason_is_one_sentence(recent: tuple[str, ...], previous: Health | None, reason: str) -> None:
    assert evaluate_health(recent, previous, POLICY, NOW).reason == reason


def test_without_attempts_the_failure_probability_is_the_prior() -> None:
    assert failure_probability(()) == PRIOR_FAILURE_RATIO == UNKNOWN_HEALTH.failure_probability


def test_the_failure_probability_follows_the_formula() -> None:
    older, newest = 2 ** (-1 / 5), 1
    assert failure_probability(("503", "ok")) == round((0.05 + older) / (1 + older + newest), 4)


@pytest.mark.parametrize(
    ("attempts", "low", "high"),
    [("." * 20, 0.0, 0.02), ("x" * 20, 0.85, 1.0), ("." * 15 + "x" * 5, 0.4, 0.6), ("x" * 5 + "." * 15, 0.0, 0.1)],
)
def test_the_failure_probability_leans_on_the_latest_attempts(attempts: str, low: float, high: float) -> None:
    assert low < failure_probability(outcomes(attempts)) < high


@pytest.mark.parametrize(
    ("failing_for", "verdict"),
    [
        (timedelta(0), "none"),
        (timedelta(days=3) - timedelta(microseconds=1), "none"),
        (timedelta(days=3), "warn"),
        (timedelta(days=5) - timedelta(microseconds=1), "warn"),
        (timedelta(days=5), "disable"),
        (timedelta(days=400), "disable"),
    ],
)
def test_failing_without_end_warns_after_three_days_and_disables_after_five(
    failing_for: timedelta, verdict: str
) -> None:
    assert continuous_failure(NOW - failing_for, NOW, POLICY) == verdict


def test_a_webhook_that_does_not_fail_is_left_alone() -> None:
    assert continuous_failure(None, NOW, POLICY) == "none"
