"""
How many attempts an hour of the week brings, shared by volume and silence.

The expected count of an hour is its own history, shrunk towards the same hour of all days, and that towards the level
of the last day. How far is learned: a mean of ``w`` noisy weeks keeps the share ``w / (w + noise / signal)`` of its
own, with ``noise`` the Poisson variance and ``signal`` the variance found between the hours beyond it (empirical Bayes:
Efron, Morris 1975, *JASA* 70:311). What the prediction misses becomes the dispersion of the negative binomial law.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.episode import Episode, is_frozen
from monitor.domain.anomaly.model import Sample
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.proportion import Dispersion
from monitor.domain.anomaly.windows import Ring, add, advance, empty_ring

HOUR_S = 3_600.0
LONGEST_TICK_S = 900.0
"""Samples further apart than this leave the time between them unwatched."""

HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
EPOCH_HOUR_OF_WEEK = 72
"""1970-01-01 00:00 UTC was a Thursday; hour 0 of the week is Monday midnight."""

VOLUME_WINDOW = (HOUR_S, 6)
DAY_HALF_LIFE = 3.0
"""Days after which an hour of the day counts half."""

MOST_WEEKS = 4
"""An hour of the week follows its last four or so."""

PRIOR_DISPERSION = 0.1
PRIOR_HOURS = 12.0
LEAST_DISPERSION = 0.005
MOST_ERROR = 9.0
"""A squared relative error teaches no more than this (a count four times the expected one)."""


class Hour(msgspec.Struct, frozen=True, array_like=True):
    """Mean count of one hour slot and the weight (observations, decayed) behind it."""

    mean: float = 0.0
    weight: float = 0.0


class Profile(msgspec.Struct, frozen=True):
    """Learned counts per hour: ``level`` overall, by hour of the day and by hour of the week."""

    level: Hour = Hour()
    days: tuple[Hour, ...] = (Hour(),) * HOURS_PER_DAY
    weeks: tuple[Hour, ...] = (Hour(),) * HOURS_PER_WEEK
    dispersion: Dispersion = Dispersion()

    @property
    def spread(self) -> float:
        """Dispersion of the count of an hour around its expectation: variance ``m + spread * m^2``."""
        known = self.dispersion
        learned = (known.excess + PRIOR_DISPERSION * PRIOR_HOURS) / (known.weight + PRIOR_HOURS)
        return max(learned, LEAST_DISPERSION)


class TrafficBaseline(msgspec.Struct, frozen=True):
    """
    What is normal for the number of a webhook's attempts.

    ``per_s`` is the rate expected in the running hour ``hour`` (counted from the epoch), in which ``so_far`` attempts
    came; ``whole`` is false when part of it was not watched. ``ring`` holds pairs (expected, seen). ``gap`` and
    ``longest_gap`` are the attempts expected since the last attempt, and at most between two.
    """

    at: float
    started_at: float
    hour: int
    ring: Ring
    profile: Profile = Profile()
    per_s: float = 0.0
    so_far: int = 0
    whole: bool = False
    hours_seen: int = 0
    gap: float = 0.0
    gap_since: float = 0.0
    longest_gap: float = 0.0
    volume_at: float = 0.0
    silence_at: float = 0.0
    volume: Episode | None = None
    silence: Episode | None = None


def start(at: float) -> TrafficBaseline:
    """Return the baseline of a webhook first seen at *at* (Unix seconds)."""
    return TrafficBaseline(
        at=at, started_at=at, hour=int(at // HOUR_S), ring=empty_ring(*VOLUME_WINDOW, at), gap_since=at,
        volume_at=at, silence_at=at,
    )  # fmt: skip


def knows_enough(baseline: TrafficBaseline) -> bool:
    """Whether each hour of the day has been seen: before, a night looks like an outage whatever the attempts say."""
    return baseline.hours_seen >= HOURS_PER_DAY


def take(baseline: TrafficBaseline, sample: Sample, policy: AnomalyPolicy) -> TrafficBaseline:
    """Count *sample*. A repeat changes nothing, so volume and silence may both call it."""
    if sample.at <= baseline.at:
        return baseline
    if int(sample.at // HOUR_S) != baseline.hour:
        baseline = _finish_hour(baseline, sample.at, policy)
    # Time in which nobody looked is no silence, and its attempts are no surge.
    is_watched = not sample.held and sample.at - baseline.at <= LONGEST_TICK_S
    expected = baseline.per_s * (sample.at - baseline.at) if is_watched else 0.0
    seen = sample.attempts if is_watched else 0
    ring, _ = advance(baseline.ring, sample.at)
    gap, gap_since, longest = baseline.gap + expected, baseline.gap_since, baseline.longest_gap
    if sample.attempts or not is_watched:
        if knows_enough(baseline) and is_watched and not is_frozen(baseline.silence, sample.at, policy):
            longest = max(longest, gap)
        gap, gap_since = 0.0, sample.at
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        ring=add(ring, expected, seen),
        so_far=baseline.so_far + seen,
        whole=baseline.whole and is_watched,
        gap=gap,
        gap_since=gap_since,
        longest_gap=longest,
    )


def expected_count(profile: Profile, hour: int) -> float:
    """Return the attempts expected in *hour*, counted from the Unix epoch."""
    level = profile.level.mean
    day = profile.days[hour % HOURS_PER_DAY]
    daily = _shrink(day, level, _between(profile.days, [level] * HOURS_PER_DAY))
    week = profile.weeks[(hour + EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK]
    if week.weight < 1:
        return daily
    same_hours = [profile.days[(i - EPOCH_HOUR_OF_WEEK) % HOURS_PER_DAY].mean for i in range(HOURS_PER_WEEK)]
    return _shrink(week, daily, _between(profile.weeks, same_hours))


def _finish_hour(baseline: TrafficBaseline, at: float, policy: AnomalyPolicy) -> TrafficBaseline:
    """Learn the hour that ended and look up the rate of the new one. Hours that nobody watched are not learned."""
    hour = int(at // HOUR_S)
    frozen = is_frozen(baseline.volume, at, policy) or is_frozen(baseline.silence, at, policy)
    profile, seen, longest = baseline.profile, baseline.hours_seen, baseline.longest_gap
    if baseline.whole and not frozen:
        profile = _learn(profile, baseline.hour, baseline.so_far, policy)
        seen = min(seen + 1, HOURS_PER_WEEK)
        longest *= 0.5 ** (HOUR_S / policy.spread_half_life_s)
    return msgspec.structs.replace(
        baseline,
        hour=hour,
        profile=profile,
        per_s=expected_count(profile, hour) / HOUR_S,
        so_far=0,
        whole=hour == baseline.hour + 1,
        hours_seen=seen,
        longest_gap=longest,
    )


def _learn(profile: Profile, hour: int, seen: int, policy: AnomalyPolicy) -> Profile:
    day, week = hour % HOURS_PER_DAY, (hour + EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK
    dispersion = profile.dispersion
    if profile.days[day].weight > 0:
        expected = max(expected_count(profile, hour), 0.1)
        trust = (expected / (expected + 5)) ** 2
        error = min(((seen - expected) ** 2 - expected) / expected**2, MOST_ERROR)
        keep = 0.5 ** (HOUR_S / policy.spread_half_life_s)
        dispersion = dispersion.learn(trust * error, trust, keep)
    days, weeks = list(profile.days), list(profile.weeks)
    days[day] = _follow(days[day], seen, 0.5 ** (1 / DAY_HALF_LIFE))
    weeks[week] = _follow(weeks[week], seen, 1 - 1 / MOST_WEEKS)
    level = _follow(profile.level, seen, 0.5 ** (HOUR_S / policy.half_life_s))
    return Profile(level, tuple(days), tuple(weeks), dispersion)


def _follow(slot: Hour, seen: int, keep: float) -> Hour:
    weight = slot.weight * keep + 1
    return Hour(slot.mean + (seen - slot.mean) / weight, weight)


def _between(slots: tuple[Hour, ...], centres: list[float]) -> float:
    """Return the variance of *slots* around their centres beyond what Poisson counts would show."""
    pairs = [(slot, centre) for slot, centre in zip(slots, centres, strict=True) if slot.weight > 0]
    if not pairs:
        return 0.0
    found = sum((slot.mean - centre) ** 2 for slot, centre in pairs) / len(pairs)
    noise = sum(centre / slot.weight for slot, centre in pairs) / len(pairs)
    return max(found - noise, 0.0)


def _shrink(slot: Hour, towards: float, signal: float) -> float:
    if slot.weight == 0 or signal == 0:
        return towards
    own = slot.weight / (slot.weight + max(towards, 0.1) / signal)
    return own * slot.mean + (1 - own) * towards
