"""
Latency: the geometric mean of successful attempts has risen, in 5, 30 or 120 minutes.

On a logarithmic scale "twice as slow" is the same step for a fast webhook and a slow one, and latencies are nearly
normally distributed. Only a rise is an anomaly, from ``MIN_RISE_MS`` on.
"""

from __future__ import annotations

from math import exp, log

import msgspec

from monitor.domain.anomaly import mean_baseline
from monitor.domain.anomaly.episode import (
    Deviation,
    Episode,
    current_verdict,
    format_duration,
    learning_mode,
    learning_verdict,
    update_episode,
)
from monitor.domain.anomaly.mean_baseline import MeanBaseline, ShiftCriteria, start_mean_baseline
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.monitoring.metrics import MIN_LATENCY_MS
from monitor.domain.vocab import Severity

MIN_RISE_MS = 5.0
"""Rise of the geometric mean below which no anomaly opens."""

MIN_LOG_SD = 0.05
CRITICAL_FACTOR = 4.0


class LatencyBaseline(msgspec.Struct, frozen=True):
    """Baseline of the latency of successful attempts. ``log_latency`` holds natural logarithms of milliseconds."""

    at: float
    started_at: float
    log_latency: MeanBaseline
    responses: int = 0
    episode: Episode | None = None


def start_latency_baseline(at: float) -> LatencyBaseline:
    """Return the baseline of a webhook first observed at *at* (Unix seconds)."""
    return LatencyBaseline(at=at, started_at=at, log_latency=start_mean_baseline(at))


def latency_shift_criteria(policy: AnomalyPolicy) -> ShiftCriteria:
    """Return the criteria for logarithms of latencies."""
    return ShiftCriteria(min_sd=MIN_LOG_SD, min_shift=log(policy.min_slowdown), p_open=policy.p_latency)


def observe_latency(
    baseline: LatencyBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[LatencyBaseline, Verdict]:
    """Add *sample* and compare the windows with the baseline."""
    at = max(sample.at, baseline.at)
    has_learned = baseline.responses >= policy.learn_attempts or (
        at - baseline.started_at >= policy.learn_s and baseline.responses >= mean_baseline.CLIP_AFTER_VALUES
    )
    if sample.at > baseline.at:
        baseline = _add_sample(baseline, sample, has_learned, policy)
        if has_learned and (sample.latencies_ms or baseline.episode is not None):
            return _detect_shift(baseline, policy)
    if not has_learned:
        sentence = f"Learning what is normal: {baseline.responses} of {policy.learn_attempts} responses seen."
        return baseline, learning_verdict(Signal.LATENCY, at, sentence)
    return baseline, current_verdict(Signal.LATENCY, baseline.episode, at)


def _add_sample(baseline: LatencyBaseline, sample: Sample, has_learned: bool, policy: AnomalyPolicy) -> LatencyBaseline:
    mode = learning_mode(has_learned, baseline.episode, sample.at, policy)
    values = [(log(max(value_ms, MIN_LATENCY_MS)), times) for value_ms, times in sample.latencies_ms]
    log_latency = mean_baseline.add_values(
        baseline.log_latency, sample.at, values, mode, latency_shift_criteria(policy), policy
    )
    responses = baseline.responses
    if not has_learned:
        responses = min(responses + sum(times for _, times in values), policy.learn_attempts)
    return LatencyBaseline(sample.at, baseline.started_at, log_latency, responses, baseline.episode)


def _detect_shift(baseline: LatencyBaseline, policy: AnomalyPolicy) -> tuple[LatencyBaseline, Verdict]:
    criteria = latency_shift_criteria(policy)
    log_latency, before = baseline.log_latency, baseline.episode
    deviation = _deviation(log_latency, baseline.at, criteria)
    is_normal = before is not None and mean_baseline.has_recovered(log_latency, criteria)
    episode, verdict = update_episode(Signal.LATENCY, before, baseline.at, deviation, is_normal, policy)
    if before is None and episode is not None:
        log_latency = mean_baseline.open_episode(log_latency)
    elif before is not None and episode is None:
        is_burst = baseline.at - before.opened_at <= policy.burst_s
        log_latency = mean_baseline.close_episode(log_latency, baseline.at, is_burst)
    return msgspec.structs.replace(baseline, log_latency=log_latency, episode=episode), verdict


def _deviation(log_latency: MeanBaseline, at: float, criteria: ShiftCriteria) -> Deviation | None:
    shift = mean_baseline.largest_shift(log_latency, criteria)
    if shift is None or not mean_baseline.is_anomalous(log_latency, shift, criteria):
        return None
    usual_offset = log_latency.usual_offset(at)
    observed, expected = exp(shift.mean + usual_offset), exp(log_latency.mean + usual_offset)
    if observed - expected < MIN_RISE_MS:
        return None
    factor = observed / expected
    severity = Severity.CRITICAL if factor >= CRITICAL_FACTOR else Severity.WARNING
    took = f"Responses took {observed:.0f} ms in {format_duration(shift.window_s)}"
    # Values are clipped, so far beyond normal the measured rise is a lower bound.
    is_clipped = shift.mean - log_latency.mean > (mean_baseline.CLIP_SD - 1) * log_latency.sd(criteria)
    times = f"over {factor:.1f} times" if is_clipped else f"{factor:.1f} times"
    sentence = f"{took}, {times} the normal {expected:.0f} ms."
    return Deviation(Evidence(observed, expected, shift.n, shift.window_s, shift.p_value), severity, sentence)
