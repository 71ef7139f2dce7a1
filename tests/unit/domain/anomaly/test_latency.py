"""Latency and its tail."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import exp, log, pi, sin
from random import Random  # noqa: TID251 -- seeded, so the same dice every time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, Sample, SignalState, Verdict, mean_baseline
from monitor.domain.anomaly.latency import (
    LatencyBaseline,
    latency_shift_criteria,
    observe_latency,
    start_latency_baseline,
)
from monitor.domain.anomaly.latency_tail import LatencyTailBaseline, observe_latency_tail, start_latency_tail_baseline
from monitor.domain.anomaly.policy import DEFAULT_POLICY
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, sample_of, stream


@cache
def settled_latency(per_tick: int = 2, median_ms: float = 100.0) -> LatencyBaseline:
    samples = stream(MONDAY, 2 * DAY_S, per_tick=per_tick, median_ms=median_ms)
    return feed(observe_latency, start_latency_baseline(MONDAY), samples)[0]


@cache
def settled_tail(per_tick: int = 2, median_ms: float = 100.0) -> LatencyTailBaseline:
    samples = stream(MONDAY, 2 * DAY_S, per_tick=per_tick, median_ms=median_ms)
    return feed(observe_latency_tail, start_latency_tail_baseline(MONDAY), samples)[0]


def responses(count: int, median_ms: float, log_sd: float, random: Random | None = None) -> list[tuple[bool, float]]:
    dice = random or Random(2)
    return [(True, exp(dice.gauss(log(median_ms), log_sd))) for _ in range(count)]


def states(verdicts: list[Verdict]) -> list[SignalState]:
    return [verdict.state for verdict in verdicts]


def test_the_baseline_is_the_geometric_mean_and_deviation_of_the_responses() -> None:
    baseline = settled_latency()
    assert exp(baseline.log_latency.mean) == pytest.approx(100.0, rel=0.05)
    assert baseline.log_latency.variance**0.5 == pytest.approx(0.4, rel=0.05)


def test_a_doubled_latency_is_found() -> None:
    baseline = settled_latency()
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, HOUR_S, per_tick=2, median_ms=200.0))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "warning"
    assert opened.evidence is not None
    assert opened.evidence.observed > 1.2 * opened.evidence.expected
    assert "times the normal" in opened.sentence


def daily(at: float, length_s: float, factor: float = 1.0) -> Iterator[Sample]:
    """Yield a response a minute whose latency swings by a third in a day, slowest at six in the morning."""
    dice = Random(4)
    for number in range(round(length_s / 60.0)):
        now = at + (number + 1) * 60.0
        median_ms = 100.0 * factor * exp(0.33 * sin(2 * pi * now / DAY_S))
        yield sample_of(now, [(True, exp(dice.gauss(log(median_ms), 0.4)))])


def test_the_time_of_day_is_learned() -> None:
    baseline, verdicts = feed(observe_latency, start_latency_baseline(MONDAY), daily(MONDAY, 4 * DAY_S))
    assert SignalState.OPENED not in states(verdicts)
    usual_ms = [
        exp(baseline.log_latency.mean + baseline.log_latency.usual_offset(MONDAY + h * HOUR_S)) for h in (6, 18)
    ]
    assert usual_ms == [pytest.approx(139.0, rel=0.1), pytest.approx(72.0, rel=0.1)]
    before_midnight, after_midnight = (
        baseline.log_latency.usual_offset(MONDAY + s) for s in (DAY_S - 1.0, DAY_S + 1.0)
    )
    assert before_midnight == pytest.approx(after_midnight, abs=0.01), "midnight is no step"


def test_a_doubled_latency_is_found_in_the_fast_hours() -> None:
    """At 18:00 twice the usual is hardly more than the mean of the day."""
    baseline, _ = feed(observe_latency, start_latency_baseline(MONDAY), daily(MONDAY, 3 * DAY_S + 17 * HOUR_S))
    _, verdicts = feed(observe_latency, baseline, daily(baseline.at, 2 * HOUR_S, factor=2.0))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.evidence is not None
    assert opened.evidence.expected == pytest.approx(72.0, rel=0.15), "what is usual now, not at noon"


def test_a_baseline_stored_before_the_time_of_day_goes_on() -> None:
    stored = msgspec.json.decode(msgspec.json.encode(settled_latency()))
    del stored["log_latency"]["day"]
    baseline = msgspec.convert(stored, LatencyBaseline)
    assert baseline.log_latency.usual_offset(baseline.at) == 0.0
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, HOUR_S, per_tick=2, median_ms=200.0))
    assert SignalState.OPENED in states(verdicts)


def test_ten_times_slower_is_critical() -> None:
    baseline = settled_latency()
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, HOUR_S, per_tick=2, median_ms=1_000.0))
    assert verdicts[-1].severity == "critical"


def test_a_young_baseline_does_not_learn_a_tenfold_rise_as_scatter() -> None:
    baseline, _ = feed(
        observe_latency, start_latency_baseline(MONDAY), stream(MONDAY, 60.0, tick_s=15.0, per_tick=75, median_ms=20.0)
    )
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, 120.0, tick_s=15.0, per_tick=75, median_ms=200.0))
    assert SignalState.OPENED in states(verdicts)


@pytest.mark.parametrize("log_sd", [0.4, 0.8])
@pytest.mark.parametrize("per_sample", [45, 60, 75, 90])
@pytest.mark.parametrize("already_slow", [0.15, 0.3, 0.6, 0.9])
def test_a_twentyfold_rise_is_found_whenever_it_begins_during_learning(
    log_sd: float, per_sample: int, already_slow: float
) -> None:
    """Within three minutes, although it begins inside the sample in which learning ends."""
    baseline, _ = feed(
        observe_latency,
        start_latency_baseline(MONDAY),
        stream(MONDAY, 60.0, tick_s=15.0, per_tick=per_sample, median_ms=20.0, log_sd=log_sd),
    )
    slow = round(per_sample * already_slow)
    mixed = [*responses(per_sample - slow, 20.0, log_sd), *responses(slow, 400.0, 0.2)]
    baseline, verdict = observe_latency(baseline, sample_of(baseline.at + 15.0, mixed))
    later = stream(baseline.at, 165.0, tick_s=15.0, per_tick=per_sample, median_ms=400.0, log_sd=0.2, seed=3)
    _, verdicts = feed(observe_latency, baseline, later)
    assert SignalState.OPENED in states([verdict, *verdicts])


def test_a_slowness_that_ends_the_learning_is_not_learned() -> None:
    fast = stream(MONDAY, 45.0, tick_s=15.0, per_tick=50, median_ms=20.0)
    baseline, _ = feed(observe_latency, start_latency_baseline(MONDAY), fast)
    slow = stream(baseline.at, 45.0, tick_s=15.0, per_tick=50, median_ms=400.0, log_sd=0.2, seed=3)
    baseline, verdicts = feed(observe_latency, baseline, slow)
    assert states(verdicts) == [SignalState.LEARNING, SignalState.LEARNING, SignalState.OPENED]
    assert exp(baseline.log_latency.mean) == pytest.approx(20.0, rel=0.1)


def test_the_first_responses_do_not_decide_what_is_learned() -> None:
    cached = stream(MONDAY, 30.0, tick_s=15.0, per_tick=20, median_ms=20.0)
    baseline, _ = feed(observe_latency, start_latency_baseline(MONDAY), cached)
    _, verdicts = feed(
        observe_latency, baseline, stream(baseline.at, HOUR_S, tick_s=15.0, per_tick=20, median_ms=400.0, seed=3)
    )
    assert set(states(verdicts)) == {SignalState.LEARNING, SignalState.NORMAL}


@pytest.mark.parametrize("seed", [12, 24, 27, 33, 95])
def test_the_latency_of_a_new_webhook_may_drift(seed: int) -> None:
    """Its latency rises and falls by half within minutes, which is scatter. Lower limits for jumps fail here."""
    random = Random(seed)
    baseline, at, off = start_latency_baseline(MONDAY), MONDAY, 0.0
    seen = set()
    for _ in range(240):
        at += 15.0
        off = 0.78 * off + random.gauss(0.0, 0.28)
        baseline, verdict = observe_latency(baseline, sample_of(at, responses(75, 60.0 * exp(off), 0.45, random)))
        seen.add(verdict.state)
    assert seen == {SignalState.LEARNING, SignalState.NORMAL}


def test_faster_is_no_anomaly() -> None:
    baseline = settled_latency()
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=2, median_ms=30.0))
    assert set(states(verdicts)) == {SignalState.NORMAL}


def test_a_rise_of_a_few_milliseconds_is_no_anomaly() -> None:
    baseline = settled_latency(median_ms=1.0)
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, HOUR_S, per_tick=2, median_ms=3.0))
    assert set(states(verdicts)) == {SignalState.NORMAL}
    slow = settled_tail(median_ms=1.0)
    _, verdicts = feed(observe_latency_tail, slow, stream(slow.at, HOUR_S, per_tick=2, median_ms=3.0))
    assert set(states(verdicts)) == {SignalState.NORMAL}


def test_one_outlier_is_no_anomaly() -> None:
    baseline = settled_latency()
    _, verdict = observe_latency(baseline, Sample(at=baseline.at + 60, attempts=1, latencies_ms=((1e6, 1),)))
    assert verdict.state is SignalState.NORMAL


def test_slowness_closes_and_leaves_no_trace() -> None:
    baseline = settled_latency()
    mean = baseline.log_latency.mean
    baseline, _ = feed(observe_latency, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=2, median_ms=500.0))
    assert baseline.log_latency.mean == pytest.approx(mean, abs=0.02)
    baseline, verdicts = feed(observe_latency, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=2))
    assert states(verdicts).count(SignalState.CLOSED) == 1
    assert baseline.log_latency.mean == pytest.approx(mean, abs=0.05)


def test_a_short_slowness_raises_the_dispersion_between_windows() -> None:
    baseline = settled_latency()
    before = baseline.log_latency.dispersions[0].excess
    baseline, _ = feed(observe_latency, baseline, stream(baseline.at, 600, per_tick=2, median_ms=800.0))
    baseline, verdicts = feed(observe_latency, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=2))
    assert SignalState.CLOSED in states(verdicts)
    assert baseline.log_latency.dispersions[0].excess > before + 1.0


def test_an_open_anomaly_without_responses_stays_open() -> None:
    baseline = settled_latency()
    baseline, _ = feed(observe_latency, baseline, stream(baseline.at, HOUR_S, per_tick=2, median_ms=500.0))
    _, verdicts = feed(observe_latency, baseline, stream(baseline.at, 3 * HOUR_S, per_tick=0))
    assert set(states(verdicts)) == {SignalState.OPEN}


def test_it_is_learning_until_there_are_enough_responses() -> None:
    _, verdicts = feed(observe_latency, start_latency_baseline(MONDAY), stream(MONDAY, 2 * DAY_S, per_tick=0))
    assert set(states(verdicts)) == {SignalState.LEARNING}
    _, verdicts = feed(observe_latency_tail, start_latency_tail_baseline(MONDAY), stream(MONDAY, 2 * DAY_S, per_tick=0))
    assert set(states(verdicts)) == {SignalState.LEARNING}


def test_repeats_change_nothing_and_return_the_state() -> None:
    slow, late = settled_latency(), settled_tail()
    sample = Sample(at=slow.at - 60.0, attempts=1, latencies_ms=((1e6, 1),))
    assert observe_latency(slow, sample)[0] is slow
    assert observe_latency(slow, sample)[1].state is SignalState.NORMAL
    assert observe_latency_tail(late, sample)[0] is late
    assert observe_latency_tail(late, sample)[1].state is SignalState.NORMAL


def test_the_learned_percentile_is_near_the_true_one() -> None:
    baseline = settled_tail(per_tick=5)
    assert exp(baseline.log_threshold) == pytest.approx(100.0 * exp(1.645 * 0.4), rel=0.08)


def test_a_tail_that_the_mean_hardly_shows_is_found() -> None:
    baseline = settled_tail(per_tick=5)
    baseline, verdicts = feed(
        observe_latency_tail, baseline, stream(baseline.at, HOUR_S, per_tick=5, slow_ratio=0.25, median_ms=90.0)
    )
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "warning"
    assert "is normal" in opened.sentence
    threshold = baseline.log_threshold
    baseline, _ = feed(observe_latency_tail, baseline, stream(baseline.at, 4 * HOUR_S, per_tick=5, slow_ratio=0.25))
    assert baseline.log_threshold == threshold, "frozen while open"
    _, verdicts = feed(observe_latency_tail, baseline, stream(baseline.at, 6 * HOUR_S, per_tick=5))
    assert states(verdicts).count(SignalState.CLOSED) == 1


def test_a_baseline_without_values_has_no_shift() -> None:
    fresh = mean_baseline.start_mean_baseline(MONDAY)
    criteria = latency_shift_criteria(DEFAULT_POLICY)
    assert mean_baseline.largest_shift(fresh, criteria) is None
    assert not mean_baseline.has_recovered(fresh, criteria)


@given(st.floats(0, 1e6), st.integers(1, 20), st.integers(60, 900))
def test_a_constant_latency_is_never_anomalous(value_ms: float, per_tick: int, tick_s: int) -> None:
    """Whatever the constant, no sample opens an anomaly, neither in the mean nor in the tail."""
    slow, late = start_latency_baseline(MONDAY), start_latency_tail_baseline(MONDAY)
    for number in range(1, 250):
        sample = Sample(at=MONDAY + number * tick_s, attempts=per_tick, latencies_ms=((value_ms, per_tick),))
        slow, on_slow = observe_latency(slow, sample)
        late, on_late = observe_latency_tail(late, sample)
        assert {on_slow.state, on_late.state} <= {SignalState.LEARNING, SignalState.NORMAL}


@given(st.lists(st.tuples(st.integers(1, 4_000), st.lists(st.floats(-5, 5), max_size=4)), max_size=40))
def test_the_learned_mean_is_the_mean_of_what_left_the_window(moves: list[tuple[int, list[float]]]) -> None:
    """
    Streaming equals batch: without fading or clipping, mean and windows together are the mean of all values, each less
    what is usual at its time of day.
    """
    policy = AnomalyPolicy(half_life_s=1e18)
    criteria = mean_baseline.ShiftCriteria(min_sd=1e9, min_shift=0.0, p_open=0.0)
    learned, at = mean_baseline.start_mean_baseline(MONDAY), MONDAY
    everything: list[float] = []
    for wait_s, values in moves:
        at += wait_s
        learned = mean_baseline.add_values(
            learned, at, tuple((value, 1) for value in values), "detecting", criteria, policy
        )
        everything += [value - learned.usual_offset(at) for value in values]
    assert learned.weight + sum(learned.rings[-1].ns) == pytest.approx(len(everything))
    total = learned.weight * learned.mean + sum(learned.rings[-1].xs)
    assert total == pytest.approx(sum(everything), abs=1e-6)
