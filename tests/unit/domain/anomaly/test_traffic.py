"""Volume and silence, and the hour-of-the-week profile beneath them."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi, sin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import AnomalyPolicy, Sample, State, Verdict, traffic, volume
from monitor.domain.anomaly import no_data as silence
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY, feed, stream


def settled(per_tick: int = 1, tick_s: float = 60.0, days: int = 3) -> traffic.TrafficBaseline:
    samples = stream(MONDAY, days * DAY_S, per_tick=per_tick, tick_s=tick_s)
    return feed(observe_both, traffic.start(MONDAY), samples)[0]


def observe_both(baseline: traffic.TrafficBaseline, sample: Sample) -> tuple[traffic.TrafficBaseline, Verdict]:
    """Judge by both signals; return silence's verdict."""
    baseline, _ = volume.observe(baseline, sample)
    return silence.observe(baseline, sample)


def states(verdicts: list[Verdict]) -> list[State]:
    return [verdict.state for verdict in verdicts]


def waves(days: int, *, weekend: float = 1.0) -> Iterator[Sample]:
    """Yield five-minute samples whose volume swings by 80 % over the day."""
    for number in range(days * 288):
        at = MONDAY + (number + 1) * 300.0
        factor = weekend if number // 288 % 7 >= 5 else 1.0
        attempts = round(factor * 20 * (1 + 0.8 * sin(2 * pi * at / DAY_S)))
        yield Sample(at=at, attempts=attempts)


def test_it_is_learning_until_each_hour_of_the_day_was_seen() -> None:
    _, verdicts = feed(volume.observe, traffic.start(MONDAY), stream(MONDAY, 2 * DAY_S, tick_s=600.0))
    assert set(states(verdicts)[: 24 * 6]) == {State.LEARNING}
    assert set(states(verdicts)[26 * 6 :]) == {State.NORMAL}
    assert "hours seen" in verdicts[0].sentence


def test_a_daily_cycle_is_normal() -> None:
    for observe in (volume.observe, silence.observe):
        _, verdicts = feed(observe, traffic.start(MONDAY), waves(5))
        assert set(states(verdicts)) == {State.LEARNING, State.NORMAL}


def test_the_hour_of_the_week_is_learned_after_weeks() -> None:
    baseline, _ = feed(volume.observe, traffic.start(MONDAY), waves(21, weekend=0.2))
    profile = baseline.profile
    saturday_noon = round((MONDAY + 26 * DAY_S) / HOUR_S) + 6
    wednesday_noon = saturday_noon - 3 * 24
    assert traffic.expected_count(profile, wednesday_noon) == pytest.approx(12 * 36, rel=0.2)
    assert traffic.expected_count(profile, saturday_noon) < 0.6 * traffic.expected_count(profile, wednesday_noon)


def test_a_surge_is_told_and_ends() -> None:
    baseline = settled()
    baseline, verdicts = feed(volume.observe, baseline, stream(baseline.at, HOUR_S, per_tick=10))
    opened = verdicts[states(verdicts).index(State.OPENED)]
    assert opened.severity == "info"
    assert opened.evidence is not None
    assert opened.evidence.observed > 2 * opened.evidence.expected
    _, verdicts = feed(volume.observe, baseline, stream(baseline.at, 3 * HOUR_S))
    assert states(verdicts).count(State.CLOSED) == 1


def test_a_drop_is_a_warning() -> None:
    baseline = settled(per_tick=5)
    _, verdicts = feed(volume.observe, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=1))
    opened = verdicts[states(verdicts).index(State.OPENED)]
    assert opened.severity == "warning"
    assert "is normal for this hour of the week" in opened.sentence


def test_silence_is_told_and_ends() -> None:
    baseline = settled()
    baseline, verdicts = feed(silence.observe, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=0))
    opened = verdicts[states(verdicts).index(State.OPENED)]
    assert opened.severity == "warning"
    assert "No attempts for" in opened.sentence
    assert verdicts[-1].severity == "critical"
    baseline, verdicts = feed(silence.observe, baseline, stream(baseline.at, HOUR_S))
    assert states(verdicts).count(State.CLOSED) == 1
    assert states(verdicts)[-1] is State.NORMAL
    assert baseline.longest_gap < 5, "an outage does not become the longest normal gap"


def test_an_hour_of_silence_is_not_told_as_low_volume() -> None:
    baseline = settled()
    _, verdicts = feed(volume.observe, baseline, stream(baseline.at + HOUR_S, 600, per_tick=0))
    assert set(states(verdicts)) == {State.NORMAL}


