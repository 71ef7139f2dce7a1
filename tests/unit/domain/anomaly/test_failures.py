"""Failure rate: windows, runs, learning, freezing, closing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, SignalState
from monitor.domain.anomaly.failures import FailureBaseline, observe_failures, start_failure_baseline
from monitor.domain.anomaly.proportion import Dispersion, add_attempts, has_recovered, start_proportion
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, sample_of, stream

OK, FAILED = (True, 100.0), (False, 100.0)
batches = st.lists(st.lists(st.booleans(), max_size=8), max_size=30)


def settled(fail_ratio: float = 0.01, per_tick: int = 1) -> FailureBaseline:
    """Return the baseline of a webhook after two days."""
    return feed(
        observe_failures,
        start_failure_baseline(MONDAY),
        stream(MONDAY, 2 * DAY_S, fail_ratio=fail_ratio, per_tick=per_tick),
    )[0]


def states(verdicts: list) -> list[SignalState]:  # type: ignore[type-arg]
    return [verdict.state for verdict in verdicts]


def test_a_new_webhook_is_learning_until_two_hundred_attempts() -> None:
    _, verdicts = feed(observe_failures, start_failure_baseline(MONDAY), stream(MONDAY, 4 * HOUR_S))
    assert states(verdicts)[:200] == [SignalState.LEARNING] * 200
    assert states(verdicts)[200] is SignalState.NORMAL
    assert "7 of 200" in verdicts[6].sentence


def test_a_rare_webhook_is_learning_for_a_day_at_most() -> None:
    _, verdicts = feed(observe_failures, start_failure_baseline(MONDAY), stream(MONDAY, DAY_S + 7_200, tick_s=HOUR_S))
    assert states(verdicts) == [SignalState.LEARNING] * 23 + [SignalState.NORMAL] * 3


def test_a_total_outage_is_found_at_the_fifth_failure() -> None:
    baseline = settled(fail_ratio=0.002)
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, 1_800, fail_ratio=1.0))
    opened = states(verdicts).index(SignalState.OPENED)
    assert opened <= 4
    assert verdicts[opened].severity == "critical"
    evidence = verdicts[opened].evidence
    assert evidence is not None
    assert evidence.p_value < 1e-5


def test_a_run_inside_one_sample_is_found() -> None:
    baseline = settled(fail_ratio=0.0)
    _, verdict = observe_failures(baseline, sample_of(baseline.at + 120.0, [OK] + [FAILED] * 9 + [OK] * 200))
    assert verdict.state is SignalState.OPENED
    assert verdict.sentence.startswith("9 attempts in a row failed")


def test_a_breaker_that_stops_attempts_does_not_hide_the_run() -> None:
    baseline = settled(fail_ratio=0.002)
    baseline, verdict = observe_failures(baseline, sample_of(baseline.at + 10.0, [FAILED] * 6))
    assert verdict.state is SignalState.NORMAL, "ten seconds are too short"
    baseline, verdict = observe_failures(baseline, sample_of(baseline.at + 60.0, []))
    assert verdict.state is SignalState.OPENED


def test_fifteen_percent_are_found_by_a_window() -> None:
    baseline = settled(per_tick=10)
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, HOUR_S, per_tick=10, fail_ratio=0.15))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "warning"
    assert "attempts in" in opened.sentence
    assert opened.evidence is not None
    assert opened.evidence.window_s in {300.0, 1_800.0, 7_200.0}
    assert opened.evidence.observed > opened.evidence.expected + 0.05


def test_half_failing_is_critical() -> None:
    baseline = settled(per_tick=10)
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.6))
    assert verdicts[-1].severity == "critical"


def test_it_closes_after_ten_normal_minutes_and_shows_its_duration() -> None:
    baseline = settled(per_tick=10)
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 1_200, per_tick=10, fail_ratio=1.0))
    baseline, verdicts = feed(observe_failures, baseline, stream(baseline.at, HOUR_S, per_tick=10))
    closed = states(verdicts).index(SignalState.CLOSED)
    assert 10 <= closed < 25
    assert "Back to normal after" in verdicts[closed].sentence
    assert states(verdicts)[closed + 1 :] == [SignalState.NORMAL] * (59 - closed)


def test_an_open_anomaly_without_attempts_stays_open() -> None:
    baseline = settled()
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 1_200, fail_ratio=1.0))
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, 3 * HOUR_S, per_tick=0))
    assert set(states(verdicts)) == {SignalState.OPEN}


def test_the_baseline_is_frozen_while_open_but_for_a_day_only() -> None:
    baseline = settled()
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 1_200, fail_ratio=0.5))
    before = baseline.proportion.mean
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 20 * HOUR_S, fail_ratio=0.5))
    assert baseline.proportion.mean == before
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 20 * HOUR_S, fail_ratio=0.5))
    assert baseline.proportion.mean > before + 0.1


def test_a_long_outage_leaves_no_trace_in_the_baseline() -> None:
    baseline = settled()
    before = baseline.proportion
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 6 * HOUR_S, fail_ratio=1.0))
    baseline, verdicts = feed(observe_failures, baseline, stream(baseline.at, 12 * HOUR_S, fail_ratio=0.0))
    assert SignalState.CLOSED in states(verdicts)
    assert baseline.proportion.mean <= before.mean
    assert baseline.proportion.peaks == pytest.approx(before.peaks, abs=0.05)


def test_a_burst_raises_the_peak_for_the_next_one() -> None:
    baseline = settled(per_tick=10)
    baseline, first = feed(observe_failures, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.4))
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=10))
    assert SignalState.OPENED in states(first)
    assert baseline.episode is None
    assert baseline.proportion.peaks[0] > 0.1
    _, second = feed(observe_failures, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.35, seed=2))
    assert set(states(second)) == {SignalState.NORMAL}


def test_a_completed_burst_without_an_anomaly_raises_the_peak() -> None:
    baseline = settled(fail_ratio=0.0, per_tick=10)
    burst = [[FAILED] * 3 + [OK] * 7] + [[OK] * 10] * 14
    for number, attempts in enumerate(burst):
        baseline, verdict = observe_failures(baseline, sample_of(baseline.at + 60.0, attempts))
        assert verdict.state is SignalState.NORMAL, number
    assert baseline.proportion.peaks[0] == pytest.approx(3 / 50, abs=0.02)


def test_a_total_outage_is_found_whatever_bursts_there_were() -> None:
    baseline = settled(per_tick=10)
    for _ in range(3):
        baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=1.0))
        baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=10))
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, HOUR_S, per_tick=10, fail_ratio=1.0))
    assert SignalState.OPENED in states(verdicts)[:15]


def test_a_webhook_that_always_fails_has_that_as_its_normal() -> None:
    _, verdicts = feed(observe_failures, start_failure_baseline(MONDAY), stream(MONDAY, 2 * DAY_S, fail_ratio=1.0))
    assert set(states(verdicts)) == {SignalState.LEARNING, SignalState.NORMAL}


def test_closing_needs_more_than_a_few_successes() -> None:
    """With under twenty attempts in every shorter window, two hours must look normal."""
    fresh = start_proportion(MONDAY, 0.01)
    policy = AnomalyPolicy()
    assert not has_recovered(fresh, policy)
    one_bad = add_attempts(fresh, MONDAY + 1, 3, 2, "detecting", policy)
    assert not has_recovered(one_bad, policy)
    busy = add_attempts(fresh, MONDAY + 1, 1_000, 40, "detecting", policy)
    assert has_recovered(busy, policy), "half of the minimum excess of 5 points is tolerated"


@given(batches)
def test_the_cut_into_samples_does_not_change_runs(outcomes: list[list[bool]]) -> None:
    """Streaming equals batch: run and follow statistics are those of the joined stream, however it was cut."""
    baseline = start_failure_baseline(MONDAY)
    for batch in outcomes:
        baseline, _ = observe_failures(baseline, sample_of(baseline.at + 1e-3, [(ok, 1.0) for ok in batch]))
    text = "".join("s" if ok else "f" for batch in outcomes for ok in batch)
    finished = text.rstrip("f")
    assert baseline.run == len(text) - len(finished)
    runs = [run for run in finished.split("s") if run]
    longest_allowed = Dispersion(float(finished.count("f") - len(runs)), float(finished.count("f")))
    assert baseline.continuation.excess == pytest.approx(longest_allowed.excess, rel=1e-6)
    assert baseline.continuation.weight == pytest.approx(longest_allowed.weight, rel=1e-6)


@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 20), st.integers(0, 20)), max_size=50))
def test_every_attempt_is_learned_once_or_still_in_the_window(moves: list[tuple[int, int, int]]) -> None:
    """Streaming equals batch: without fading, learned plus windowed attempts are all attempts."""
    policy = AnomalyPolicy(half_life_s=1e18)
    learned, at, total = start_proportion(MONDAY, 0.01), MONDAY, 0
    for wait_s, ok, failed in moves:
        at += wait_s
        learned = add_attempts(learned, at, ok + failed, failed, "detecting", policy)
        total += ok + failed
    assert learned.n + sum(learned.rings[-1].ns) == pytest.approx(total)


@given(batches)
def test_a_repeated_or_late_sample_changes_nothing(outcomes: list[list[bool]]) -> None:
    """Samples that are not newer leave the baseline as it is, and never open an anomaly."""
    baseline = start_failure_baseline(MONDAY)
    for batch in outcomes:
        sample = sample_of(baseline.at + 60.0, [(ok, 1.0) for ok in batch])
        baseline, verdict = observe_failures(baseline, sample)
        for at in (sample.at, sample.at - 30.0):
            again, repeated = observe_failures(baseline, msgspec.structs.replace(sample, at=at))
            assert again is baseline
            assert repeated.state in {verdict.state, SignalState.OPEN, SignalState.NORMAL}
            assert repeated.state is not SignalState.OPENED


def test_a_repeat_returns_the_present_state() -> None:
    baseline = settled()
    normal = observe_failures(baseline, sample_of(baseline.at, []))[1]
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 1_200, fail_ratio=1.0))
    assert normal.state is SignalState.NORMAL
    assert observe_failures(baseline, sample_of(baseline.at, []))[1].state is SignalState.OPEN
