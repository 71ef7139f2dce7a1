"""Attempts of outside senders: what of them lasts, and their columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.anomaly.tally import tally_of
from monitor.domain.delivery.lane import Lane, LanePolicy, attempt_end, catch_up, lasting, record_attempt
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.reported import ReportedAttempt, columns_of
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.services.settle import minute_rollups
from monitor.domain.vocab import ErrorKind
from tests import strategies as our
from tests.samples import OK, REFUSED, TIMED_OUT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = LanePolicy()
LANE = Lane(webhook_id=UUID(int=1))
THROTTLED = Outcome(latency_ms=5.0, status_code=429, error=ErrorKind.STATUS)
moments = st.floats(-7_200, 7_200).map(lambda s: NOW + timedelta(seconds=s))
lanes = st.builds(
    Lane,
    webhook_id=st.just(UUID(int=1)),
    recent=our.recents,
    last_attempt_at=st.none() | moments,
    failing_since=st.none() | moments,
)
reports = st.builds(
    ReportedAttempt,
    delivered_at=st.integers(-8_000_000, 100_000_000).map(lambda us: NOW - timedelta(microseconds=us)),
    latency_ms=st.floats(0, 86_400_000),
    status_code=st.sampled_from([200, 204, 404, 429, 503]),
) | st.builds(ReportedAttempt, delivered_at=st.just(NOW), latency_ms=st.just(3.0), error=st.sampled_from(ErrorKind))


@given(
    lanes,
    st.lists(st.tuples(st.sampled_from([OK, REFUSED, THROTTLED]), st.integers(-9, 9)), max_size=12),
    st.lists(st.tuples(st.sampled_from([OK, OK, REFUSED, TIMED_OUT, THROTTLED]), st.integers(-9, 9)), min_size=1),
    st.booleans(),
    st.integers(1, 4),
)
def test_attempts_that_leave_no_trace_can_be_left_out(
    lane: Lane,
    earlier: list[tuple[Outcome, int]],
    attempts: list[tuple[Outcome, int]],
    fresh: bool,
    window: int,
) -> None:
    """What is lasting makes the same lane as all attempts, judged by the latest window of them."""
    policy = LanePolicy(health=HealthPolicy(window=window))
    lane = LANE if fresh else lane
    for outcome, s in earlier:
        lane = record_attempt(lane, outcome, NOW + timedelta(seconds=s), NOW, policy)
    made = sorted(((o, NOW + timedelta(seconds=s)) for o, s in attempts), key=lambda one: one[1])

    def judged(some: list[tuple[Outcome, datetime]]) -> Lane:
        after = catch_up(lane, some[:-window], policy)
        for outcome, at in some[-window:]:
            after = record_attempt(after, outcome, at, NOW, policy)
        return replace(after, breaker=lane.breaker, throttled_until=lane.throttled_until)

    kept = lasting(lane, [o.label for o, _ in made], [at.timestamp() for _, at in made], policy)
    assert judged([made[n] for n in kept]) == judged(made)


@pytest.mark.parametrize("failing", [False, True])
def test_few_of_a_thousand_attempts_are_lasting(failing: bool) -> None:
    lane = record_attempt(LANE, REFUSED if failing else OK, NOW - timedelta(hours=1), NOW, POLICY)
    window = POLICY.health.window
    ends_s = [NOW.timestamp() - 1_000 + n for n in range(1_000)]
    assert len(lasting(lane, ["503"] * 500 + ["ok"] * 500, ends_s, POLICY)) == 2 * window + 1
    assert len(lasting(lane, ["429"] * 1_000, ends_s, POLICY)) == 2 * window
    early_s = [one - 86_400 for one in ends_s]
    assert len(lasting(lane, ["503"] * 1_000, early_s, POLICY)) == (1_000 if failing else 2 * window)


@given(st.lists(reports, min_size=1, max_size=30))
def test_columns_are_what_the_attempts_are_one_by_one(reported: list[ReportedAttempt]) -> None:
    """Ends, outcomes, rollups and tally of the columns are those of each attempt, in the order of their ends."""
    columns = columns_of(reported, NOW)
    ends = [attempt_end(one.delivered_at, one.latency_ms, NOW) for one in reported]
    made = [columns.made(n) for n in range(len(reported))]
    # Times hold whole microseconds, and a latency may lie between two.
    assert all(abs(at - end) <= timedelta(microseconds=1) for (_, at), end in zip(made, sorted(ends), strict=True))
    stored = zip(columns.latencies_ms, columns.status_codes, strict=True)
    assert sorted(stored, key=str) == sorted(((one.latency_ms, one.status_code) for one in reported), key=str)
    for outcome, label in zip((outcome for outcome, _ in made), columns.labels, strict=True):
        assert (outcome.label, outcome.ok) == (label, label == "ok")
    starts = [datetime.fromtimestamp(us // 1_000_000, UTC) for us in columns.started_us]
    expected = minute_rollups((LANE.webhook_id, at, outcome) for at, (outcome, _) in zip(starts, made, strict=True))
    minutes = columns.minutes()
    assert sorted(minutes) == sorted((minute.at, minute.rollup) for minute in expected)
    counted = [(outcome.ok, outcome.latency_ms) for outcome, _ in made if not outcome.throttled]
    assert columns.tally(minutes) == tally_of(counted)