def test_the_hours_of_an_outage_are_not_learned() -> None:
    baseline = settled()
    before = baseline.profile
    after, _ = feed(observe_both, baseline, stream(baseline.at, 5 * HOUR_S, per_tick=0))
    assert after.silence is not None
    assert after.profile.level.mean == pytest.approx(before.level.mean, rel=0.06)


def test_a_webhook_with_long_pauses_must_be_silent_for_longer() -> None:
    """Ten attempts at once each two hours: its own gap is 20 expected attempts, so 20 missed ones are normal."""
    clumps = (Sample(at=MONDAY + (n + 1) * 600.0, attempts=10 if n % 12 == 0 else 0) for n in range(6 * 24 * 6))
    _, verdicts = feed(observe_both, traffic.start(MONDAY), clumps)
    assert set(states(verdicts)) == {State.LEARNING, State.NORMAL}


def test_held_time_is_no_silence_and_no_drop() -> None:
    baseline = settled()
    samples = [Sample(at=baseline.at + (n + 1) * 60.0, held=True) for n in range(300)]
    for observe in (volume.observe, silence.observe):
        after, verdicts = feed(observe, baseline, iter(samples))
        assert set(states(verdicts)) == {State.NORMAL}
        assert after.profile.level.mean == pytest.approx(baseline.profile.level.mean, rel=0.05)


def test_a_held_webhook_keeps_what_is_open() -> None:
    baseline = settled()
    for observe in (volume.observe, silence.observe):
        per_tick = 10 if observe is volume.observe else 0
        opened, _ = feed(observe, baseline, stream(baseline.at, 2 * HOUR_S, per_tick=per_tick))
        samples = iter([Sample(at=opened.at + (n + 1) * 60.0, held=True) for n in range(60)])
        _, verdicts = feed(observe, opened, samples)
        assert set(states(verdicts)) == {State.OPEN}


def test_time_that_nobody_watched_is_no_silence() -> None:
    baseline = settled()
    baseline, verdict = silence.observe(baseline, Sample(at=baseline.at + DAY_S))
    assert verdict.state is State.NORMAL
    assert baseline.gap == 0.0
    _, verdict = volume.observe(baseline, Sample(at=baseline.at + 60.0, attempts=500))
    assert verdict.state is State.NORMAL


def test_the_second_attempt_of_a_dormant_webhook_is_no_surge() -> None:
    baseline = settled(per_tick=0, tick_s=600.0)
    _, verdicts = feed(volume.observe, baseline, stream(baseline.at, 6 * HOUR_S, tick_s=600.0))
    assert State.OPENED not in states(verdicts)


def test_repeats_change_nothing_and_tell_the_state() -> None:
    fresh, known = traffic.start(MONDAY), settled()
    for observe in (volume.observe, silence.observe):
        old = Sample(at=MONDAY - 60.0, attempts=10**6)
        assert observe(fresh, old) == (fresh, observe(fresh, old)[1])
        assert observe(fresh, old)[1].state is State.LEARNING
        again = Sample(at=known.at - 60.0, attempts=10**6)
        assert observe(known, again)[0] == known
        assert observe(known, msgspec.structs.replace(again, attempts=0))[1].state is State.NORMAL


@given(st.lists(st.tuples(st.integers(1, 899), st.integers(0, 30)), max_size=80))
def test_volume_and_silence_may_see_a_sample_in_either_order(moves: list[tuple[int, int]]) -> None:
    """The shared baseline counts a sample once, whichever signal sees it first."""
    one, other = traffic.start(MONDAY), traffic.start(MONDAY)
    at = MONDAY
    for wait_s, attempts in moves:
        at += wait_s
        sample = Sample(at=at, attempts=attempts)
        one = silence.observe(volume.observe(one, sample)[0], sample)[0]
        other = volume.observe(silence.observe(other, sample)[0], sample)[0]
    assert one == other


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_the_profile_is_the_mean_of_whole_hours(counts: list[int]) -> None:
    """Streaming equals batch: without fading, the level is the mean count of the hours watched from end to end."""
    policy = AnomalyPolicy(half_life_s=1e18, p_volume=0.0)
    baseline = traffic.start(MONDAY)
    for number, attempts in enumerate(counts):
        baseline, _ = volume.observe(baseline, Sample(at=MONDAY + number * 600.0 + 1.0, attempts=attempts), policy)
    hours = [sum(counts[i : i + 6]) for i in range(6, len(counts) - 6, 6)]
    assert baseline.hours_seen == len(hours)
    assert baseline.profile.level.mean == pytest.approx(sum(hours) / max(len(hours), 1))
