"""
Volume: far more or far fewer attempts in an hour than this hour of the week brings.

The law is negative binomial, a Poisson law whose rate wobbles as it has wobbled before. An hour without any attempt is
silence, and left to that signal.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.distributions import negative_binomial_tails
from monitor.domain.anomaly.episode import Alarm, judge, learning, standing
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import HOURS_PER_DAY, TrafficBaseline, knows_enough, take
from monitor.domain.vocab import Severity

LEAST_EXPECTED = 0.5
"""Attempts an hour below which a surge is measured against this: the second attempt of a quiet night is no anomaly."""

CALM_P = 0.01


def observe(
    baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[TrafficBaseline, Verdict]:
    """
    Take in *sample* and judge it.

    Volume and silence share one baseline; either may see a sample first. A sample that volume has seen changes nothing
    and opens nothing; its verdict tells the present state.
    """
    if sample.at <= baseline.volume_at:
        if not knows_enough(baseline):
            return baseline, _learning(baseline)
        return baseline, standing(Signal.VOLUME, baseline.volume, baseline.volume_at)
    baseline = msgspec.structs.replace(take(baseline, sample, policy), volume_at=sample.at)
    if not knows_enough(baseline):
        return baseline, _learning(baseline)
    expected, seen = sum(baseline.ring.ns), int(sum(baseline.ring.xs))
    # The first hour after learning has no expectation for all of its window yet.
    alarm, calm = None, False
    if not sample.held and baseline.ring.ns[0] > 0:
        alarm, calm = _weigh(baseline, expected, seen, policy)
    if alarm is None and baseline.volume is None:
        return baseline, standing(Signal.VOLUME, None, sample.at)
    episode, verdict = judge(Signal.VOLUME, baseline.volume, sample.at, alarm, calm, policy)
    return msgspec.structs.replace(baseline, volume=episode), verdict


def _weigh(baseline: TrafficBaseline, expected: float, seen: int, policy: AnomalyPolicy) -> tuple[Alarm | None, bool]:
    """Return the alarm, if any, and whether the hour looks normal."""
    mean = max(expected, LEAST_EXPECTED)
    is_large = seen >= mean * policy.volume_factor or 0 < seen <= mean / policy.volume_factor
    if not is_large and baseline.volume is None:
        return None, True
    fewer, more = negative_binomial_tails(seen, mean, baseline.profile.spread)
    p_value = min(fewer, more)
    if not is_large or seen == 0 or p_value >= policy.p_volume:
        return None, p_value > CALM_P or not is_large
    severity = Severity.WARNING if seen < mean else Severity.INFO
    window_s = baseline.ring.window_s
    sentence = f"{seen} attempts in the last hour; {expected:.0f} is normal for this hour of the week."
    return Alarm(Evidence(float(seen), expected, seen, window_s, p_value), severity, sentence), False


def _learning(baseline: TrafficBaseline) -> Verdict:
    sentence = f"Learning what is normal: {baseline.hours_seen} of {HOURS_PER_DAY} hours seen."
    return learning(Signal.VOLUME, baseline.volume_at, sentence)
