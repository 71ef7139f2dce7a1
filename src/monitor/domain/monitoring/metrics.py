"""Mergeable latency histograms and rollups: minutes into hours, hours into days, webhooks into the whole system.

The histogram is a DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019, section 2): bucket *i* holds the latencies in
``(MIN_LATENCY_MS * g**(i - 1), MIN_LATENCY_MS * g**i]`` and stands for the one value with a relative error of
at most ``ACCURACY`` from everything in it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TypeVar

import msgspec

from monitor.domain.vocab import OK_LABEL

K = TypeVar("K", int, str)

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
"""Widths of the stored rollups, which start at whole minutes, hours and days, UTC."""

ACCURACY = 0.024
"""Relative error by construction. The promise is 0.025; the rest is room for floating-point rounding."""

MIN_LATENCY_MS = 0.1
"""Shorter latencies count as this: bucket 0."""

MAX_LATENCY_MS = 86_400_000.0
"""Longer latencies count as a day."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)

MAX_BUCKET = math.ceil(math.log(MAX_LATENCY_MS / MIN_LATENCY_MS) / _LOG_GAMMA)
"""Highest bucket; 429, so an index fits PostgreSQL's smallint."""

_RANK_SLACK = 1 - 1e-12
"""Undoes the rounding that would turn rank 7 of ``0.07 * 100 == 7.000000000000001`` into 8."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)

_SUM_GRAIN = 1024
"""Latencies are summed in multiples of 1/1024 ms: such float sums are exact below 2**43 ms, so merging is
associative to the last bit."""


class Histogram(msgspec.Struct, frozen=True):
    """Sparse latency counts: ``indexes`` strictly ascending in [0, MAX_BUCKET], ``counts`` positive and parallel to
    these. The default is empty, and the identity of :func:`merge_histograms`.
    """

    indexes: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, latencies_ms: Iterable[float]) -> Histogram:
        """
        Count *latencies_ms*.

        Raises:
            ValueError: one is negative, infinite or NaN.
        """
        buckets: dict[int, int] = {}
        for latency_ms in latencies_ms:
            index = bucket_of(latency_ms)
            buckets[index] = buckets.get(index, 0) + 1
        return _histogram(buckets)

    @property
    def total(self) -> int:
        return sum(self.counts)


class Rollup(msgspec.Struct, frozen=True):
    """Aggregate of attempts. ``errors`` counts the failures by :attr:`Outcome.label`, so its values sum to
    ``failures``. ``histogram`` and ``latency_sum_ms`` cover the successful attempts: a refused connection takes no time
    and a timeout the longest, so that failures would hide how long the receiver takes. ``failed_latency_sum_ms`` covers
    the failed ones. The default is empty, and the identity of :func:`merge_rollups`.
    """

    attempts: int = 0
    failures: int = 0
    errors: dict[str, int] = {}
    histogram: Histogram = Histogram()
    latency_sum_ms: float = 0.0
    failed_latency_sum_ms: float = 0.0

    @property
    def latency_mean_ms(self) -> float | None:
        """``None`` without successful attempts."""
        successes = self.attempts - self.failures
        return self.latency_sum_ms / successes if successes else None

    @property
    def failed_latency_mean_ms(self) -> float | None:
        """``None`` without failed attempts."""
        return self.failed_latency_sum_ms / self.failures if self.failures else None


class RollupBuilder:
    """Aggregates attempts one by one, without a struct for each."""

    __slots__ = ("_attempts", "_buckets", "_errors", "_failed_grains", "_grains")

    def __init__(self) -> None:
        self._attempts = 0
        self._grains = 0
        self._failed_grains = 0
        self._errors: dict[str, int] = {}
        self._buckets: dict[int, int] = {}

    def add(self, label: str, latency_ms: float) -> None:
        """
        Count one attempt by its :attr:`Outcome.label`.

        Raises:
            ValueError: the latency is negative, infinite or NaN; nothing is counted then.
        """
        index = bucket_of(latency_ms)
        grains = round(min(latency_ms, MAX_LATENCY_MS) * _SUM_GRAIN)
        self._attempts += 1
        if label == OK_LABEL:
            self._buckets[index] = self._buckets.get(index, 0) + 1
            self._grains += grains
        else:
            self._errors[label] = self._errors.get(label, 0) + 1
            self._failed_grains += grains

    def add_all(self, label: str, latencies_ms: Sequence[float]) -> None:
        """Count attempts with the same label, as :meth:`add` one by one would, at half the cost for many."""
        buckets = Counter(map(bucket_of, latencies_ms))
        grains = sum([round(min(latency_ms, MAX_LATENCY_MS) * _SUM_GRAIN) for latency_ms in latencies_ms])
        self._attempts += len(latencies_ms)
        if label == OK_LABEL:
            _add_counts(self._buckets, buckets.items())
            self._grains += grains
        else:
            _add_counts(self._errors, [(label, len(latencies_ms))])
            self._failed_grains += grains

    def build(self) -> Rollup:
        """Return the rollup of the attempts so far; more may be added after it."""
        return Rollup(
            attempts=self._attempts,
            failures=sum(self._errors.values()),
            errors=dict(self._errors),
            histogram=_histogram(self._buckets),
            latency_sum_ms=self._grains / _SUM_GRAIN,
            failed_latency_sum_ms=self._failed_grains / _SUM_GRAIN,
        )


def bucket_of(latency_ms: float) -> int:
    """
    Return the bucket of *latency_ms*, in [0, MAX_BUCKET]; both ends are open-ended.

    Raises:
        ValueError: negative, infinite or NaN.
    """
    if not 0 <= latency_ms < math.inf:
        raise ValueError(f"a latency is a finite number of milliseconds from 0 up, not {latency_ms}")
    if latency_ms <= MIN_LATENCY_MS:
        return 0
    if latency_ms >= MAX_LATENCY_MS:
        return MAX_BUCKET
    return math.ceil(math.log(latency_ms / MIN_LATENCY_MS) / _LOG_GAMMA)


def bucket_value(index: int) -> float:
    """Return the milliseconds that stand for bucket *index*: within ``ACCURACY`` of everything in it, save that
    bucket 0 has its upper end and the last one is open-ended.
    """
    if index == 0:
        return MIN_LATENCY_MS
    return float(MIN_LATENCY_MS * 2 * _GAMMA**index / (_GAMMA + 1))


def merge_histograms(*histograms: Histogram) -> Histogram:
    """Return the histogram of all their samples together. Associative and commutative; of none it is empty."""
    buckets: dict[int, int] = {}
    for histogram in histograms:
        _add_counts(buckets, zip(histogram.indexes, histogram.counts, strict=True))
    return _histogram(buckets)


def merge_rollups(*rollups: Rollup) -> Rollup:
    """Return the rollup of all their attempts together. Associative and commutative; of none it is empty."""
    errors: dict[str, int] = {}
    for rollup in rollups:
        _add_counts(errors, rollup.errors.items())
    return Rollup(
        attempts=sum(r.attempts for r in rollups),
        failures=sum(r.failures for r in rollups),
        errors=errors,
        histogram=merge_histograms(*(r.histogram for r in rollups)),
        latency_sum_ms=sum((r.latency_sum_ms for r in rollups), 0.0),
        failed_latency_sum_ms=sum((r.failed_latency_sum_ms for r in rollups), 0.0),
    )


def percentile(histogram: Histogram, q: float) -> float | None:
    """
    Return the nearest-rank percentile in milliseconds, within 2.5 % of the exact one.

    Args:
        q: in [0, 1]; 0.95 for p95. 0 is the smallest sample, 1 the largest.

    Returns:
        ``None`` for an empty histogram.

    Raises:
        ValueError: *q* is outside [0, 1].
    """
    return percentiles(histogram, q)[0]


def percentiles(histogram: Histogram, *qs: float) -> list[float | None]:
    """Return :func:`percentile` for each of *qs*, in one pass over the counts."""
    if not all(0 <= q <= 1 for q in qs):
        raise ValueError(f"a quantile lies between 0 and 1, not {qs}")
    reached = list(accumulate(histogram.counts))
    if not reached or not reached[-1]:
        return [None] * len(qs)
    ranks = (max(math.ceil(q * reached[-1] * _RANK_SLACK), 1) for q in qs)
    return [bucket_value(histogram.indexes[bisect_left(reached, rank)]) for rank in ranks]


def unit_s(step_s: int) -> int:
    """Return the width of the widest rollups that divide steps of *step_s* seconds."""
    return next((unit for unit in (DAY_S, HOUR_S) if step_s % unit == 0), MINUTE_S)


def whole_units(from_at: datetime, to_at: datetime, step_s: int) -> tuple[datetime, datetime]:
    """
    Widen ``[from_at, to_at)``, both aware, to the resolution of the rollups for steps of *step_s* seconds.

    Returns:
        Whole days or hours, UTC, if the steps consist of these; else the range unchanged. It ends no later than
        ``datetime.max``.
    """
    unit = timedelta(seconds=unit_s(step_s))
    if unit.total_seconds() == MINUTE_S:
        return from_at, to_at
    end = to_at + (_EPOCH - to_at) % unit if to_at <= _LAST - unit else _LAST
    return from_at - (from_at - _EPOCH) % unit, end


def _add_counts(into: dict[K, int], pairs: Iterable[tuple[K, int]]) -> None:
    for key, count in pairs:
        into[key] = into.get(key, 0) + count


def _histogram(buckets: dict[int, int]) -> Histogram:
    indexes = tuple(sorted(buckets))
    return Histogram(indexes, tuple(buckets[index] for index in indexes))
