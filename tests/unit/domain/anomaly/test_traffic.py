"""Volume and no data, and the hour-of-week profile that both use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import pi, sin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, Sample, SignalState, Verdict
from monitor.domain.anomaly.no_data import observe_no_data
from monitor.domain.anomaly.policy import DEFAULT_POLICY
from monitor.domain.anomaly.slot_history import SLOT_S, past_count
from monitor.domain.anomaly.traffic import (
    MAX_TICK_S,
    TrafficBaseline,
    add_traffic,
    expected_count,
    has_learned,
    start_traffic_baseline,
)
from monitor.domain.anomaly.volume import observe_volume
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, stream


@cache
def settled(per_tick: int = 1, tick_s: float = 60.0, days: int = 3) -> TrafficBaseline:
    samples = stream(MONDAY, days * DAY_S, per_tick=per_tick, tick_s=tick_s)
    return feed(observe_both, start_traffic_baseline(MONDAY), samples)[0]


def observe_both(baseline: TrafficBaseline, sample: Sample) -> tuple[TrafficBaseline, Verdict]:
    """Add *sample* to both signals; return the verdict of no data."""
    baseline, _ = observe_volume(baseline, sample)
    return observe_no_data(baseline, sample)


def states(verdicts: list[Verdict]) -> list[SignalState]:
    return [verdict.state for verdict in verdicts]


def waves(days: int, *, weekend: float = 1.0) -> Iterator[Sample]:
    """Yield five-minute samples whose volume swings by 80 % over the day."""
    for number in range(days * 288):
        at = MONDAY + (number + 1) * 300.0
        factor = weekend if number // 288 % 7 >= 5 else 1.0
        attempts = round(factor * 20 * (1 + 0.8 * sin(2 * pi * at / DAY_S)))
        yield Sample(at=at, attempts=attempts)


def test_it_is_learning_until_each_hour_of_the_day_was_seen() -> None:
    _, verdicts = feed(observe_volume, start_traffic_baseline(MONDAY), stream(MONDAY, 2 * DAY_S, tick_s=600.0))
    assert set(states(verdicts)[: 24 * 6]) == {SignalState.LEARNING}
    assert set(states(verdicts)[26 * 6 :]) == {SignalState.NORMAL}
    assert "hours seen" in verdicts[0].sentence
    begun = start_traffic_baseline(MONDAY)
    assert [has_learned(msgspec.structs.replace(begun, hours_learned=hours)) for hours in (23, 24)] == [False, True]


def test_a_daily_cycle_is_normal() -> None:
    for observe in (observe_volume, observe_no_data):
        _, verdicts = feed(observe, start_traffic_baseline(MONDAY), waves(5))
        assert set(states(verdicts)) == {SignalState.LEARNING, SignalState.NORMAL}


def test_the_hour_of_the_week_is_learned_after_weeks() -> None:
    baseline, _ = feed(observe_volume, start_traffic_baseline(MONDAY), waves(21, weekend=0.2))
    profile = baseline.profile
    saturday_noon = round((MONDAY + 26 * DAY_S) / HOUR_S) + 6
    wednesday_noon = saturday_noon - 3 * 24
    assert expected_count(profile, wednesday_noon) == pytest.approx(12 * 36, rel=0.2)
    assert expected_count(profile, saturday_noon) < 0.6 * expected_count(profile, wednesday_noon)


def test_a_surge_opens_and_closes() -> None:
    baseline = settled()
    baseline, verdicts = feed(observe_volume, baseline, stream(baseline.at, HOUR_S, per_tick=10))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "info"
    assert opened.evidence is not None
    assert opened.evidence.observed > 2 * opened.evidence.expected
    _, verdicts = feed(observe_volume, baseline, stream(baseline.at, 3 * HOUR_S))
    assert states(verdicts).count(SignalState.CLOSED) == 1


def test_a_drop_is_a_warning() -> None:
    baseline = settled(per_tick=5)
    _, verdicts = feed(observe_volume, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=1))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "warning"
    assert "is normal for this time of the week" in opened.sentence


def test_no_data_opens_and_closes() -> None:
    baseline = settled()
    baseline, verdicts = feed(observe_no_data, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=0))
    opened = verdicts[states(verdicts).index(SignalState.OPENED)]
    assert opened.severity == "warning"
    assert "No attempts for" in opened.sentence
    assert verdicts[-1].severity == "critical"
    baseline, verdicts = feed(observe_no_data, baseline, stream(baseline.at, HOUR_S))
    assert states(verdicts).count(SignalState.CLOSED) == 1
    assert states(verdicts)[-1] is SignalState.NORMAL
    assert baseline.longest_gap < 5, "an outage does not become the longest normal gap"


def test_an_hour_without_attempts_is_not_low_volume() -> None:
    baseline = settled()
    _, verdicts = feed(observe_volume, baseline, stream(baseline.at + HOUR_S, 600, per_tick=0))
    assert set(states(verdicts)) == {SignalState.NORMAL}


def test_the_hours_of_an_outage_are_not_learned() -> None:
    baseline = settled()
    before = baseline.profile
    after, _ = feed(observe_both, baseline, stream(baseline.at, 5 * HOUR_S, per_tick=0))
    assert after.no_data is not None
    assert after.profile.level.mean == pytest.approx(before.level.mean, rel=0.06)


def test_a_webhook_with_long_gaps_needs_a_longer_one_for_an_anomaly() -> None:
    """Ten attempts at once each two hours: its own gap is 20 expected attempts, so 20 missed ones are normal."""
    clumps = (Sample(at=MONDAY + (n + 1) * 600.0, attempts=10 if n % 12 == 0 else 0) for n in range(6 * 24 * 6))
    _, verdicts = feed(observe_both, start_traffic_baseline(MONDAY), clumps)
    assert set(states(verdicts)) == {SignalState.LEARNING, SignalState.NORMAL}


def test_held_time_is_neither_no_data_nor_a_drop() -> None:
    baseline = settled()
    samples = [Sample(at=baseline.at + (n + 1) * 60.0, held=True) for n in range(300)]
    for observe in (observe_volume, observe_no_data):
        after, verdicts = feed(observe, baseline, iter(samples))
        assert set(states(verdicts)) == {SignalState.NORMAL}
        assert after.profile.level.mean == pytest.approx(baseline.profile.level.mean, rel=0.05)


def test_a_held_webhook_keeps_what_is_open() -> None:
    baseline = settled()
    for observe in (observe_volume, observe_no_data):
        per_tick = 10 if observe is observe_volume else 0
        opened, _ = feed(observe, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=per_tick))
        samples = iter([Sample(at=opened.at + (n + 1) * 60.0, held=True) for n in range(60)])
        _, verdicts = feed(observe, opened, samples)
        assert set(states(verdicts)) == {SignalState.OPEN}


def test_time_without_samples_does_not_count() -> None:
    baseline = settled()
    baseline, verdict = observe_no_data(baseline, Sample(at=baseline.at + DAY_S))
    assert verdict.state is SignalState.NORMAL
    assert baseline.gap == 0.0
    _, verdict = observe_volume(baseline, Sample(at=baseline.at + 60.0, attempts=500))
    assert verdict.state is SignalState.NORMAL


def test_the_second_attempt_of_a_dormant_webhook_is_no_surge() -> None:
    baseline = settled(per_tick=0, tick_s=600.0)
    _, verdicts = feed(observe_volume, baseline, stream(baseline.at, 6 * HOUR_S, tick_s=600.0))
    assert SignalState.OPENED not in states(verdicts)


def test_repeats_change_nothing_and_return_the_state() -> None:
    fresh, learned = start_traffic_baseline(MONDAY), settled()
    for observe in (observe_volume, observe_no_data):
        old = Sample(at=MONDAY - 60.0, attempts=10**6)
        assert observe(fresh, old) == (fresh, observe(fresh, old)[1])
        assert observe(fresh, old)[1].state is SignalState.LEARNING
        again = Sample(at=learned.at - 60.0, attempts=10**6)
        assert observe(learned, again)[0] == learned
        assert observe(learned, msgspec.structs.replace(again, attempts=0))[1].state is SignalState.NORMAL


@given(st.lists(st.tuples(st.integers(1, 899), st.integers(0, 30)), max_size=80))
def test_volume_and_no_data_may_get_a_sample_in_either_order(moves: list[tuple[int, int]]) -> None:
    """The shared baseline counts a sample once, whichever signal gets it first."""
    one, other = start_traffic_baseline(MONDAY), start_traffic_baseline(MONDAY)
    at = MONDAY
    for wait_s, attempts in moves:
        at += wait_s
        sample = Sample(at=at, attempts=attempts)
        one = observe_no_data(observe_volume(one, sample)[0], sample)[0]
        other = observe_volume(observe_no_data(other, sample)[0], sample)[0]
    assert one == other


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_the_profile_is_the_mean_of_whole_hours(counts: list[int]) -> None:
    """Streaming equals batch: without fading, the level is the mean count of the completely observed hours."""
    policy = AnomalyPolicy(half_life_s=1e18, p_volume=0.0)
    baseline = start_traffic_baseline(MONDAY)
    for number, attempts in enumerate(counts):
        baseline, _ = observe_volume(baseline, Sample(at=MONDAY + number * 600.0 + 1.0, attempts=attempts), policy)
    hours = [sum(counts[i : i + 6]) for i in range(6, len(counts) - 6, 6)]
    assert baseline.hours_learned == len(hours)
    assert baseline.profile.level.mean == pytest.approx(sum(hours) / max(len(hours), 1))


def test_the_longest_gap_fades() -> None:
    begin = 1_000 * 3_600.0
    baseline = msgspec.structs.replace(start_traffic_baseline(begin), hours_learned=24, longest_gap=100.0)
    for minute in range(1, 6 * 60):
        baseline = add_traffic(baseline, Sample(at=begin + 60 * minute, attempts=1), DEFAULT_POLICY)
    # Of five hours that ended, the first does not count as seen whole.
    assert baseline.longest_gap == pytest.approx(100 * 0.5 ** (4 * 3_600 / DEFAULT_POLICY.dispersion_half_life_s))


@given(st.lists(st.booleans(), min_size=1, max_size=30))
@settings(deadline=None)
def test_held_time_and_pauses_teach_no_zeros(held: list[bool]) -> None:
    """No slot that was held or not observed becomes a count, and the expected counts stay."""
    baseline = before = settled(days=2)
    for is_held in held:
        at = baseline.at + (600.0 if is_held else MAX_TICK_S + 1)
        baseline = add_traffic(baseline, Sample(at=at, held=is_held), DEFAULT_POLICY)
    slots = range(int(before.at // SLOT_S) + 1, int(baseline.at // SLOT_S))
    assert all(past_count(baseline.history, slot, 0) is None for slot in slots)
    assert baseline.profile == before.profile
    assert baseline.gap == 0.0


def test_a_baseline_of_the_version_before_keeps_what_it_learned() -> None:
    """Its history begins empty; the window is judged once it was observed whole."""
    learned = settled(days=3)
    stored = msgspec.to_builtins(learned)
    for name in ("history", "covered_s", "limits", "is_slot_complete", "late"):
        del stored[name]
    baseline = msgspec.convert(stored, TrafficBaseline)
    assert baseline.profile == learned.profile
    baseline, verdicts = feed(observe_both, baseline, stream(baseline.at, 2 * HOUR_S))
    assert set(states(verdicts)) == {SignalState.NORMAL}
    _, verdicts = feed(observe_both, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=0))
    assert SignalState.OPENED in states(verdicts)


def test_what_an_outage_brings_is_no_ordinary_variation() -> None:
    baseline = settled(per_tick=10)
    before = baseline.profile.overdispersion
    after, _ = feed(observe_both, baseline, stream(baseline.at, 30 * HOUR_S, per_tick=0))
    assert after.profile.overdispersion <= before
