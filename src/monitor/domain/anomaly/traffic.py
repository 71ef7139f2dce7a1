"""
Baseline of the number of attempts by time of the week, shared by volume and no data.

The expected count of an hour of the week is the mean of its own history, shrunk towards the mean of the same hour of
all days, and that towards the level of the last day. A mean of ``w`` weeks has the weight ``w / (w + noise / signal)``,
with ``noise`` the Poisson variance and ``signal`` the variance between hours beyond it (empirical Bayes: Efron, Morris
1975, *JASA* 70:311). The squared error of the prediction gives the dispersion of the negative binomial law.

The mean is one opinion; what came in the same ten minutes of the last days and weeks is another (:mod:`slot_history`).
Only what contradicts both is an anomaly. The history learns whatever was observed, so an anomaly that repeats becomes
normal; the mean learns during an anomaly only hours that repeat those of the day or the week before.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.episode import Episode, current_verdict, is_frozen, learning_verdict
from monitor.domain.anomaly.model import Sample, Signal, Verdict
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.proportion import Dispersion
from monitor.domain.anomaly.slot_history import (
    SLOT_S,
    SLOTS_PER_HOUR,
    find_clock_change,
    past_count,
    record_slot,
    shift_history,
    slot_limits,
)
from monitor.domain.anomaly.windows import Ring, add_to_ring, advance_ring, empty_ring
from monitor.domain.monitoring.metrics import HOUR_S

MAX_TICK_S = 900.0
"""A longer time between two samples does not count."""

HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168
EPOCH_HOUR_OF_WEEK = 72
"""1970-01-01 00:00 UTC was a Thursday; hour 0 of the week is Monday midnight."""

VOLUME_WINDOW = (HOUR_S, SLOTS_PER_HOUR)
HALF_LIFE_DAYS = 3.0
"""Age at which an observation counts half in the mean of an hour of the day."""

MEMORY_WEEKS = 4
"""Mean age of the observations in the mean of an hour of the week."""

NOTHING_COVERED = (0.0,) * SLOTS_PER_HOUR
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
    Baseline of the number of a webhook's attempts: about 6 KiB encoded, of which the history is 2.

    ``expected_per_s`` is the expected rate in the current ``hour`` (counted from the epoch), ``attempts_this_hour`` the
    count so far; ``is_hour_complete`` is false if part of the hour was not observed. ``ring`` holds pairs
    ``(expected, observed)``, and ``covered_s`` the observed seconds of each of its slots.

    ``history`` holds the slots of the last weeks, ``is_slot_complete`` is as for the hour, and ``limits`` are the least
    and the most attempts of the slots from the one before the ring to the next one. Empty while unknown.

    ``gap`` counts the attempts expected since the last attempt, ``longest_gap`` the most between two attempts in normal
    operation. ``late`` were expected in the slot before the current one and may still come.
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
    history: bytes = b""
    covered_s: tuple[float, ...] = NOTHING_COVERED
    limits: tuple[tuple[float, float], ...] = ()
    is_slot_complete: bool = False
    late: float = 0.0


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
    slot = int(sample.at // SLOT_S)
    if slot != baseline.ring.head or not baseline.limits:
        baseline = _finish_slot(baseline, slot, policy)
    # Without evaluations the time is no gap, and its attempts are no surge.
    elapsed_s = sample.at - baseline.at
    is_observed = not sample.held and elapsed_s <= MAX_TICK_S
    seen_s = elapsed_s if is_observed else 0.0
    observed = sample.attempts if is_observed else 0
    gap = baseline.gap + steady_count(baseline) * seen_s / SLOT_S
    gap_since, longest, late = baseline.gap_since, baseline.longest_gap, baseline.late
    if sample.attempts or not is_observed:
        if is_observed and _is_normal_gap(baseline, sample.at, policy):
            longest = max(longest, gap)
        gap, gap_since, late = 0.0, sample.at, 0.0
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        ring=add_to_ring(baseline.ring, baseline.expected_per_s * seen_s, observed),
        covered_s=(*baseline.covered_s[:-1], baseline.covered_s[-1] + seen_s),
        attempts_this_hour=baseline.attempts_this_hour + observed,
        is_hour_complete=baseline.is_hour_complete and is_observed,
        is_slot_complete=baseline.is_slot_complete and is_observed,
        gap=gap,
        gap_since=gap_since,
        longest_gap=longest,
        late=late,
    )


def steady_count(baseline: TrafficBaseline) -> float:
    """Return the attempts of the current slot that come evenly: those that its neighbours have, too."""
    return min(least for least, _ in baseline.limits[-3:])


def window_limits(baseline: TrafficBaseline) -> tuple[float, float]:
    """
    Return the least and the most attempts that are plausible in the window of ``baseline.ring``.

    What came at the edge of the window before may come a slot earlier or later. In the current slot all that is
    expected may have come already, or nothing beyond what comes evenly.
    """
    *whole_s, current_s = baseline.covered_s
    covered = [min(seconds / SLOT_S, 1.0) for seconds in whole_s]
    least, most = float("inf"), 0.0
    for first in range(3):
        limits = baseline.limits[first : first + len(covered)]
        least = min(least, sum(part * low for part, (low, _) in zip(covered, limits, strict=True)))
        most = max(most, sum(part * high for part, (_, high) in zip(covered, limits, strict=True)))
    steady = steady_count(baseline) * min(current_s / SLOT_S, 1.0)
    return least + steady, most + max(high for _, high in baseline.limits[-2:])


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


def _is_normal_gap(baseline: TrafficBaseline, at: float, policy: AnomalyPolicy) -> bool:
    """
    Whether the gap that ends at *at* is one of normal operation.

    While learning, longer ones than an hour are left to the history. A gap that outlasts the freeze is an outage.
    """
    if has_learned(baseline):
        return not is_frozen(baseline.no_data, baseline.gap_since, policy)
    return at - baseline.gap_since <= HOUR_S


def _finish_slot(baseline: TrafficBaseline, slot: int, policy: AnomalyPolicy) -> TrafficBaseline:
    """Store the slot that ended, learn its hour if that ended, too, and set the limits of the slots around *slot*."""
    ended, observed = baseline.ring.head, int(baseline.ring.xs[-1])
    steps = slot - ended
    history = record_slot(baseline.history, ended, observed if baseline.is_slot_complete else None, slot)
    gap, late = baseline.gap, 0.0
    if baseline.limits and not observed:
        gap += baseline.late
        part = min(baseline.covered_s[-1] / SLOT_S, 1.0)
        late = part * (baseline.limits[-2][0] - steady_count(baseline))
    baseline = msgspec.structs.replace(baseline, history=history, gap=gap, late=late, is_slot_complete=steps == 1)
    limits, hour = baseline.limits, slot // SLOTS_PER_HOUR
    if hour != baseline.hour:
        baseline = _finish_hour(baseline, hour, policy)
        hours = find_clock_change(history, slot)
        if hours:
            profile = _shift_profile(baseline.profile, hours)
            rate_per_s = expected_count(profile, hour) / HOUR_S
            history = shift_history(history, slot, hours)
            baseline = msgspec.structs.replace(baseline, profile=profile, history=history, expected_per_s=rate_per_s)
            limits = ()
    fresh = range(slot + 1, slot + 2) if limits and steps == 1 else range(slot - SLOTS_PER_HOUR, slot + 2)
    limits += tuple(_limits_of(baseline, number) for number in fresh)
    return msgspec.structs.replace(
        baseline,
        ring=advance_ring(baseline.ring, slot * SLOT_S)[0],
        covered_s=(baseline.covered_s + (0.0,) * steps)[-SLOTS_PER_HOUR:]
        if steps < SLOTS_PER_HOUR
        else NOTHING_COVERED,
        limits=limits[-SLOTS_PER_HOUR - 2 :],
    )


def _limits_of(baseline: TrafficBaseline, slot: int) -> tuple[float, float]:
    hour = slot // SLOTS_PER_HOUR
    is_current = hour == baseline.hour
    expected = baseline.expected_per_s * HOUR_S if is_current else expected_count(baseline.profile, hour)
    return slot_limits(baseline.history, slot, expected)


def _finish_hour(baseline: TrafficBaseline, hour: int, policy: AnomalyPolicy) -> TrafficBaseline:
    """
    Learn the hour that ended, unless part of it was not observed, and set the expected rate of the new one.

    While an anomaly is open, only an hour that repeats is learned.
    """
    at = hour * HOUR_S
    frozen = is_frozen(baseline.volume, at, policy) or is_frozen(baseline.no_data, at, policy)
    profile, hours_learned, longest = baseline.profile, baseline.hours_learned, baseline.longest_gap
    gap, gap_since = baseline.gap, baseline.gap_since
    if baseline.is_hour_complete and not (frozen and not _is_repeat(baseline, policy)):
        profile = _learn_hour(baseline, policy)
        hours_learned = min(hours_learned + 1, HOURS_PER_WEEK)
        if hours_learned == HOURS_PER_DAY:
            # Until now it was unknown which hours are quiet.
            gap, gap_since = 0.0, at
        longest *= 0.5 ** (HOUR_S / policy.dispersion_half_life_s)
    return msgspec.structs.replace(
        baseline,
        hour=hour,
        profile=profile,
        expected_per_s=expected_count(profile, hour) / HOUR_S,
        attempts_this_hour=0,
        is_hour_complete=hour == baseline.hour + 1,
        hours_learned=hours_learned,
        gap=gap,
        gap_since=gap_since,
        longest_gap=longest,
    )


def _is_repeat(baseline: TrafficBaseline, policy: AnomalyPolicy) -> bool:
    """Whether the hour that ended brought about as much as that of the day or the week before."""
    slot, count = baseline.hour * SLOTS_PER_HOUR, max(baseline.attempts_this_hour, 1)
    past = [past_count(baseline.history, slot, days, SLOTS_PER_HOUR) for days in (1, 7)]
    return any(
        before is not None and count / policy.volume_factor <= max(before, 1) <= count * policy.volume_factor
        for before in past
    )


def _learn_hour(baseline: TrafficBaseline, policy: AnomalyPolicy) -> TrafficProfile:
    profile, hour, observed = baseline.profile, baseline.hour, baseline.attempts_this_hour
    day, week = hour % HOURS_PER_DAY, (hour + EPOCH_HOUR_OF_WEEK) % HOURS_PER_WEEK
    dispersion = profile.dispersion
    # What an anomaly brings is no ordinary variation, even when the mean follows it.
    if profile.hours_of_day[day].weight > 0 and baseline.volume is None and baseline.no_data is None:
        expected = max(_nearest_expected(baseline), 0.1)
        trust = (expected / (expected + 5)) ** 2
        error = min(((observed - expected) ** 2 - expected) / expected**2, MAX_ERROR)
        keep = 0.5 ** (HOUR_S / policy.dispersion_half_life_s)
        dispersion = dispersion.learn(trust * error, trust, keep)
    hours_of_day, hours_of_week = list(profile.hours_of_day), list(profile.hours_of_week)
    hours_of_day[day] = _updated(hours_of_day[day], observed, 0.5 ** (1 / HALF_LIFE_DAYS))
    hours_of_week[week] = _updated(hours_of_week[week], observed, 1 - 1 / MEMORY_WEEKS)
    level = _updated(profile.level, observed, 0.5 ** (HOUR_S / policy.half_life_s))
    return TrafficProfile(level, tuple(hours_of_day), tuple(hours_of_week), dispersion)


def _nearest_expected(baseline: TrafficBaseline) -> float:
    """Return the plausible count of the hour that is nearest to the observed one: a repeat is no dispersion."""
    least = sum(low for low, _ in baseline.limits[1:-1])
    most = sum(high for _, high in baseline.limits[1:-1])
    return min(max(float(baseline.attempts_this_hour), least), most)


def _shift_profile(profile: TrafficProfile, hours: int) -> TrafficProfile:
    """Return *profile* with every hour *hours* later: -1 or 1."""
    day, week = profile.hours_of_day, profile.hours_of_week
    return msgspec.structs.replace(
        profile, hours_of_day=day[-hours:] + day[:-hours], hours_of_week=week[-hours:] + week[:-hours]
    )


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
