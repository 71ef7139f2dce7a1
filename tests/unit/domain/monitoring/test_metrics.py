"""Histograms and rollups: mergeable, and true to 2.5 %."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.monitoring.metrics import (
    DAY_S,
    HOUR_S,
    MAX_BUCKET,
    MAX_LATENCY_MS,
    MIN_LATENCY_MS,
    MINUTE_S,
    Histogram,
    Rollup,
    RollupBuilder,
    bucket_of,
    bucket_value,
    merge_histograms,
    merge_rollups,
    percentile,
    percentiles,
    unit_s,
    whole_units,
)
from tests import strategies as our
from tests.samples import rollup_of

PROMISE = 0.025
MEASURABLE_MS = st.floats(MIN_LATENCY_MS, MAX_LATENCY_MS)
NOT_LATENCIES = [-0.001, -math.inf, math.inf, math.nan]


@given(MEASURABLE_MS)
def test_a_bucket_stands_for_its_samples_within_the_promise(latency_ms: float) -> None:
    """|bucket_value(bucket_of(x)) - x| <= 2.5 % of x, over the whole range."""
    assert abs(bucket_value(bucket_of(latency_ms)) - latency_ms) <= PROMISE * latency_ms


@pytest.mark.parametrize("index", range(MAX_BUCKET))
def test_a_bucket_is_the_home_of_its_own_value(index: int) -> None:
    assert bucket_of(bucket_value(index)) == index


@given(our.latencies_ms, our.latencies_ms)
def test_a_slower_attempt_is_never_in_a_lower_bucket(a: float, b: float) -> None:
    """bucket_of is monotone."""
    low, high = sorted((a, b))
    assert bucket_of(low) <= bucket_of(high)


def test_buckets_end_at_a_tenth_of_a_millisecond_and_at_a_day() -> None:
    assert [bucket_of(ms) for ms in (0, 0.05, MIN_LATENCY_MS)] == [0, 0, 0]
    assert [bucket_of(ms) for ms in (MAX_LATENCY_MS, MAX_LATENCY_MS * 100, 1e308)] == [MAX_BUCKET] * 3


def test_bucket_indexes_fit_a_smallint() -> None:
    assert MAX_BUCKET <= 32_767


@pytest.mark.parametrize("latency_ms", NOT_LATENCIES)
def test_what_is_not_a_latency_is_refused(latency_ms: float) -> None:
    with pytest.raises(ValueError, match="finite number of milliseconds"):
        bucket_of(latency_ms)
    with pytest.raises(ValueError, match="finite number of milliseconds"):
        Histogram.of([1.0, latency_ms])


@given(st.lists(MEASURABLE_MS, min_size=1, max_size=200), st.integers(0, 100))
def test_a_percentile_is_within_the_promise_of_the_exact_one(latencies_ms: list[float], percent: int) -> None:
    """|percentile(H(xs), p) - x[ceil(p * n)]| <= 2.5 % of x[ceil(p * n)], the nearest-rank percentile."""
    rank = max(-(-percent * len(latencies_ms) // 100), 1)
    exact = sorted(latencies_ms)[rank - 1]
    estimate = percentile(Histogram.of(latencies_ms), percent / 100)
    assert estimate is not None
    assert abs(estimate - exact) <= PROMISE * exact


def test_the_rank_is_not_pushed_up_by_float_rounding() -> None:
    """0.07 * 100 is 7.000000000000001 in floats; p7 of a hundred samples is still the seventh."""
    assert percentile(Histogram.of(float(10 * n) for n in range(1, 101)), 0.07) == pytest.approx(70, rel=PROMISE)


@given(our.histograms, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_percentile_is_never_a_shorter_time(histogram: Histogram, a: float, b: float) -> None:
    """percentile is monotone in q; and there is one for every q unless the histogram is empty."""
    low, high = (percentile(histogram, q) for q in sorted((a, b)))
    if low is None or high is None:
        assert histogram == Histogram()
    else:
        assert low <= high


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentile(Histogram(), 0.5) is None
    assert percentile(Histogram((3,), (0,)), 0.5) is None


@given(our.histograms, st.lists(st.floats(0, 1), max_size=4))
def test_percentiles_are_each_the_percentile(histogram: Histogram, qs: list[float]) -> None:
    """percentiles(H, *qs) == [percentile(H, q) for q in qs]."""
    assert percentiles(histogram, *qs) == [percentile(histogram, q) for q in qs]


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_a_quantile_outside_zero_to_one_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile(Histogram(), q)


@given(our.histograms, our.histograms, our.histograms)
def test_merging_histograms_is_associative_and_commutative(a: Histogram, b: Histogram, c: Histogram) -> None:
    """(a + b) + c == a + (b + c) == a + b + c in any order."""
    assert (
        merge_histograms(merge_histograms(a, b), c)
        == merge_histograms(a, merge_histograms(b, c))
        == merge_histograms(c, a, b)
    )


@given(our.histograms)
def test_the_empty_histogram_is_the_identity(histogram: Histogram) -> None:
    """a + 0 == 0 + a == a, and the merge of nothing is 0."""
    assert (
        merge_histograms(histogram, Histogram())
        == merge_histograms(Histogram(), histogram)
        == merge_histograms(histogram)
        == histogram
    )
    assert merge_histograms() == Histogram()


@given(st.lists(our.latencies_ms), st.lists(our.latencies_ms))
def test_merging_is_the_same_as_counting_everything_at_once(a: list[float], b: list[float]) -> None:
    """H(xs) + H(ys) == H(xs ++ ys), and no sample is lost."""
    merged = merge_histograms(Histogram.of(a), Histogram.of(b))
    assert merged == Histogram.of(a + b)
    assert merged.total == len(a) + len(b)


@given(our.rollups, our.rollups, our.rollups)
def test_merging_rollups_is_associative_and_commutative(a: Rollup, b: Rollup, c: Rollup) -> None:
    """(a + b) + c == a + (b + c) == a + b + c in any order, the sum of latencies to the last bit."""
    assert merge_rollups(merge_rollups(a, b), c) == merge_rollups(a, merge_rollups(b, c)) == merge_rollups(c, a, b)


@given(our.rollups)
def test_the_empty_rollup_is_the_identity(rollup: Rollup) -> None:
    """a + 0 == 0 + a == a, and the merge of nothing is 0."""
    assert merge_rollups(rollup, Rollup()) == merge_rollups(Rollup(), rollup) == merge_rollups(rollup) == rollup
    assert merge_rollups() == Rollup()


@given(our.samples, our.samples)
def test_rollups_of_parts_merge_into_the_rollup_of_the_whole(
    a: list[tuple[str, float]], b: list[tuple[str, float]]
) -> None:
    """R(xs) + R(ys) == R(xs ++ ys)."""
    assert merge_rollups(rollup_of(a), rollup_of(b)) == rollup_of(a + b)


@given(our.samples)
def test_a_rollup_counts_every_attempt_once(samples: list[tuple[str, float]]) -> None:
    """The histogram holds the successes, the errors the failures, and latencies add up to half a grain each."""
    rollup = rollup_of(samples)
    succeeded = [ms for label, ms in samples if label == "ok"]
    failed = [ms for label, ms in samples if label != "ok"]
    slack = len(samples) / 2_048 + 1e-6
    assert rollup.attempts == len(samples)
    assert rollup.histogram == Histogram.of(succeeded)
    assert rollup.failures == sum(rollup.errors.values()) == len(failed)
    assert rollup.latency_sum_ms == pytest.approx(sum(succeeded), abs=slack)
    assert rollup.failed_latency_sum_ms == pytest.approx(sum(failed), abs=slack)


def test_a_rollup_counts_errors_by_label_and_has_a_mean_latency() -> None:
    rollup = rollup_of([("ok", 10), ("503", 20), ("503", 30), ("timeout", 40)])
    assert (rollup.attempts, rollup.failures) == (4, 3)
    assert (rollup.latency_mean_ms, rollup.failed_latency_mean_ms) == (10, 30)
    assert rollup.errors == {"503": 2, "timeout": 1}


def test_refused_connections_do_not_hide_how_long_answers_take() -> None:
    rollup = rollup_of([("ok", 200.0)] * 10 + [("connect", 1.0)] * 30)
    assert percentile(rollup.histogram, 0.5) == pytest.approx(200, rel=0.025)


@pytest.mark.parametrize(
    ("attempts", "means"), [([], (None, None)), ([("ok", 1)], (1, None)), ([("dns", 1)], (None, 1))]
)
def test_without_attempts_of_a_kind_there_is_no_mean(
    attempts: list[tuple[str, float]], means: tuple[float | None, float | None]
) -> None:
    rollup = rollup_of(attempts)
    assert (rollup.latency_mean_ms, rollup.failed_latency_mean_ms) == means


@pytest.mark.parametrize("latency_ms", NOT_LATENCIES)
def test_a_refused_attempt_leaves_a_rollup_as_it_was(latency_ms: float) -> None:
    builder = RollupBuilder()
    builder.add("503", 12.5)
    with pytest.raises(ValueError, match="finite number of milliseconds"):
        builder.add("503", latency_ms)
    assert builder.build() == rollup_of([("503", 12.5)])


def test_a_built_rollup_does_not_change_when_the_builder_goes_on() -> None:
    builder = RollupBuilder()
    builder.add("503", 1.0)
    built = builder.build()
    builder.add("503", 1.0)
    assert built == rollup_of([("503", 1.0)])


def test_an_absurd_latency_counts_as_a_day() -> None:
    assert rollup_of([("timeout", 1e308)]).failed_latency_sum_ms == MAX_LATENCY_MS


@pytest.mark.parametrize(
    ("step_s", "unit"),
    [(60, MINUTE_S), (5_400, MINUTE_S), (3_600, HOUR_S), (90_000, HOUR_S), (86_400, DAY_S), (7 * 86_400, DAY_S)],
)
def test_steps_are_made_of_the_widest_rollups_that_fit(step_s: int, unit: int) -> None:
    assert unit_s(step_s) == unit


@given(our.instants, st.timedeltas(timedelta(seconds=1), timedelta(days=400)), st.sampled_from([HOUR_S, DAY_S]))
def test_a_range_is_widened_to_whole_units_and_no_further(from_at: datetime, length: timedelta, unit: int) -> None:
    """whole_units(a, b) encloses [a, b), ends at whole units, adds less than one to each side, and is idempotent."""
    to_at = from_at + length
    start, end = whole_units(from_at, to_at, unit)
    assert start <= from_at < to_at <= end
    assert max(from_at - start, end - to_at) < timedelta(seconds=unit)
    assert [at.timestamp() % unit for at in (start, end)] == [0, 0]
    assert whole_units(start, end, unit) == (start, end)


@given(our.instants, our.instants)
def test_a_range_in_minutes_stays_as_it_is(from_at: datetime, to_at: datetime) -> None:
    """whole_units is the identity for steps that are no whole hours."""
    assert whole_units(from_at, to_at, 300) == (from_at, to_at)


def test_a_range_is_not_widened_past_the_end_of_time() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert whole_units(last - timedelta(hours=1), last, DAY_S)[1] == last
