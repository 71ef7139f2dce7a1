"""
Histogram of the times of responses, by method, route template and status.

Of our own, since that of the library makes a thousand objects each time that it is read, which a process of a group
does every second, and takes longer to count in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

Series = dict[str, list[float]]
"""By method, route and status, separated by spaces: the responses up to each bound and above the last one, and the sum
of the seconds."""

_LABELS = ("method", "route", "status")
_NAMES = (*map(floatToGoString, BOUNDS_S), "+Inf")


class RequestTimes:
    """The responses of one process, in ``series``."""

    def __init__(self) -> None:
        self.series: Series = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        key = f"{method} {route} {status}"
        counts = self.series.get(key)
        if counts is None:
            counts = self.series[key] = [0.0] * (len(BOUNDS_S) + 2)
        counts[bisect_left(BOUNDS_S, seconds)] += 1
        counts[-1] += seconds


def added(one: Mapping[str, list[float]], other: Mapping[str, list[float]]) -> Series:
    """Return the responses of both."""
    total = {key: [*counts] for key, counts in one.items()}
    for key, counts in other.items():
        before = total.get(key)
        total[key] = [*counts] if before is None else [a + b for a, b in zip(before, counts, strict=True)]
    return total


def request_metric(series: Mapping[str, list[float]]) -> Metric:
    """Return what is exposed of *series*."""
    metric = HistogramMetricFamily("monitor_http_request_seconds", "Time to answer, by route template", labels=_LABELS)
    for key, counts in series.items():
        buckets = zip(_NAMES, accumulate(counts[:-1]), strict=True)
        metric.add_metric(key.split(" "), [*buckets], sum_value=counts[-1])
    return metric
