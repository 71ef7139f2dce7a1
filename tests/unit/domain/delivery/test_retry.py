"""What happens to a delivery after an attempt."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import (
    MAX_WAIT_S,
    RETRY_AFTER_CAP_S,
    STANDARD_SCHEDULE_S,
    UNCOUNTED_MAX,
    Dead,
    Done,
    Retry,
    RetryPolicy,
    decide,
    parse_retry_after,
)
from monitor.domain.vocab import ErrorKind
from tests import strategies as our

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy()
OK = Outcome(latency_ms=5, status_code=204)
TIMED_OUT = Outcome(latency_ms=15_000, error=ErrorKind.TIMEOUT)
attempt_counts = st.integers(1, 20)


def answered(status_code: int, retry_after: str | None = None) -> Outcome:
    return Outcome(latency_ms=5, status_code=status_code, error=ErrorKind.STATUS, retry_after=retry_after)


throttles = st.sampled_from(["0", "1", "2.5", "600"]).map(lambda asked: answered(429, asked))


def wait_s(outcome: Outcome, attempts: int = 1, policy: RetryPolicy = POLICY, jitter: float = 0.5) -> float:
    decision = decide(outcome, attempts=attempts, policy=policy, now=NOW, jitter=jitter)
    assert isinstance(decision, Retry)
    return (decision.at - NOW).total_seconds()


@given(our.outcomes, attempt_counts, our.retry_policies, our.instants, our.jitters)
def test_a_retry_lies_in_the_future_and_within_a_week(
    outcome: Outcome, attempts: int, policy: RetryPolicy, now: datetime, jitter: float
) -> None:
    """decide is total; now < retry_at <= now + MAX_WAIT_S."""
    decision = decide(outcome, attempts=attempts, policy=policy, now=now, jitter=jitter)
    if isinstance(decision, Retry):
        assert now < decision.at <= now + timedelta(seconds=MAX_WAIT_S)


@pytest.mark.parametrize(("jitter", "expected_s"), [(0.0, 80.0), (0.25, 90.0), (0.5, 100.0), (0.75, 110.0)])
def test_jitter_spreads_a_wait_both_ways_by_its_ratio(jitter: float, expected_s: float) -> None:
    policy = RetryPolicy((0.0, 100.0), 0.2)
    assert wait_s(TIMED_OUT, policy=policy, jitter=jitter) == pytest.approx(expected_s)


def test_no_wait_is_longer_than_a_week() -> None:
    assert wait_s(TIMED_OUT, policy=RetryPolicy((0.0, 30 * 86_400.0), 0.0)) == 7 * 86_400


@given(st.lists(our.outcomes | throttles, min_size=13, max_size=13), our.retry_policies, our.jitters)
def test_attempts_are_finite(outcomes: list[Outcome], policy: RetryPolicy, jitter: float) -> None:
    """Whatever receivers answer, a delivery ends after at most one attempt per entry of the schedule, and those that
    do not count."""
    uncounted = UNCOUNTED_MAX - 5
    counted = 0
    for outcome in itertools.cycle(outcomes):
        decision = decide(outcome, attempts=counted + 1, policy=policy, now=NOW, jitter=jitter, before=uncounted)
        if not isinstance(decision, Retry):
            break
        uncounted += decision.uncounted
        counted += not decision.uncounted
        assert uncounted <= UNCOUNTED_MAX
        assert counted <= len(policy.schedule_s)


@pytest.mark.parametrize("retry_after", ["1", "1.25", "0", "4"])
@pytest.mark.parametrize("attempts", [1, 2, 5, len(STANDARD_SCHEDULE_S)])
def test_a_429_is_tried_again_when_the_receiver_says_however_many_came(attempts: int, retry_after: str) -> None:
    """Today the second one waited five minutes. It takes nothing of the schedule."""
    outcome = answered(429, retry_after)
    decision = decide(outcome, attempts=attempts, policy=POLICY, now=NOW, jitter=0.9, before=900)
    assert decision == Retry(NOW + timedelta(seconds=max(float(retry_after), 1.0)), uncounted=True)


def test_a_429_that_asks_for_longer_than_the_schedule_counts() -> None:
    assert decide(answered(429, "120"), attempts=1, policy=POLICY, now=NOW, jitter=0.5) == Retry(
        NOW + timedelta(seconds=120)
    )


def test_after_many_429s_each_one_counts() -> None:
    last = decide(answered(429, "1"), attempts=2, policy=POLICY, now=NOW, jitter=0.5, before=UNCOUNTED_MAX)
    assert last == Retry(NOW + timedelta(seconds=300))


def test_a_429_does_not_prolong_a_schedule_of_one_attempt() -> None:
    assert decide(answered(429, "1"), attempts=1, policy=RetryPolicy((0.0,)), now=NOW, jitter=0.5) == Dead()


@pytest.mark.parametrize("retry_after", [None, "soon"])
def test_a_429_that_names_no_wait_counts(retry_after: str | None) -> None:
    assert decide(answered(429, retry_after), attempts=2, policy=POLICY, now=NOW, jitter=0.5) == Retry(
        NOW + timedelta(seconds=300)
    )


@given(our.successes, attempt_counts, our.retry_policies, our.jitters)
def test_a_success_is_the_end_of_it(outcome: Outcome, attempts: int, policy: RetryPolicy, jitter: float) -> None:
    """A 2xx is Done, however many attempts it took."""
    assert decide(outcome, attempts=attempts, policy=policy, now=NOW, jitter=jitter) == Done()


@given(our.refusals | our.transport_failures, attempt_counts, our.retry_policies, our.jitters)
def test_a_failure_is_never_done(outcome: Outcome, attempts: int, policy: RetryPolicy, jitter: float) -> None:
    """Nothing but a success counts as delivered."""
    assert decide(outcome, attempts=attempts, policy=policy, now=NOW, jitter=jitter) != Done()


def test_gone_stops_at_once_and_disables_the_webhook() -> None:
    assert decide(answered(410), attempts=1, policy=POLICY, now=NOW, jitter=0.5) == Dead(disable=True)
    late = decide(answered(410), attempts=1, policy=POLICY, now=NOW, jitter=0.5, superseded=True)
    assert late == decide(answered(500), attempts=1, policy=POLICY, now=NOW, jitter=0.5)


def test_the_last_attempt_of_the_schedule_is_final() -> None:
    last = len(STANDARD_SCHEDULE_S)
    assert isinstance(decide(TIMED_OUT, attempts=last - 1, policy=POLICY, now=NOW, jitter=0.5), Retry)
    assert decide(TIMED_OUT, attempts=last, policy=POLICY, now=NOW, jitter=0.5) == Dead()


@pytest.mark.parametrize(("attempts", "expected_s"), list(enumerate(STANDARD_SCHEDULE_S))[1:])
def test_without_jitter_the_wait_is_that_of_the_standard(attempts: int, expected_s: float) -> None:
    assert wait_s(TIMED_OUT, attempts) == expected_s


@given(st.integers(1, 9), our.jitters)
def test_jitter_moves_a_wait_by_a_fifth_at_most(attempts: int, jitter: float) -> None:
    """0.8 * schedule <= wait <= 1.2 * schedule."""
    assert wait_s(TIMED_OUT, attempts, jitter=jitter) == pytest.approx(STANDARD_SCHEDULE_S[attempts], rel=0.2000001)


@pytest.mark.parametrize("status_code", [429, 503])
def test_retry_after_lengthens_the_wait(status_code: int) -> None:
    assert wait_s(answered(status_code, "120")) == 120


@pytest.mark.parametrize("retry_after", ["1", "nonsense", "-7", ""])
def test_retry_after_never_shortens_the_wait(retry_after: str) -> None:
    assert wait_s(answered(503, retry_after)) == 5


def test_retry_after_of_another_status_is_ignored() -> None:
    assert wait_s(answered(500, "120")) == 5


@pytest.mark.parametrize("entry_s", [1e300, math.inf, -math.inf, math.nan, -1.0])
def test_an_absurd_schedule_still_gives_a_wait(entry_s: float) -> None:
    assert 0 < wait_s(TIMED_OUT, policy=RetryPolicy(schedule_s=(0, entry_s))) <= MAX_WAIT_S


@given(st.integers(0, 10**6))
def test_seconds_are_read_up_to_a_day(seconds: int) -> None:
    """Delay seconds are min(n, 86400), with any number of zeros in front."""
    assert parse_retry_after(f" {seconds:012} ", NOW) == min(seconds, RETRY_AFTER_CAP_S)


def test_more_digits_than_an_int_may_have_mean_a_day() -> None:
    assert parse_retry_after("9" * 10_000, NOW) == RETRY_AFTER_CAP_S


@given(our.instants)
def test_a_date_is_read_as_the_seconds_until_then(at: datetime) -> None:
    """An IMF-fixdate gives the distance from now, held within [0, 86400]."""
    at = at.replace(microsecond=0)
    expected = min(max((at - NOW).total_seconds(), 0.0), RETRY_AFTER_CAP_S)
    assert parse_retry_after(format_datetime(at, usegmt=True), NOW) == expected


@pytest.mark.parametrize(
    "date",
    ["Sun, 01 Mar 2026 12:01:30 GMT", "Sunday, 01-Mar-26 12:01:30 GMT", "Sun Mar  1 12:01:30 2026"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_all_three_http_date_forms_are_read(date: str) -> None:
    """RFC 9110 section 5.6.7: a recipient accepts all three, and all are UTC."""
    assert parse_retry_after(date, NOW) == 90


@given(st.text() | st.text("0123456789:,+- GMTadeFeb", max_size=40))
def test_no_header_can_break_the_reader(value: str) -> None:
    """parse_retry_after is total: None, or seconds in [0, 86400]."""
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP_S


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5.2", ".", "٣", "Sun, 99 Foo 2026 12:00:00 GMT"])
def test_what_cannot_be_read_is_no_retry_after(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@pytest.mark.parametrize(
    ("outcome", "label"),
    [
        (OK, "ok"),
        (answered(503), "503"),
        (TIMED_OUT, "timeout"),
        (Outcome(latency_ms=5, status_code=200, error=ErrorKind.TIMEOUT), "timeout"),
        (Outcome(latency_ms=5, error=ErrorKind.STATUS), "status"),
    ],
)
def test_an_outcome_is_counted_under_what_went_wrong(outcome: Outcome, label: str) -> None:
    assert outcome.label == label
    assert outcome.ok == (label == "ok")
