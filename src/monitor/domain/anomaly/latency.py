"""
Latency: the geometric mean of successful attempts has risen, in 5, 30 or 120 minutes.

Logarithms make "twice as slow" the same step for a fast webhook and a slow one, and latencies nearly normal. Only
slowness is an anomaly, and less than ``LEAST_MS`` of it is nobody's trouble.
"""

from __future__ import annotations

from math import exp, log

import msgspec

from monitor.domain.anomaly import mean_baseline as levels
from monitor.domain.anomaly.episode import Alarm, Episode, duration, is_frozen, judge, learning, standing
from monitor.domain.anomaly.mean_baseline import MeanBaseline, Rules, start_mean_baseline
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import Mode
from monitor.domain.vocab import Severity

LEAST_MS = 5.0
"""Rise of the geometric mean below which nothing is said."""

FLOOR_MS = 0.1
"""Latencies below count as this: their logarithm would tell about the clock."""

LEAST_LOG_SD = 0.05
CRITICAL_FACTOR = 4.0


class LatencyBaseline(msgspec.Struct, frozen=True):
    """What is normal for a webhook's latency. ``level`` holds natural logarithms of milliseconds."""

    at: float
    started_at: float
    level: MeanBaseline
    answers: int = 0
    episode: Episode | None = None


def start(at: float) -> LatencyBaseline:
    """Return the baseline of a webhook first seen at *at* (Unix seconds)."""
    return LatencyBaseline(at=at, started_at=at, level=start_mean_baseline(at))


def rules_of(policy: AnomalyPolicy) -> Rules:
    """Return how logarithms of latencies are judged under *policy*."""
    return Rules(least_sd=LEAST_LOG_SD, least_shift=log(policy.min_slowdown), p_open=policy.p_latency)


def observe(
    baseline: LatencyBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[LatencyBaseline, Verdict]:
    """
    Take in *sample* and judge it.

    A sample that is not newer than *baseline* changes nothing and opens nothing; its verdict tells the present state.
    """
    at = max(sample.at, baseline.at)
    known = baseline.answers >= policy.learn_attempts or (
        at - baseline.started_at >= policy.learn_s and baseline.answers >= levels.UNCLIPPED
    )
    if sample.at > baseline.at:
        baseline = _take(baseline, sample, known, policy)
        if known and (sample.latencies_ms or baseline.episode is not None):
            return _judge(baseline, policy)
    if not known:
        sentence = f"Learning what is normal: {baseline.answers} of {policy.learn_attempts} answers seen."
        return baseline, learning(Signal.LATENCY, at, sentence)
    return baseline, standing(Signal.LATENCY, baseline.episode, at)


def _take(baseline: LatencyBaseline, sample: Sample, known: bool, policy: AnomalyPolicy) -> LatencyBaseline:
    mode: Mode = "watching" if known else "learning"
    if is_frozen(baseline.episode, sample.at, policy):
        mode = "frozen"
    values = [(log(max(value_ms, FLOOR_MS)), times) for value_ms, times in sample.latencies_ms]
    level = levels.measure(baseline.level, sample.at, values, mode, rules_of(policy), policy)
    answers = baseline.answers
    if not known:
        answers = min(answers + sum(times for _, times in values), policy.learn_attempts)
    return LatencyBaseline(sample.at, baseline.started_at, level, answers, baseline.episode)


def _judge(baseline: LatencyBaseline, policy: AnomalyPolicy) -> tuple[LatencyBaseline, Verdict]:
    rules = rules_of(policy)
    alarm = _alarm(baseline.level, rules)
    before = baseline.episode
    calm = before is not None and levels.is_calm(baseline.level, rules)
    episode, verdict = judge(Signal.LATENCY, before, baseline.at, alarm, calm, policy)
    level = baseline.level
    if before is None and episode is not None:
        level = levels.opened(level)
    elif before is not None and episode is None:
        level = levels.closed(level, baseline.at, baseline.at - before.opened_at <= policy.burst_s)
    return msgspec.structs.replace(baseline, level=level, episode=episode), verdict


def _alarm(level: MeanBaseline, rules: Rules) -> Alarm | None:
    shift = levels.largest_shift(level, rules)
    if shift is None or not levels.is_anomalous(level, shift, rules):
        return None
    observed, expected = exp(shift.mean), exp(level.mean)
    if observed - expected < LEAST_MS:
        return None
    factor = observed / expected
    severity = Severity.CRITICAL if factor >= CRITICAL_FACTOR else Severity.WARNING
    took = f"Answers took {observed:.0f} ms in {duration(shift.window_s)}"
    # Values are clipped, so far beyond normal the measured rise is a lower bound.
    is_clipped = shift.mean - level.mean > (rules.clip_sd - 1) * level.sd(rules)
    times = f"over {factor:.1f} times" if is_clipped else f"{factor:.1f} times"
    sentence = f"{took}, {times} the normal {expected:.0f} ms."
    return Alarm(Evidence(observed, expected, shift.n, shift.window_s, shift.p_value), severity, sentence)
