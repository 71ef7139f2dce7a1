"""
No data: no attempts for far longer than the expected rate and the webhook's usual gaps explain.

With ``m`` attempts expected since the last one, there is none with probability ``(1 + d m) ** (-1 / d)``, the zero term
of the negative binomial law. Attempts in clumps leave longer gaps, so the gap must also exceed the longest normal one,
measured in expected attempts.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.distributions import zero_count_probability
from monitor.domain.anomaly.episode import Deviation, format_duration, update_episode
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import TrafficBaseline, add_traffic, has_learned, traffic_verdict
from monitor.domain.vocab import Severity

CRITICAL_MISSED = 100.0
"""Attempts missed from which the severity is critical."""


def observe_no_data(
    baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[TrafficBaseline, Verdict]:
    """
    Add *sample* and compare the current gap with the baseline. Held time does not count.

    Volume and no data share one baseline; either may get a sample first.
    """
    if sample.at <= baseline.no_data_at:
        return baseline, traffic_verdict(Signal.NO_DATA, baseline, baseline.no_data, baseline.no_data_at)
    baseline = msgspec.structs.replace(add_traffic(baseline, sample, policy), no_data_at=sample.at)
    if not has_learned(baseline):
        return baseline, traffic_verdict(Signal.NO_DATA, baseline, baseline.no_data, sample.at)
    deviation = _deviation(baseline, policy)
    if deviation is None and baseline.no_data is None:
        return baseline, traffic_verdict(Signal.NO_DATA, baseline, None, sample.at)
    is_normal = deviation is None and not sample.held
    episode, verdict = update_episode(Signal.NO_DATA, baseline.no_data, sample.at, deviation, is_normal, policy)
    return msgspec.structs.replace(baseline, no_data=episode), verdict


def _deviation(baseline: TrafficBaseline, policy: AnomalyPolicy) -> Deviation | None:
    missed = baseline.gap
    if missed < policy.gap_factor * baseline.longest_gap:
        return None
    p_value = zero_count_probability(missed, baseline.profile.overdispersion)
    if p_value >= policy.p_volume:
        return None
    severity = Severity.CRITICAL if missed >= CRITICAL_MISSED else Severity.WARNING
    gap_s = baseline.at - baseline.gap_since
    sentence = f"No attempts for {format_duration(gap_s)}; {missed:.0f} would be normal."
    return Deviation(Evidence(0.0, missed, 0, gap_s, p_value), severity, sentence)
