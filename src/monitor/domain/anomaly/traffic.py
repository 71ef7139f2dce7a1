"""
Baseline of the number of attempts by hour of the week, shared by volume and no data.

The expected count of an hour of the week is the mean of its own history, shrunk towards the mean of the same hour of
all days, and that towards the level of the last day. A mean of ``w`` weeks has the weight ``w / (w + noise / signal)``,
with ``noise`` the Poisson variance and ``signal`` the variance between hours beyond it (empirical Bayes: Efron, Morris
1975, *JASA* 70:311). The squared error of the prediction gives the dispersion of the negative binomial law.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.episode import Episode, current_verdict, is_frozen, learning_verdict
from monitor.domain.anomaly.model import Sample, Signal, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.proportion import Dispersion
from monitor.domain.anomaly.windows import Ring, add_to_ring, advance_ring, empty_ring
from monitor.domain.monitoring.metrics import HOUR_S

MAX_TICK_S = 900.0
"""After a longer pause between two samples the time between them does not count."""

HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
EPOCH_HOUR_OF_WEEK = 72
"""1970-01-01 00:00 UTC was a Thursday; hour 0 of the week is Monday midnight."""

VOLUME_WINDOW = (HOUR_S, 6)
HALF_LIFE_DAYS = 3.0
"""Age at which an observation counts half in the mean of an hour of the day."""

MEMORY_WEEKS = 4
"""Mean age of the observations in the mean of an hour of the week."""

PRIOR_DISPERSION = 0.1
PRIOR_HOURS = 12.0
MIN_DISPERSION = 0.005
MAX_ERROR = 9.0
"""Limit of a squared relative error (a count four times the expected one)."""


class HourlyMean(msgspec.Struct, frozen=True, array_like=True):
    """Mean count of one hour slot and its weight, the decayed number of observations."""

    mean: float = 0.0
    weight: float = 0.0


class TrafficProfile(msgspec.Struct, frozen=True):
    """Mean attempts per hour: overall (``level``), by hour of the day and by hour of the week."""

    level: HourlyMean = HourlyMean()
    hours_of_day: tuple[HourlyMean, ...] = (HourlyMean(),) * HOURS_PER_DAY
    hours_of_week: tuple[HourlyMean, ...] = (HourlyMean(),) * HOURS_PER_WEEK
    dispersion: Dispersion = Dispersion()

    @property
    def overdispersion(self) -> float:
        """``d`` in the variance ``m + d * m^2`` of an hourly count with expectation ``m``."""
        learned = self.dispersion
        estimate = (learned.excess + PRIOR_DISPERSION * PRIOR_HOURS) / (learned.weight + PRIOR_HOURS)
        return max(estimate, MIN_DISPERSION)


class TrafficBaseline(msgspec.Struct, frozen=True):
    """
    Baseline of the number of a webhook's attempts.

    ``expected_per_s`` is the expected rate in the current ``hour`` (counted from the epoch), ``attempts_this_hour`` the
    count so far; ``is_hour_complete`` is false if part of the hour was not observed. ``ring`` holds pairs
    ``(expected, observed)``. ``gap`` counts the attempts expected since the last attempt, ``longest_gap`` the most
    between two attempts in normal operation.
    """

    at: float
    started_at: float
    hour: int
    ring: Ring
    profile: TrafficProfile = TrafficProfile()
    expected_per_s: float = 0.0
    attempts_this_hour: int = 0
    is_hour_complete: bool = False
    hours_learned: int = 0
    gap: float = 0.0
    gap_since: float = 0.0
    longest_gap: float = 0.0
    volume_at: float = 0.0
    no_data_at: float = 0.0
    volume: Episode | None = None
    no_data: Episode | None = None


def start_traffic_baseline(at: float) -> TrafficBaseline:
    """Return the baseline of a webhook first observed at *at* (Unix seconds)."""
    return TrafficBaseline(
        at=at, started_at=at, hour=int(at // HOUR_S), ring=empty_ring(*VOLUME_WINDOW, at), gap_since=at,
        volume_at=at, no_data_at=at,
    )  # fmt: skip


def has_learned(baseline: TrafficBaseline) -> bool:
    """Whether each hour of the day has been observed: before that, a quiet night would look like an outage."""
    return baseline.hours_learned >= HOURS_PER_DAY


def traffic_verdict(signal: Signal, baseline: TrafficBaseline, episode: Episode | None, at: float) -> Verdict:
    """Return the present state of *signal* without a new measurement."""
    if has_learned(baseline):
        return current_verdict(signal, episode, at)
    sentence = f"Learning what is normal: {baseline.hours_learned} of {HOURS_PER_DAY} hours seen."
    return learning_verdict(signal, at, sentence)


def add_traffic(baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy) -> TrafficBaseline:
    """Count *sample*. A repeat changes nothing, so both signals may call this."""
    if sample.at <= baseline.at:
        return baseline
    if int(sample.at // HOUR_S) != baseline.hour:
        baseline = _finish_hour(baseline, sample.at, policy)
    # Without evaluations the time is no gap, and its attempts are no surge.
    is_observed = not sample.held and sample.at - baseline.at <= MAX_TICK_S
    expected = baseline.expected_per_s * (sample.at - baseline.at) if is_observed else 0.0
    observed = sample.attempts if is_observed else 0
    ring, _ = advance_ring(baseline.ring, sample.at)
    gap, gap_since, longest = baseline.gap + expected, baseline.gap_since, baseline.longest_gap
    if sample.attempts or not is_observed:
        if has_learned(baseline) and is_observed and not is_frozen(baseline.no_data, sample.at, policy):
            longest = max(longest, gap)
        gap, gap_since = 0.0, sample.at
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        ring=add_to_ring(ring, expected, observed),
        attempts_this_hour=baseline.attempts_this_hour + observed,
        is_hour_complete=baseline.is_hour_complete and is_observed,
        gap=gap,
        gap_since=gap_since,
        longest_gap=longest,
    )


def expected_count(profile: TrafficProfile, hour: int) -> float:
    """Return the attempts expected in *hour*, counted from the Unix epoch."""
    level = profile.level.mean
    day = profile.hours_of_day[hour % HOURS_PER_DAY]
    daily = _shrink(day, level, _variance_between(profile.hours_of_day, [level] * HOURS_PER_DAY))
    week = profile.hours_of_week[(hour + EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK]
    if week.weight < 1:
        return daily
    same_hours = [profile.hours_of_day[(i - EPOCH_HOUR_OF_WEEK) % HOURS_PER_DAY].mean for i in range(HOURS_PER_WEEK)]
    return _shrink(week, daily, _variance_between(profile.hours_of_week, same_hours))


def _finish_hour(baseline: TrafficBaseline, at: float, policy: AnomalyPolicy) -> TrafficBaseline:
    """Learn the hour that ended, unless part of it was not observed, and set the expected rate of the new one."""
    hour = int(at // HOUR_S)
    frozen = is_frozen(baseline.volume, at, policy) or is_frozen(baseline.no_data, at, policy)
    profile, hours_learned, longest = baseline.profile, baseline.hours_learned, baseline.longest_gap
    if baseline.is_hour_complete and not frozen:
        profile = _learn_hour(profile, baseline.hour, baseline.attempts_this_hour, policy)
        hours_learned = min(hours_learned + 1, HOURS_PER_WEEK)
        longest *= 0.5 ** (HOUR_S / policy.dispersion_half_life_s)
    return msgspec.structs.replace(
        baseline,
        hour=hour,
        profile=profile,
        expected_per_s=expected_count(profile, hour) / HOUR_S,
        attempts_this_hour=0,
        is_hour_complete=hour == baseline.hour + 1,
        hours_learned=hours_learned,
        longest_gap=longest,
    )


def _learn_hour(profile: TrafficProfile, hour: int, observed: int, policy: AnomalyPolicy) -> TrafficProfile:
    day, week = hour % HOURS_PER_DAY, (hour + EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK
    dispersion = profile.dispersion
    if profile.hours_of_day[day].weight > 0:
        expected = max(expected_count(profile, hour), 0.1)
        trust = (expected / (expected + 5)) ** 2
        error = min(((observed - expected) ** 2 - expected) / expected**2, MAX_ERROR)
        keep = 0.5 ** (HOUR_S / policy.dispersion_half_life_s)
        dispersion = dispersion.learn(trust * error, trust, keep)
    hours_of_day, hours_of_week = list(profile.hours_of_day), list(profile.hours_of_week)
    hours_of_day[day] = _updated(hours_of_day[day], observed, 0.5 ** (1 / HALF_LIFE_DAYS))
    hours_of_week[week] = _updated(hours_of_week[week], observed, 1 - 1 / MEMORY_WEEKS)
    level = _updated(profile.level, observed, 0.5 ** (HOUR_S / policy.half_life_s))
    return TrafficProfile(level, tuple(hours_of_day), tuple(hours_of_week), dispersion)


def _updated(slot: HourlyMean, observed: int, keep: float) -> HourlyMean:
    weight = slot.weight * keep + 1
    return HourlyMean(slot.mean + (observed - slot.mean) / weight, weight)


def _variance_between(slots: tuple[HourlyMean, ...], centres: list[float]) -> float:
    """Return the variance of *slots* around *centres* beyond that of Poisson counts."""
    pairs = [(slot, centre) for slot, centre in zip(slots, centres, strict=True) if slot.weight > 0]
    if not pairs:
        return 0.0
    total = sum((slot.mean - centre) ** 2 for slot, centre in pairs) / len(pairs)
    noise = sum(centre / slot.weight for slot, centre in pairs) / len(pairs)
    return max(total - noise, 0.0)


def _shrink(slot: HourlyMean, towards: float, signal: float) -> float:
    if slot.weight == 0 or signal == 0:
        return towards
    own = slot.weight / (slot.weight + max(towards, 0.1) / signal)
    return own * slot.mean + (1 - own) * towards
