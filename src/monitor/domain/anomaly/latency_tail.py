"""
Latency tail: too many responses are slower than the baseline's 95th percentile, in 5, 30 or 120 minutes.

The mean misses one slow server of ten; the proportion of slow responses does not. The percentile follows the stream by
stochastic approximation (Robbins, Monro 1951, *Ann. Math. Statist.* 22:400) and may be inexact: the proportion above it
is learned like a failure rate, so it need not be five percent.
"""

from __future__ import annotations

from math import exp, log, sqrt

import msgspec

from monitor.domain.anomaly.episode import (
    Deviation,
    Episode,
    current_verdict,
    format_duration,
    learning_mode,
    learning_verdict,
    update_episode,
)
from monitor.domain.anomaly.latency import MIN_LOG_SD, MIN_RISE_MS
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import (
    Excess,
    Proportion,
    add_attempts,
    close_episode,
    find_sustained_excess,
    has_recovered,
    open_episode,
    start_proportion,
)
from monitor.domain.monitoring.metrics import MIN_LATENCY_MS
from monitor.domain.vocab import Severity

TAIL_RATIO = 0.05
P95_Z = 1.645
"""Standard deviations from the mean to the 95th percentile of a normal law."""

P95_DENSITY = 0.103
"""Density of the standard normal law there: how the proportion above changes with the threshold."""

INITIAL_RESPONSES = 30
"""Responses whose mean and standard deviation give the first threshold."""

MIN_GAIN = 0.0005
"""Minimum step of the approximation for one response: a memory of about two thousand responses."""

LOG_MARGIN = 0.05
"""A response counts as slow when it is this much (in logarithms) above the percentile. The percentile of a constant
series oscillates around its value by half as much."""


class LatencyTailBaseline(msgspec.Struct, frozen=True):
    """
    Baseline of the proportion of slow responses: those above ``log_threshold``, the logarithm of milliseconds.

    ``mean`` and ``squares`` (sum of squared distances) are those of the first ``initial_responses`` logarithms.
    """

    at: float
    started_at: float
    proportion: Proportion
    responses: int = 0
    initial_responses: int = 0
    mean: float = 0.0
    squares: float = 0.0
    log_threshold: float = 0.0
    episode: Episode | None = None


def start_latency_tail_baseline(at: float) -> LatencyTailBaseline:
    """Return the baseline of a webhook first observed at *at* (Unix seconds)."""
    return LatencyTailBaseline(at=at, started_at=at, proportion=start_proportion(at, TAIL_RATIO))


def observe_latency_tail(
    baseline: LatencyTailBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[LatencyTailBaseline, Verdict]:
    """Add *sample* and compare the windows with the baseline."""
    at = max(sample.at, baseline.at)
    has_learned = baseline.responses >= policy.learn_attempts or (
        at - baseline.started_at >= policy.learn_s and baseline.initial_responses >= INITIAL_RESPONSES
    )
    if sample.at > baseline.at:
        baseline = _add_sample(baseline, sample, has_learned, policy)
        if has_learned and (sample.latencies_ms or baseline.episode is not None):
            return _detect_excess(baseline, policy)
    if not has_learned:
        sentence = f"Learning what is normal: {baseline.responses} of {policy.learn_attempts} responses seen."
        return baseline, learning_verdict(Signal.LATENCY_TAIL, at, sentence)
    return baseline, current_verdict(Signal.LATENCY_TAIL, baseline.episode, at)


def _add_sample(
    baseline: LatencyTailBaseline, sample: Sample, has_learned: bool, policy: AnomalyPolicy
) -> LatencyTailBaseline:
    mode = learning_mode(has_learned, baseline.episode, sample.at, policy)
    values = [(log(max(value_ms, MIN_LATENCY_MS)), times) for value_ms, times in sample.latencies_ms]
    if baseline.initial_responses < INITIAL_RESPONSES:
        baseline = _set_initial_threshold(baseline, values)
        values = []
    n = sum(times for _, times in values)
    slow = sum(times for value, times in values if value > baseline.log_threshold + LOG_MARGIN)
    log_threshold = baseline.log_threshold
    if n and mode != "frozen":
        above = sum(times for value, times in values if value > log_threshold)
        sd = max(sqrt(max(baseline.squares, 0.0) / baseline.initial_responses), MIN_LOG_SD)
        gain = min(n * max(1 / (baseline.proportion.n + INITIAL_RESPONSES), MIN_GAIN), 1.0)
        log_threshold += gain * (above / n - TAIL_RATIO) * sd / P95_DENSITY
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        proportion=add_attempts(baseline.proportion, sample.at, n, slow, mode, policy),
        responses=min(baseline.responses + n, policy.learn_attempts),
        log_threshold=log_threshold,
    )


def _set_initial_threshold(baseline: LatencyTailBaseline, values: list[tuple[float, int]]) -> LatencyTailBaseline:
    """Set the first threshold to the percentile of a normal law with the mean and deviation so far."""
    n, mean, squares = baseline.initial_responses, baseline.mean, baseline.squares
    for value, times in values:
        n += times
        off = value - mean
        mean += off * times / n
        squares += times * off * (value - mean)
    log_threshold = mean + P95_Z * sqrt(max(squares, 0.0) / n) if n else 0.0
    return msgspec.structs.replace(
        baseline, initial_responses=n, mean=mean, squares=squares, log_threshold=log_threshold
    )


def _deviation(baseline: LatencyTailBaseline, worst: Excess | None) -> Deviation | None:
    slow_ms = exp(baseline.log_threshold + LOG_MARGIN)
    if worst is None or slow_ms < MIN_RISE_MS:
        return None
    ratio, normal = worst.k / worst.n, baseline.proportion.mean
    took = f"{worst.k} of {worst.n} responses in {format_duration(worst.window_s)} took over {slow_ms:.0f} ms"
    sentence = f"{took} ({ratio:.1%}); {normal:.1%} is normal."
    return Deviation(Evidence(ratio, normal, worst.n, worst.window_s, worst.p_value), Severity.WARNING, sentence)


def _detect_excess(baseline: LatencyTailBaseline, policy: AnomalyPolicy) -> tuple[LatencyTailBaseline, Verdict]:
    before = baseline.episode
    is_normal = before is not None and has_recovered(baseline.proportion, policy)
    proportion, worst = find_sustained_excess(baseline.proportion, baseline.started_at, baseline.at, policy)
    deviation = _deviation(baseline, worst)
    episode, verdict = update_episode(Signal.LATENCY_TAIL, before, baseline.at, deviation, is_normal, policy)
    if before is None and episode is not None:
        proportion = open_episode(proportion)
    elif before is not None and episode is None:
        proportion = close_episode(proportion, baseline.at, baseline.at - before.opened_at <= policy.burst_s)
    return msgspec.structs.replace(baseline, proportion=proportion, episode=episode), verdict
