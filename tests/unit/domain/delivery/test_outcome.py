"""Outcomes of mails: what a reply code of SMTP means for health, breaker, schedule and sentences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.domain.delivery.circuit_breaker import concerns_receiver
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import Dead, Done, Retry, RetryPolicy, decide
from monitor.domain.monitoring.health import HealthPolicy, evaluate_health, in_words
from monitor.domain.vocab import REFUSALS, ErrorKind, HealthStatus

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def replied(code: int) -> Outcome:
    return Outcome(5.0, status_code=code, error=None if code < 300 else ErrorKind.STATUS, smtp=True)


@pytest.mark.parametrize(
    ("code", "label", "decision", "throttled", "concerns"),
    [
        (250, "ok", Done, False, True),
        (421, "smtp_421", Retry, True, False),
        (450, "smtp_450", Retry, True, False),
        (451, "smtp_451", Retry, False, True),
        (535, "smtp_535", Retry, False, True),
        (550, "smtp_550", Dead, False, False),
        (554, "smtp_554", Dead, False, False),
    ],
)
def test_a_reply_means_what_rfc_5321_says(
    code: int, label: str, decision: type, *, throttled: bool, concerns: bool
) -> None:
    outcome = replied(code)
    assert (outcome.label, outcome.throttled) == (label, throttled)
    assert concerns_receiver(label) is concerns
    assert type(decide(outcome, attempts=1, policy=RetryPolicy(), now=NOW, jitter=0.5)) is decision


def test_the_same_codes_of_http_mean_what_they_meant() -> None:
    for code in (421, 450, 550):
        outcome = Outcome(5.0, status_code=code, error=ErrorKind.STATUS)
        assert (outcome.label, outcome.throttled, outcome.refused_for_good) == (str(code), False, False)


def test_sentences_name_replies_of_mail_servers_as_such() -> None:
    assert in_words("smtp_550") == "SMTP 550"
    assert "MONITOR_SMTP__USERNAME" in REFUSALS["smtp_535"]


@pytest.mark.parametrize(
    ("labels", "status", "reason"),
    [
        (("ok", "smtp_450"), HealthStatus.THROTTLED, "exceeded the rate that the receiver allows: SMTP 450."),
        (("smtp_550",) * 5, HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: SMTP 550."),
    ],
)
def test_health_counts_a_refused_mail_and_not_one_that_came_too_fast(
    labels: tuple[str, ...], status: HealthStatus, reason: str
) -> None:
    health = evaluate_health(labels, None, HealthPolicy(), NOW)
    assert health.status is status
    assert health.reason.endswith(reason)
