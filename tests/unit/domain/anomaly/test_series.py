"""Plain numeric series."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly import Point, Signal, State, score_series, series
from monitor.domain.errors import Invalid
from tests.unit.domain.anomaly.anomaly_streams import MONDAY, stream

values = st.floats(-1e9, 1e9)


def noise(n: int, seed: int = 1) -> list[tuple[float, float]]:
    """Return *n* five-minute values near 100."""
    samples = stream(MONDAY, n * 300.0, tick_s=300.0, median_ms=100.0, log_sd=0.02, fail_ratio=0.0, seed=seed)
    return [(sample.at, sample.latencies_ms[0][0]) for sample in samples]


@given(values, st.integers(1, 3_600))
def test_a_constant_series_is_never_anomalous(value: float, step_s: int) -> None:
    """Whatever the constant and the step, no verdict but LEARNING and NORMAL."""
    results = score_series((MONDAY + i * step_s, value) for i in range(320))
    assert {verdict.state for _, verdict in results} <= {State.LEARNING, State.NORMAL}


@given(st.lists(values, max_size=60), st.integers(0, 60))
def test_the_past_does_not_depend_on_the_future(series_: list[float], cut: int) -> None:
    """Streaming equals batch: the scores of a prefix are the prefix of the scores."""
    points = [(MONDAY + i * 1_800.0, value) for i, value in enumerate(series_)]
    assert list(score_series(points[:cut])) == list(score_series(points))[:cut]


@given(st.lists(st.tuples(st.floats(0, 1e9), values), max_size=80))
def test_any_order_of_times_gives_finite_scores(points: list[tuple[float, float]]) -> None:
    """Scores lie between 0 and 300 whatever comes."""
    for score, _ in score_series(points):
        assert 0 <= score <= series.HIGHEST_SCORE


@pytest.mark.parametrize("point", [(float("nan"), 1.0), (1.0, float("nan")), (1.0, float("inf"))])
def test_a_point_that_is_no_number_is_refused(point: tuple[float, float]) -> None:
    with pytest.raises(Invalid):
        list(score_series([point]))


@pytest.mark.parametrize("shift", [30.0, -30.0])
def test_a_step_is_found_in_both_directions(shift: float) -> None:
    points = noise(900)
    stepped = [(at, value + (shift if i >= 800 else 0)) for i, (at, value) in enumerate(points)]
    results = list(score_series(stepped))
    opened = [i for i, (_, verdict) in enumerate(results) if verdict.state is State.OPENED]
    assert opened
    assert 800 <= opened[0] <= 803
    assert results[opened[0]][1].signal is Signal.VALUE
    assert max(score for score, _ in results[:800]) < results[opened[0]][0]


def test_a_step_that_goes_back_closes() -> None:
    points = [(at, value + (30.0 if 500 <= i < 505 else 0)) for i, (at, value) in enumerate(noise(900))]
    states = [verdict.state for _, verdict in score_series(points)]
    assert states.count(State.OPENED) == states.count(State.CLOSED) == 1


def test_a_long_step_closes_too_and_leaves_no_trace() -> None:
    points = [(at, value + (30.0 if 500 <= i < 560 else 0)) for i, (at, value) in enumerate(noise(900))]
    states = [verdict.state for _, verdict in score_series(points)]
    assert states.count(State.OPENED) == states.count(State.CLOSED) == 1


def test_the_largest_score_is_finite() -> None:
    points = [(at, 100.0 if i < 300 else 1e12) for i, (at, _) in enumerate(noise(330))]
    assert 7 < max(score for score, _ in score_series(points)) <= series.HIGHEST_SCORE


def test_a_repeated_point_changes_nothing() -> None:
    baseline = series.start(MONDAY)
    for at, value in noise(300):
        baseline, _ = series.observe(baseline, Point(at, value))
    again, verdict = series.observe(baseline, Point(baseline.at, 1e9))
    assert again is baseline
    assert verdict.state is State.NORMAL
