"""
Silence: nothing has come for far longer than this hour of the week, and this webhook's own pauses, explain.

With ``m`` attempts expected since the last one, none comes with probability ``(1 + d m) ** (-1 / d)``, the zero term of
the negative binomial law. Traffic that comes in clumps has longer gaps than that; so the gap must also exceed
the longest one that ended by itself, measured in expected attempts.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.distributions import silence_tail
from monitor.domain.anomaly.episode import Alarm, duration, judge, learning, standing
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import HOURS_PER_DAY, TrafficBaseline, knows_enough, take
from monitor.domain.vocab import Severity

CRITICAL_EXPECTED = 100.0
"""Attempts missed after which silence is critical."""


def observe(
    baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[TrafficBaseline, Verdict]:
    """
    Take in *sample* and judge it.

    Volume and silence share one baseline; either may see a sample first. A sample that silence has seen changes nothing
    and opens nothing; its verdict tells the present state. Held time is no silence.
    """
    if sample.at <= baseline.silence_at:
        if not knows_enough(baseline):
            return baseline, _learning(baseline)
        return baseline, standing(Signal.NO_DATA, baseline.silence, baseline.silence_at)
    baseline = msgspec.structs.replace(take(baseline, sample, policy), silence_at=sample.at)
    if not knows_enough(baseline):
        return baseline, _learning(baseline)
    alarm = _alarm(baseline, policy)
    if alarm is None and baseline.silence is None:
        return baseline, standing(Signal.NO_DATA, None, sample.at)
    calm = alarm is None and not sample.held
    episode, verdict = judge(Signal.NO_DATA, baseline.silence, sample.at, alarm, calm, policy)
    return msgspec.structs.replace(baseline, silence=episode), verdict


def _alarm(baseline: TrafficBaseline, policy: AnomalyPolicy) -> Alarm | None:
    missed = baseline.gap
    if missed < policy.gap_factor * baseline.longest_gap:
        return None
    p_value = silence_tail(missed, baseline.profile.spread)
    if p_value >= policy.p_volume:
        return None
    severity = Severity.CRITICAL if missed >= CRITICAL_EXPECTED else Severity.WARNING
    silent_s = baseline.at - baseline.gap_since
    sentence = f"No attempts for {duration(silent_s)}; {missed:.0f} would be normal."
    return Alarm(Evidence(0.0, missed, 0, silent_s, p_value), severity, sentence)


def _learning(baseline: TrafficBaseline) -> Verdict:
    sentence = f"Learning what is normal: {baseline.hours_seen} of {HOURS_PER_DAY} hours seen."
    return learning(Signal.NO_DATA, baseline.silence_at, sentence)
