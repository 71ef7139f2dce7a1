"""Streams of samples for the anomaly tests: deterministic, so that a failing test fails again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import exp, log
from random import Random  # noqa: TID251 -- seeded, so the same dice every time
from typing import TypeVar

import msgspec

from monitor.domain.anomaly import Sample, Verdict
from monitor.domain.anomaly.tally import tally_of, to_sample

MONDAY = 4 * 86_400.0
DAY_S = 86_400.0
HOUR_S = 3_600.0

B = TypeVar("B")


def sample_of(at: float, attempts: Iterable[tuple[bool, float]]) -> Sample:
    """Return the sample of *attempts*, pairs ``(succeeded, latency_ms)`` in order, with their exact latencies."""
    made = list(attempts)
    latencies_ms = tuple((latency_ms, 1) for succeeded, latency_ms in made if succeeded)
    return msgspec.structs.replace(to_sample(tally_of(made), at, held=False), latencies_ms=latencies_ms)


def stream(
    at: float,
    length_s: float,
    *,
    per_tick: int = 1,
    tick_s: float = 60.0,
    fail_ratio: float = 0.01,
    median_ms: float = 100.0,
    slow_ratio: float = 0.0,
    log_sd: float = 0.4,
    seed: int = 1,
) -> Iterator[Sample]:
    """Yield a sample each tick after *at*; ``slow_ratio`` of the responses take ten times as long."""
    random = Random(seed)
    for number in range(round(length_s / tick_s)):
        attempts = []
        for _ in range(per_tick):
            latency_ms = exp(random.gauss(log(median_ms), log_sd))
            latency_ms *= 10 if random.random() < slow_ratio else 1
            attempts.append((random.random() >= fail_ratio, latency_ms))
        yield sample_of(at + (number + 1) * tick_s, attempts)


def feed(
    observe: Callable[[B, Sample], tuple[B, Verdict]], baseline: B, samples: Iterator[Sample]
) -> tuple[B, list[Verdict]]:
    """Fold *samples* into *baseline*; return it with all verdicts."""
    verdicts = []
    for sample in samples:
        baseline, verdict = observe(baseline, sample)
        verdicts.append(verdict)
    return baseline, verdicts
