"""
Volume: far more or far fewer attempts in an hour than this time of the week brings.

Counts follow a negative binomial law: Poisson, with a rate that varies as much as it did before. An hour without any
attempt is left to the signal ``no_data``.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.distributions import negative_binomial_tails
from monitor.domain.anomaly.episode import Deviation, update_episode
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.traffic import TrafficBaseline, add_traffic, has_learned, traffic_verdict, window_limits
from monitor.domain.vocab import Severity

MIN_EXPECTED = 0.5
"""Lower limit of the expected attempts an hour, so that the second attempt of a quiet night is no anomaly."""

RECOVERY_P = 0.01


def observe_volume(
    baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[TrafficBaseline, Verdict]:
    """
    Add *sample* and compare the last hour with the baseline.

    Volume and no data share one baseline; either may get a sample first.
    """
    if sample.at <= baseline.volume_at:
        return baseline, traffic_verdict(Signal.VOLUME, baseline, baseline.volume, baseline.volume_at)
    baseline = msgspec.structs.replace(add_traffic(baseline, sample, policy), volume_at=sample.at)
    if not has_learned(baseline):
        return baseline, traffic_verdict(Signal.VOLUME, baseline, baseline.volume, sample.at)
    deviation, is_normal = None, False
    # In the first hour after learning, or after a pause, only part of the window has an expectation.
    if not sample.held and baseline.ring.ns[0] > 0 and baseline.covered_s[0] > 0:
        deviation, is_normal = _compare_volume(baseline, policy)
    if deviation is None and baseline.volume is None:
        return baseline, traffic_verdict(Signal.VOLUME, baseline, None, sample.at)
    episode, verdict = update_episode(Signal.VOLUME, baseline.volume, sample.at, deviation, is_normal, policy)
    return msgspec.structs.replace(baseline, volume=episode), verdict


def _compare_volume(baseline: TrafficBaseline, policy: AnomalyPolicy) -> tuple[Deviation | None, bool]:
    """Return the deviation from the nearest plausible count, if any, and whether the hour looks normal."""
    observed = int(sum(baseline.ring.xs))
    least, most = window_limits(baseline)
    expected = min(max(observed, least), most)
    mean = max(expected, MIN_EXPECTED)
    is_large = observed >= mean * policy.volume_factor or 0 < observed <= mean / policy.volume_factor
    if not is_large and baseline.volume is None:
        return None, True
    fewer, more = negative_binomial_tails(observed, mean, baseline.profile.overdispersion)
    p_value = min(fewer, more)
    if not is_large or observed == 0 or p_value >= policy.p_volume:
        # A drop does not end because the last attempts leave the hour.
        return None, p_value > RECOVERY_P or (observed > 0 and not is_large)
    severity = Severity.WARNING if observed < mean else Severity.INFO
    window_s = baseline.ring.window_s
    sentence = f"{observed} attempts in the last hour; {expected:.0f} is normal for this time of the week."
    return Deviation(Evidence(float(observed), expected, observed, window_s, p_value), severity, sentence), False
