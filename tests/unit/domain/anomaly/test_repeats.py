"""What repeats is normal: patterns of any shape, by the day and by the week. What departs from them is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.anomaly import Sample, SignalState
from monitor.domain.anomaly.no_data import observe_no_data
from monitor.domain.anomaly.traffic import TrafficBaseline, start_traffic_baseline
from monitor.domain.anomaly.volume import observe_volume
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, HOUR_S, MONDAY

TICK_S = 300.0
WEEK_S = 7 * DAY_S

Rate = Callable[[float], int]
"""Attempts in the five minutes from so many seconds after the Monday of the start."""


@dataclass(frozen=True)
class Span:
    """``attempts`` in each five minutes of ``length`` ticks from tick ``start`` of the period on."""

    start: int
    length: int
    attempts: int


def rate_of(spans: list[Span], background: int, period_s: float) -> Rate:
    def attempts(at: float) -> int:
        tick, ticks = int(at % period_s // TICK_S), int(period_s // TICK_S)
        return background + sum(span.attempts for span in spans if (tick - span.start) % ticks < span.length)

    return attempts


def spans_in(period_s: float) -> st.SearchStrategy[list[Span]]:
    ticks = int(period_s // TICK_S)
    lengths = st.one_of(st.integers(1, 8), st.integers(1, ticks // 2))
    return st.lists(st.builds(Span, st.integers(0, ticks - 1), lengths, st.integers(1, 500)), max_size=8)


def opened(
    rate: Rate, to_s: float, *, from_s: float = 0.0, baseline: TrafficBaseline | None = None
) -> tuple[TrafficBaseline, list[tuple[float, str]]]:
    """Return the baseline after the samples, and when which signal opened, in seconds since the start."""
    baseline, found = baseline or start_traffic_baseline(MONDAY), []
    for at in times(from_s, to_s):
        sample = Sample(at=MONDAY + at + TICK_S, attempts=rate(at))
        baseline, volume = observe_volume(baseline, sample)
        baseline, no_data = observe_no_data(baseline, sample)
        found += [(at, str(v.signal)) for v in (volume, no_data) if v.state is SignalState.OPENED]
    return baseline, found


@cache
def learned(rate: Rate, to_s: float) -> tuple[TrafficBaseline, tuple[tuple[float, str], ...]]:
    """What `opened` returns; weeks that several tests begin with are observed once."""
    baseline, found = opened(rate, to_s)
    return baseline, tuple(found)


def times(from_s: float, to_s: float) -> Iterator[float]:
    return (from_s + number * TICK_S for number in range(round((to_s - from_s) / TICK_S)))


def after(from_s: float, found: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(at, signal) for at, signal in found if at >= from_s]


NIGHT_JOB = rate_of([Span(24, 6, 150)], 0, DAY_S)
WORK = rate_of([Span(day * 288 + 108, 108, 50) for day in range(5)], 0, WEEK_S)


@given(spans_in(DAY_S), st.integers(0, 50))
@settings(deadline=None, max_examples=6)
def test_a_daily_pattern_of_any_shape_is_normal_after_two_days(spans: list[Span], background: int) -> None:
    """Whatever came on two days raises nothing on the next ones."""
    _, found = opened(rate_of(spans, background, DAY_S), 5 * DAY_S)
    assert after(2 * DAY_S, found) == []


@given(spans_in(WEEK_S), st.integers(0, 50))
@settings(deadline=None, max_examples=2)
def test_a_weekly_pattern_of_any_shape_is_normal_after_two_weeks(spans: list[Span], background: int) -> None:
    """Whatever came in two weeks raises nothing in the next ones."""
    _, found = opened(rate_of(spans, background, WEEK_S), 4 * WEEK_S)
    assert after(2 * WEEK_S, found) == []


@given(spans_in(DAY_S), st.integers(1, 287))
@settings(deadline=None, max_examples=2)
def test_a_daily_pattern_that_begins_later_is_normal_after_two_days(spans: list[Span], start: int) -> None:
    """A new daily pattern over steady traffic is learned in two days, whatever is open meanwhile."""
    begins_at = 9 * DAY_S + start * TICK_S
    pattern = rate_of(spans, 5, DAY_S)
    _, found = opened(lambda at: pattern(at) if at >= begins_at else 5, 14 * DAY_S)
    assert after(begins_at + 2 * DAY_S, found) == []


def test_a_job_that_does_not_come_is_found() -> None:
    baseline, _ = opened(NIGHT_JOB, 4 * DAY_S)
    _, found = opened(lambda _: 0, 5 * DAY_S, from_s=4 * DAY_S, baseline=baseline)
    assert [signal for _, signal in found] == ["no_data"]
    assert 2 * HOUR_S <= found[0][0] - 4 * DAY_S <= 2.5 * HOUR_S


def test_a_short_job_that_does_not_come_is_found_beside_other_traffic() -> None:
    rate = rate_of([Span(50, 1, 300)], 5, DAY_S)
    baseline, found = opened(rate, 4 * DAY_S)
    assert after(2 * DAY_S, found) == []
    _, found = opened(lambda _: 5, 5 * DAY_S, from_s=4 * DAY_S, baseline=baseline)
    assert [signal for _, signal in found] == ["volume"]


def test_a_job_at_another_time_is_a_surge() -> None:
    baseline, _ = opened(NIGHT_JOB, 4 * DAY_S)
    _, found = opened(
        lambda at: 150 if at % DAY_S >= 12 * HOUR_S else NIGHT_JOB(at), 4.6 * DAY_S, from_s=4 * DAY_S, baseline=baseline
    )
    assert found[0] == (4 * DAY_S + 12 * HOUR_S, "volume")


@given(st.integers(0, 4), st.integers(108, 180))
@settings(deadline=None, max_examples=2)
def test_a_silence_in_working_hours_is_found(day: int, tick: int) -> None:
    """A producer that stops in working hours is found, on a Monday as well, although Sundays are quiet."""
    begins_at = 3 * WEEK_S + day * DAY_S + tick * TICK_S
    baseline, _ = opened(WORK, begins_at, from_s=3 * WEEK_S, baseline=learned(WORK, 3 * WEEK_S)[0])
    _, found = opened(lambda _: 0, begins_at + HOUR_S, from_s=begins_at, baseline=baseline)
    first, *later = [signal for _, signal in found]
    assert first == "no_data"
    assert later in ([], ["volume"]), "the hour that ends in the silence may be a drop as well"


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize(("rate", "calm_from_s"), [(NIGHT_JOB, 2 * DAY_S), (WORK, 2 * WEEK_S)])
def test_a_change_of_clocks_is_calm_after_two_days(rate: Rate, calm_from_s: float, hours: int) -> None:
    changes_at = 4 * WEEK_S - DAY_S + HOUR_S
    baseline, before = learned(rate, changes_at)
    _, found = opened(lambda at: rate(at - hours * HOUR_S), 6 * WEEK_S, from_s=changes_at, baseline=baseline)
    calm = [at for at, _ in after(calm_from_s, [*before, *found]) if not changes_at <= at < changes_at + 2 * DAY_S]
    assert calm == []
    assert after(changes_at, found), "the first day by the new clock is unusual"


def test_an_outage_each_afternoon_becomes_normal() -> None:
    """Freezing keeps one outage from being learned, not what comes every day."""
    begins_at = 3 * DAY_S
    _, found = opened(lambda at: 0 if at >= begins_at and 14 <= at % DAY_S / HOUR_S < 17 else 20, 10 * DAY_S)
    assert [(int(at // DAY_S), signal) for at, signal in found] == [
        (day, signal) for day in (3, 4) for signal in ("no_data", "volume")
    ], "a drop stays open while nothing comes"


def test_a_single_outage_is_no_repeat() -> None:
    """After an outage on one afternoon, the same on the next one is found as fast."""
    times_s = []
    for outages in (1, 2):
        begins_at = 3 * DAY_S + 14 * HOUR_S
        baseline, _ = opened(lambda _: 20, begins_at)
        for number in range(outages):
            at = begins_at + number * DAY_S
            baseline, found = opened(lambda _: 0, at + 3 * HOUR_S, from_s=at, baseline=baseline)
            times_s.append(found[0][0] - at)
            baseline, _ = opened(lambda _: 20, at + DAY_S, from_s=at + 3 * HOUR_S, baseline=baseline)
    assert len(set(times_s)) == 1


def test_an_outage_of_days_is_not_the_longest_normal_gap() -> None:
    baseline, _ = opened(lambda _: 20, 3 * DAY_S)
    baseline, _ = opened(lambda _: 0, 5 * DAY_S, from_s=3 * DAY_S, baseline=baseline)
    baseline, _ = opened(lambda _: 20, 6 * DAY_S, from_s=5 * DAY_S, baseline=baseline)
    assert baseline.longest_gap < 20
