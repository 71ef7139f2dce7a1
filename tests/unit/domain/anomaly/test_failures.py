"""Failure rate: windows, runs, learning, freezing, closing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, State
from monitor.domain.anomaly import proportion as share
from monitor.domain.anomaly.failures import FailureBaseline, observe, start
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, sample_of, stream

OK, FAILED = (True, 100.0), (False, 100.0)
batches = st.lists(st.lists(st.booleans(), max_size=8), max_size=30)


def settled(fail_ratio: float = 0.01, per_tick: int = 1) -> FailureBaseline:
    """Return the baseline of a webhook that was watched for two days."""
    return feed(observe, start(MONDAY), stream(MONDAY, 2 * DAY_S, fail_ratio=fail_ratio, per_tick=per_tick))[0]


def states(verdicts: list) -> list[State]:  # type: ignore[type-arg]
    return [verdict.state for verdict in verdicts]


def test_a_new_webhook_is_learning_until_two_hundred_attempts() -> None:
    _, verdicts = feed(observe, start(MONDAY), stream(MONDAY, 4 * HOUR_S))
    assert states(verdicts)[:200] == [State.LEARNING] * 200
    assert states(verdicts)[200] is State.NORMAL
    assert "7 of 200" in verdicts[6].sentence


def test_a_rare_webhook_is_learning_for_a_day_at_most() -> None:
    _, verdicts = feed(observe, start(MONDAY), stream(MONDAY, DAY_S + 7_200, tick_s=HOUR_S))
    assert states(verdicts) == [State.LEARNING] * 23 + [State.NORMAL] * 3


def test_a_total_outage_is_found_at_the_fifth_failure() -> None:
    baseline = settled(fail_ratio=0.002)
    _, verdicts = feed(observe, baseline, stream(baseline.at, 1_800, fail_ratio=1.0))
    opened = states(verdicts).index(State.OPENED)
    assert opened <= 4
    assert verdicts[opened].severity == "critical"
    evidence = verdicts[opened].evidence
    assert evidence is not None
    assert evidence.p_value < 1e-5


def test_a_run_inside_one_sample_is_found() -> None:
    baseline = settled(fail_ratio=0.0)
    _, verdict = observe(baseline, sample_of(baseline.at + 120.0, [OK] + [FAILED] * 9 + [OK] * 200))
    assert verdict.state is State.OPENED
    assert verdict.sentence.startswith("9 attempts in a row failed")


def test_a_breaker_that_stops_attempts_does_not_hide_the_run() -> None:
    baseline = settled(fail_ratio=0.002)
    baseline, verdict = observe(baseline, sample_of(baseline.at + 10.0, [FAILED] * 6))
    assert verdict.state is State.NORMAL, "ten seconds are a hiccup"
    baseline, verdict = observe(baseline, sample_of(baseline.at + 60.0, []))
    assert verdict.state is State.OPENED


def test_fifteen_percent_are_found_by_a_window() -> None:
    baseline = settled(per_tick=10)
    _, verdicts = feed(observe, baseline, stream(baseline.at, HOUR_S, per_tick=10, fail_ratio=0.15))
    opened = verdicts[states(verdicts).index(State.OPENED)]
    assert opened.severity == "warning"
    assert "attempts in" in opened.sentence
    assert opened.evidence is not None
    assert opened.evidence.window_s in {300.0, 1_800.0, 7_200.0}
    assert opened.evidence.observed > opened.evidence.expected + 0.05


def test_half_failing_is_critical() -> None:
    baseline = settled(per_tick=10)
    _, verdicts = feed(observe, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.6))
    assert verdicts[-1].severity == "critical"


def test_it_closes_after_ten_calm_minutes_and_says_how_long_it_took() -> None:
    baseline = settled(per_tick=10)
    baseline, _ = feed(observe, baseline, stream(baseline.at, 1_200, per_tick=10, fail_ratio=1.0))
    baseline, verdicts = feed(observe, baseline, stream(baseline.at, HOUR_S, per_tick=10))
    closed = states(verdicts).index(State.CLOSED)
    assert 10 <= closed < 25
    assert "Back to normal after" in verdicts[closed].sentence
    assert states(verdicts)[closed + 1 :] == [State.NORMAL] * (59 - closed)


def test_an_open_anomaly_without_attempts_stays_open() -> None:
    baseline = settled()
    baseline, _ = feed(observe, baseline, stream(baseline.at, 1_200, fail_ratio=1.0))
    _, verdicts = feed(observe, baseline, stream(baseline.at, 3 * HOUR_S, per_tick=0))
    assert set(states(verdicts)) == {State.OPEN}


def test_the_baseline_is_frozen_while_open_but_for_a_day_only() -> None:
    baseline = settled()
    baseline, _ = feed(observe, baseline, stream(baseline.at, 1_200, fail_ratio=0.5))
    before = baseline.share.mean
    baseline, _ = feed(observe, baseline, stream(baseline.at, 20 * HOUR_S, fail_ratio=0.5))
    assert baseline.share.mean == before
    baseline, _ = feed(observe, baseline, stream(baseline.at, 20 * HOUR_S, fail_ratio=0.5))
    assert baseline.share.mean > before + 0.1


def test_a_long_outage_leaves_no_trace_in_the_baseline() -> None:
    baseline = settled()
    before = baseline.share
    baseline, _ = feed(observe, baseline, stream(baseline.at, 6 * HOUR_S, fail_ratio=1.0))
    baseline, verdicts = feed(observe, baseline, stream(baseline.at, 12 * HOUR_S, fail_ratio=0.0))
    assert State.CLOSED in states(verdicts)
    assert baseline.share.mean <= before.mean
    assert baseline.share.peaks == pytest.approx(before.peaks, abs=0.05)


def test_a_burst_that_passed_by_itself_is_remembered() -> None:
    baseline = settled(per_tick=10)
    baseline, first = feed(observe, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.4))
    baseline, _ = feed(observe, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=10))
    assert State.OPENED in states(first)
    assert baseline.episode is None
    assert baseline.share.peaks[0] > 0.1
    _, second = feed(observe, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=0.35, seed=2))
    assert set(states(second)) == {State.NORMAL}


def test_a_completed_burst_below_the_alarm_raises_the_peak() -> None:
    baseline = settled(fail_ratio=0.0, per_tick=10)
    burst = [[FAILED] * 3 + [OK] * 7] + [[OK] * 10] * 14
    for number, attempts in enumerate(burst):
        baseline, verdict = observe(baseline, sample_of(baseline.at + 60.0, attempts))
        assert verdict.state is State.NORMAL, number
    assert baseline.share.peaks[0] == pytest.approx(3 / 50, abs=0.02)


def test_a_total_outage_is_found_whatever_bursts_there_were() -> None:
    baseline = settled(per_tick=10)
    for _ in range(3):
        baseline, _ = feed(observe, baseline, stream(baseline.at, 600, per_tick=10, fail_ratio=1.0))
        baseline, _ = feed(observe, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=10))
    _, verdicts = feed(observe, baseline, stream(baseline.at, HOUR_S, per_tick=10, fail_ratio=1.0))
    assert State.OPENED in states(verdicts)[:15]


def test_a_webhook_that_always_fails_has_that_as_its_normal() -> None:
    _, verdicts = feed(observe, start(MONDAY), stream(MONDAY, 2 * DAY_S, fail_ratio=1.0))
    assert set(states(verdicts)) == {State.LEARNING, State.NORMAL}


def test_closing_needs_more_than_few_lucky_attempts() -> None:
    """With under twenty attempts in every shorter window, two hours must look normal."""
    fresh = share.start_proportion(MONDAY, 0.01)
    policy = AnomalyPolicy()
    assert not share.is_calm(fresh, policy)
    one_bad = share.count(fresh, MONDAY + 1, 3, 2, "watching", policy)
    assert not share.is_calm(one_bad, policy)
    busy = share.count(fresh, MONDAY + 1, 1_000, 40, "watching", policy)
    assert share.is_calm(busy, policy), "5 points are the least excess, and half of it is tolerated or explained"


@given(batches)
def test_the_cut_into_samples_does_not_change_runs(outcomes: list[list[bool]]) -> None:
    """Streaming equals batch: run and follow statistics are those of the joined stream, however it was cut."""
    baseline = start(MONDAY)
    for batch in outcomes:
        baseline, _ = observe(baseline, sample_of(baseline.at + 1e-3, [(ok, 1.0) for ok in batch]))
    text = "".join("s" if ok else "f" for batch in outcomes for ok in batch)
    finished = text.rstrip("f")
    assert baseline.run == len(text) - len(finished)
    runs = [run for run in finished.split("s") if run]
    longest_allowed = share.Dispersion(float(finished.count("f") - len(runs)), float(finished.count("f")))
    assert baseline.follows.excess == pytest.approx(longest_allowed.excess, rel=1e-6)
    assert baseline.follows.weight == pytest.approx(longest_allowed.weight, rel=1e-6)


@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 20), st.integers(0, 20)), max_size=50))
def test_every_attempt_is_learned_once_or_still_in_the_window(moves: list[tuple[int, int, int]]) -> None:
    """Streaming equals batch: without fading, learned plus windowed attempts are all attempts."""
    policy = AnomalyPolicy(half_life_s=1e18)
    known, at, total = share.start_proportion(MONDAY, 0.01), MONDAY, 0
    for wait_s, ok, failed in moves:
        at += wait_s
        known = share.count(known, at, ok + failed, failed, "watching", policy)
        total += ok + failed
    assert known.n + sum(known.rings[-1].ns) == pytest.approx(total)


@given(batches)
def test_a_repeated_or_late_sample_changes_nothing(outcomes: list[list[bool]]) -> None:
    """Samples that are not newer leave the baseline as it is, and never open an anomaly."""
    baseline = start(MONDAY)
    for batch in outcomes:
        sample = sample_of(baseline.at + 60.0, [(ok, 1.0) for ok in batch])
        baseline, verdict = observe(baseline, sample)
        for at in (sample.at, sample.at - 30.0):
            again, repeated = observe(baseline, msgspec.structs.replace(sample, at=at))
            assert again is baseline
            assert repeated.state in {verdict.state, State.OPEN, State.NORMAL}
            assert repeated.state is not State.OPENED


def test_a_repeat_tells_the_present_state() -> None:
    baseline = settled()
    normal = observe(baseline, sample_of(baseline.at, []))[1]
    baseline, _ = feed(observe, baseline, stream(baseline.at, 1_200, fail_ratio=1.0))
    assert normal.state is State.NORMAL
    assert observe(baseline, sample_of(baseline.at, []))[1].state is State.OPEN
