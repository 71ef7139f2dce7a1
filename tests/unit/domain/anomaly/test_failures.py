"""Failure rate: windows, runs, learning, freezing, closing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, Sample, SignalState
from monitor.domain.anomaly.failures import (
    FailureBaseline,
    _attempts_per_day,
    is_in_burst,
    observe_failures,
    start_failure_baseline,
)
from monitor.domain.anomaly.proportion import Dispersion, add_attempts, has_recovered, start_proportion
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, sample_of, stream

OK, FAILED = (True, 100.0), (False, 100.0)
batches = st.lists(st.lists(st.booleans(), max_size=8), max_size=30)


@cache
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


def test_a_total_outage_is_found_at_the_third_failure() -> None:
    baseline = settled(fail_ratio=0.002)
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, 1_800, fail_ratio=1.0))
    opened = states(verdicts).index(SignalState.OPENED)
    assert opened == 2
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


def bursts(at: float, days: int, burst_s: float) -> Iterator[Sample]:
    """Yield 10 attempts a minute, of which half fail for *burst_s* every four hours."""
    for number in range(days * 6):
        begin_at = at + number * 4 * HOUR_S
        calm_s = 4 * HOUR_S - burst_s
        yield from stream(begin_at, calm_s, per_tick=10, fail_ratio=0.005, seed=2 * number)
        yield from stream(begin_at + calm_s, burst_s, per_tick=10, fail_ratio=0.5, seed=2 * number + 1)


def test_usual_bursts_are_normal_in_every_window() -> None:
    """Bursts of three minutes are learned; two of them in half an hour open nothing in the longer windows either."""
    baseline, _ = feed(observe_failures, start_failure_baseline(MONDAY), bursts(MONDAY, 2, 180.0))
    baseline, verdicts = feed(observe_failures, baseline, stream(baseline.at, 600.0, per_tick=10, fail_ratio=0.005))
    for number in range(2):
        burst = stream(baseline.at, 180.0, per_tick=10, fail_ratio=0.5, seed=90 + number)
        baseline, during = feed(observe_failures, baseline, burst)
        quiet = stream(baseline.at, 600.0, per_tick=10, fail_ratio=0.005, seed=80 + number)
        baseline, after = feed(observe_failures, baseline, quiet)
        verdicts += during + after
    assert set(states(verdicts)) == {SignalState.NORMAL}


def test_bursts_of_minutes_widen_the_longer_windows() -> None:
    """Windows of independent shorter ones vary at least as much as the mean of those."""
    bursty = msgspec.structs.replace(
        start_proportion(MONDAY, 0.01),
        dispersions=(Dispersion(300.0, 3_000.0), Dispersion(0.0, 9e9), Dispersion(0.0, 9e9)),
    )
    seen = (300.0 - 3_000.0**0.5) / 3_200.0
    assert bursty.rho(1) - bursty.rho(2) == pytest.approx(seen * (1 / 6 - 1 / 24), rel=1e-6)


@pytest.mark.parametrize("shortest", [Dispersion(), Dispersion(4.0, 150.0)])
def test_clustering_that_was_not_seen_widens_no_longer_window(shortest: Dispersion) -> None:
    """Neither the prior of the shortest window nor one chance pair of failures says anything of the longer ones."""
    calm = msgspec.structs.replace(
        start_proportion(MONDAY, 0.01), dispersions=(shortest, Dispersion(0.0, 9e9), Dispersion(0.0, 9e9))
    )
    assert calm.rho(0) > calm.rho(1) == calm.rho(2) == calm.seen_rho


@pytest.mark.parametrize(("age_s", "least", "most"), [(6 * HOUR_S, 4, 8), (2 * DAY_S, 2, 4)])
def test_a_partial_failure_must_last_longer_on_the_first_day(age_s: float, least: int, most: int) -> None:
    baseline, _ = feed(observe_failures, start_failure_baseline(MONDAY), stream(MONDAY, age_s, per_tick=60))
    _, verdicts = feed(observe_failures, baseline, stream(baseline.at, HOUR_S, per_tick=60, fail_ratio=0.2, seed=7))
    assert least <= states(verdicts).index(SignalState.OPENED) <= most


def test_peaks_are_not_learned_while_an_excess_may_open() -> None:
    policy = AnomalyPolicy()
    burst = msgspec.structs.replace(
        start_proportion(MONDAY, 0.01), recent_peaks=(0.3, 0.0, 0.0), excess_since=MONDAY + 200, excess_at=MONDAY + 280
    )
    burst = add_attempts(burst, MONDAY + 290, 50, 15, "detecting", policy)
    held = add_attempts(burst, MONDAY + 305, 10, 0, "detecting", policy)
    assert held.peaks[0] == 0.0
    assert held.recent_peaks[0] == pytest.approx(0.3, abs=0.02)
    ended = add_attempts(held, MONDAY + 605, 10, 0, "detecting", policy)
    assert ended.peaks[0] == held.recent_peaks[0]
    assert ended.recent_peaks[0] == 0.0


@pytest.mark.parametrize(("failures", "state"), [(8, SignalState.NORMAL), (21, SignalState.OPENED)])
def test_a_run_that_usual_bursts_bring_is_normal(failures: int, state: SignalState) -> None:
    calm = settled(per_tick=10)
    sample = sample_of(calm.at + 60, [(True, 100.0), *[(False, 100.0)] * failures, (True, 100.0)])
    assert observe_failures(calm, sample)[1].state is SignalState.OPENED
    bursty = msgspec.structs.replace(calm, proportion=msgspec.structs.replace(calm.proportion, peaks=(0.5, 0.1, 0.02)))
    assert observe_failures(bursty, sample)[1].state is state


def test_a_burst_is_present_for_as_long_as_its_window_shows_it() -> None:
    """Whether it is usual or not; what lasts longer than a burst is none."""
    policy = AnomalyPolicy()
    baseline = settled(per_tick=10)
    assert not is_in_burst(baseline, policy)
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 120.0, per_tick=10, fail_ratio=0.6, seed=7))
    assert is_in_burst(baseline, policy)
    began_at = baseline.burst_since
    baseline, _ = feed(observe_failures, baseline, stream(baseline.at, 60.0, per_tick=10, fail_ratio=0.6, seed=8))
    assert baseline.burst_since == began_at
    calm, _ = feed(observe_failures, baseline, stream(baseline.at, 600.0, per_tick=10, fail_ratio=0.0))
    assert not is_in_burst(calm, policy)
    lasting, _ = feed(observe_failures, baseline, stream(baseline.at, 7_200.0, per_tick=10, fail_ratio=0.6, seed=9))
    assert lasting.burst_since == began_at
    assert not is_in_burst(lasting, policy)


def test_a_burst_that_has_just_ended_is_not_present() -> None:
    """Of a busy webhook the newest minute decides, not the last two."""
    baseline = settled(per_tick=60)
    burst = stream(baseline.at, 150.0, tick_s=15.0, per_tick=15, fail_ratio=0.4, seed=7)
    baseline, during = feed(observe_failures, baseline, burst)
    _, after = feed(observe_failures, baseline, stream(baseline.at + 60.0, 240.0, tick_s=60.0, per_tick=60, seed=8))
    assert SignalState.OPENED not in states(after)
    assert during


def test_timeouts_beside_fast_successes_are_judged_when_they_end() -> None:
    """Ten quick successes a minute, and ten timeouts that began beside them but end a minute later: half fail."""
    baseline = settled(per_tick=20)
    verdicts = []
    for minute in range(10):
        timeouts = [FAILED] * 10 if minute else []
        baseline, verdict = observe_failures(baseline, sample_of(baseline.at + 60.0, [OK] * 10 + timeouts))
        verdicts.append(verdict)
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.evidence is not None
    assert opened.at <= MONDAY + 2 * DAY_S + 360.0
    assert opened.evidence.observed > 0.1
    assert verdicts[-1].severity == "critical"


def test_a_young_webhook_has_its_own_rate_not_a_smaller_one() -> None:
    """Failures in a row are as rare an hour after the start as they are a week later."""
    young = settled_for(HOUR_S)
    old = settled_for(4 * DAY_S)
    assert _attempts_per_day(young, AnomalyPolicy()) == pytest.approx(14_400, rel=0.05)
    assert _attempts_per_day(old, AnomalyPolicy()) == pytest.approx(14_400, rel=0.1)


@cache
def settled_for(length_s: float) -> FailureBaseline:
    return feed(observe_failures, start_failure_baseline(MONDAY), stream(MONDAY, length_s, per_tick=10))[0]


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
    burst = [[FAILED, OK] * 3 + [OK] * 4] + [[OK] * 10] * 14
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
