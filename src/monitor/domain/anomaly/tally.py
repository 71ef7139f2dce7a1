"""
Attempts of a webhook, counted between two evaluations.

Tallies form a monoid that keeps the order needed for runs of failures, so each settlement can add its own:
``merge_tallies(tally_of(a), tally_of(b)) == tally_of(a + b)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from monitor.domain.anomaly.model import Sample
from monitor.domain.monitoring.metrics import Histogram, bucket_value, merge_histograms


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """Members as in :class:`monitor.domain.anomaly.Sample`; ``latencies`` counts those of successes, by bucket."""

    attempts: int = 0
    failures: int = 0
    run_head: int = 0
    run_tail: int = 0
    longest_run: int = 0
    runs: int = 0
    latencies: Histogram = Histogram()


NO_ATTEMPTS = Tally()


def tally_of(attempts: Iterable[tuple[bool, float]]) -> Tally:
    """
    Add up *attempts*, pairs ``(succeeded, latency_ms)`` in chronological order.

    Raises:
        ValueError: the latency of a success is negative, infinite or NaN.
    """
    total = failures = run = head = longest = runs = 0
    latencies_ms: list[float] = []
    for succeeded, latency_ms in attempts:
        total += 1
        if succeeded:
            latencies_ms.append(latency_ms)
            run = 0
            continue
        failures += 1
        run += 1
        runs += run == 1
        head += failures == total
        longest = max(longest, run)
    return Tally(total, failures, head, run, longest, runs, Histogram.of(latencies_ms))


def tally_of_runs(failed: Sequence[bool], latencies: Histogram) -> Tally:
    """Add up attempts: *failed* holds, in their order, whether each failed; *latencies* are those of the others."""
    if not failed:
        return NO_ATTEMPTS
    runs = [len(list(run)) for did, run in groupby(failed) if did]
    return Tally(
        attempts=len(failed),
        failures=sum(runs),
        run_head=runs[0] if failed[0] else 0,
        run_tail=runs[-1] if failed[-1] else 0,
        longest_run=max(runs, default=0),
        runs=len(runs),
        latencies=latencies,
    )


def merge_tallies(first: Tally, then: Tally) -> Tally:
    """Return the tally of the attempts of *first* followed by those of *then*. Associative."""
    if not first.attempts or not then.attempts:
        return then if then.attempts else first
    joined = first.run_tail + then.run_head
    return Tally(
        attempts=first.attempts + then.attempts,
        failures=first.failures + then.failures,
        run_head=joined if first.failures == first.attempts else first.run_head,
        run_tail=joined if then.failures == then.attempts else then.run_tail,
        longest_run=max(first.longest_run, then.longest_run, joined),
        runs=first.runs + then.runs - (first.run_tail > 0 and then.run_head > 0),
        latencies=merge_histograms(first.latencies, then.latencies),
    )


def to_sample(tally: Tally, at: float, *, held: bool) -> Sample:
    """Return *tally* as the sample of time *at* (Unix seconds); see :class:`Sample` for *held*."""
    histogram = tally.latencies
    return Sample(
        at=at,
        attempts=tally.attempts,
        failures=tally.failures,
        run_head=tally.run_head,
        run_tail=tally.run_tail,
        longest_run=tally.longest_run,
        runs=tally.runs,
        latencies_ms=tuple(
            (bucket_value(index), count) for index, count in zip(histogram.indexes, histogram.counts, strict=True)
        ),
        held=held,
    )
