"""
Latency tail: too many answers are slower than the baseline's 95th percentile, in 5, 30 or 120 minutes.

The mean misses one slow server of ten; the share of slow answers does not. The percentile follows the stream by
stochastic approximation (Robbins, Monro 1951, *Ann. Math. Statist.* 22:400) and only has to be near: the share above it
is learned like a failure rate, so it need not be five percent.
"""

from __future__ import annotations

from math import exp, log, sqrt

import msgspec

from monitor.domain.anomaly.episode import Alarm, Episode, duration, is_frozen, judge, learning, standing
from monitor.domain.anomaly.latency import FLOOR_MS, LEAST_LOG_SD, LEAST_MS
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import (
    Excess,
    Mode,
    Proportion,
    closed,
    count,
    is_calm,
    opened,
    start_proportion,
    suspect,
)
from monitor.domain.vocab import Severity

SLOW = 0.05
NORMAL_P95 = 1.645
"""Standard deviations from the mean to the 95th percentile of a normal law."""

DENSITY = 0.103
"""Density of the standard normal law there: how the share above changes with the threshold."""

FIRST_GUESS = 30
"""Answers whose mean and spread give the first threshold."""

LEAST_GAIN = 0.0005
"""The threshold follows at least this much of each answer's error, about two thousand answers back."""

MARGIN = 0.05
"""Answers count as slow when they are this much (in logarithms) above the percentile. The percentile of a constant
series hunts around its value by half as much."""


class TailBaseline(msgspec.Struct, frozen=True):
    """
    What is normal for a webhook's slow answers. ``slow_log`` is the logarithm of the threshold in milliseconds.

    ``mean`` and ``squares`` (sum of squared distances) are those of the first ``guessed_from`` logarithms.
    """

    at: float
    started_at: float
    share: Proportion
    answers: int = 0
    guessed_from: int = 0
    mean: float = 0.0
    squares: float = 0.0
    slow_log: float = 0.0
    episode: Episode | None = None


def start(at: float) -> TailBaseline:
    """Return the baseline of a webhook first seen at *at* (Unix seconds)."""
    return TailBaseline(at=at, started_at=at, share=start_proportion(at, SLOW))


def observe(
    baseline: TailBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[TailBaseline, Verdict]:
    """
    Take in *sample* and judge it.

    A sample that is not newer than *baseline* changes nothing and opens nothing; its verdict tells the present state.
    """
    at = max(sample.at, baseline.at)
    known = baseline.answers >= policy.learn_attempts or (
        at - baseline.started_at >= policy.learn_s and baseline.guessed_from >= FIRST_GUESS
    )
    if sample.at > baseline.at:
        baseline = _take(baseline, sample, known, policy)
        if known and (sample.latencies_ms or baseline.episode is not None):
            return _judge(baseline, policy)
    if not known:
        sentence = f"Learning what is normal: {baseline.answers} of {policy.learn_attempts} answers seen."
        return baseline, learning(Signal.LATENCY_TAIL, at, sentence)
    return baseline, standing(Signal.LATENCY_TAIL, baseline.episode, at)


def _take(baseline: TailBaseline, sample: Sample, known: bool, policy: AnomalyPolicy) -> TailBaseline:
    mode: Mode = "watching" if known else "learning"
    if is_frozen(baseline.episode, sample.at, policy):
        mode = "frozen"
    values = [(log(max(value_ms, FLOOR_MS)), times) for value_ms, times in sample.latencies_ms]
    if baseline.guessed_from < FIRST_GUESS:
        baseline = _guess(baseline, values)
        values = []
    n = sum(times for _, times in values)
    slow = sum(times for value, times in values if value > baseline.slow_log + MARGIN)
    slow_log = baseline.slow_log
    if n and mode != "frozen":
        above = sum(times for value, times in values if value > slow_log)
        sd = max(sqrt(max(baseline.squares, 0.0) / baseline.guessed_from), LEAST_LOG_SD)
        gain = min(n * max(1 / (baseline.share.n + FIRST_GUESS), LEAST_GAIN), 1.0)
        slow_log += gain * (above / n - SLOW) * sd / DENSITY
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        share=count(baseline.share, sample.at, n, slow, mode, policy),
        answers=min(baseline.answers + n, policy.learn_attempts),
        slow_log=slow_log,
    )


def _guess(baseline: TailBaseline, values: list[tuple[float, int]]) -> TailBaseline:
    """Place the first threshold where a normal law of the same mean and spread would have it."""
    n, mean, squares = baseline.guessed_from, baseline.mean, baseline.squares
    for value, times in values:
        n += times
        off = value - mean
        mean += off * times / n
        squares += times * off * (value - mean)
    slow_log = mean + NORMAL_P95 * sqrt(max(squares, 0.0) / n) if n else 0.0
    return msgspec.structs.replace(baseline, guessed_from=n, mean=mean, squares=squares, slow_log=slow_log)


def _alarm(baseline: TailBaseline, worst: Excess | None) -> Alarm | None:
    slow_ms = exp(baseline.slow_log + MARGIN)
    if worst is None or slow_ms < LEAST_MS:
        return None
    ratio, normal = worst.k / worst.n, baseline.share.mean
    sentence = (
        f"{worst.k} of {worst.n} answers in {duration(worst.window_s)} took over {slow_ms:.0f} ms ({ratio:.1%}); "
        f"{normal:.1%} is normal."
    )
    return Alarm(Evidence(ratio, normal, worst.n, worst.window_s, worst.p_value), Severity.WARNING, sentence)


def _judge(baseline: TailBaseline, policy: AnomalyPolicy) -> tuple[TailBaseline, Verdict]:
    before = baseline.episode
    calm = before is not None and is_calm(baseline.share, policy)
    share, worst = suspect(baseline.share, baseline.at, policy)
    episode, verdict = judge(Signal.LATENCY_TAIL, before, baseline.at, _alarm(baseline, worst), calm, policy)
    if before is None and episode is not None:
        share = opened(share)
    elif before is not None and episode is None:
        share = closed(share, baseline.at, baseline.at - before.opened_at <= policy.burst_s)
    return msgspec.structs.replace(baseline, share=share, episode=episode), verdict
