"""
Baseline of the mean of a measured value, and the test whether the mean of a window departs from it.

The mean of ``n`` values of a window has variance ``sd^2 / n + between_window_sd^2``: the second term is how much whole
windows move together (load, time of day), estimated per window length by moments from completed windows,
``E[(m - mean)^2] - sd^2 / n = between_window_sd^2`` (the one-way random effects model: Searle, Casella, McCulloch,
*Variance Components*). Without it every autocorrelated series would raise anomalies all day.

The mean depends on the time of day, too: its usual offset is learned for every two hours and taken off the values, or
the daily cycle would widen the test or hide a slowdown in its trough.

Values are clipped at ``CLIP_SD`` from the mean, so that one outlier is no anomaly and the normal law fits the mean
(Huber 1964, *Ann. Math. Statist.* 35:73). The baseline learns only slots that have left the longest window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

import msgspec

from monitor.domain.anomaly.distributions import normal_tail
from monitor.domain.anomaly.episode import LearningMode
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.proportion import WINDOWS, Dispersion
from monitor.domain.anomaly.windows import Ring, add_to_ring, advance_ring, empty_ring
from monitor.domain.monitoring.metrics import DAY_S

PRIOR_BETWEEN_WINDOW_SD = 0.3
MIN_BETWEEN_WINDOW_SD = 0.06
"""Standard deviation between windows, in units of the standard deviation of values."""

PRIOR_WINDOWS = 4.0
"""Weight of the prior, in completed windows."""

UNKNOWN_DAY_TRUST = 0.25
"""Weight of a longer window at a time of day of which nothing is learned yet: its departure may be usual there."""

CLIP_SD = 5.0
CLIP_AFTER_VALUES = 20
"""Values are clipped this many standard deviations from the mean, but not before this many values are learned."""

WINDOW_SHARES = (0.5, 2.5, 10.0)
"""Factors of the limit of the tail probability, per window: a day has fewer long windows to be wrong in."""

MIN_VALUES = 5
"""Windows with fewer values are not tested."""

ONSET_Z = 3.0
"""Standard errors by which a window must depart for the variance to stop learning."""

MIN_JUMP_VALUES = 5
"""Values of one sample that are tested on their own: fewer are scatter, however far off."""

DAY_SLOTS = 12
DAY_SLOT_S = DAY_S / DAY_SLOTS
"""The time of day is learned in slots of two hours."""

DAY_PRIOR_VALUES = 20.0
"""Weight of no offset at all, in values of a slot of the day."""

DAY_KEEP = 0.5 ** (1 / 24)
"""A slot of the longest window, eight of which make one of the day, keeps this much: a half-life of three days."""

RECOVERY_VALUES = 20
MIN_RECOVERY_VALUES = 2
RECOVERY_Z = 2.5


class ShiftCriteria(msgspec.Struct, frozen=True):
    """
    When a shift of the mean is an anomaly, in the unit of the values.

    Attributes:
        min_sd: standard deviation assumed of a constant series.
        min_shift: smaller shifts are ignored.
        p_open: tail probability below which a window opens an anomaly.
    """

    min_sd: float
    min_shift: float
    p_open: float


class MeanBaseline(msgspec.Struct, frozen=True):
    """
    The baseline and the present windows. ``weight`` and ``variance_weight`` are decayed counts.

    ``mean_from``, ``dispersion_from`` and ``pending`` as in :class:`monitor.domain.anomaly.proportion.Proportion`.
    ``day`` holds decayed sums of the distances from the mean by time of day, per value. The windows hold values less
    what is usual at their time of day.
    """

    rings: tuple[Ring, ...]
    learned_at: float
    mean_from: float
    dispersion_from: float
    weight: float = 0.0
    mean: float = 0.0
    variance_weight: float = 0.0
    variance: float = 0.0
    dispersions: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    pending: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    day: tuple[Dispersion, ...] = (Dispersion(),) * DAY_SLOTS

    def usual_offset(self, at: float) -> float:
        """Distance from the mean that is usual at the time of day of *at*, between the middles of slots linearly."""
        after, share = divmod(at % DAY_S / DAY_SLOT_S - 0.5, 1.0)
        earlier, later = (self._slot_offset(int(after) + step) for step in (0, 1))
        return (1 - share) * earlier + share * later

    def _slot_offset(self, slot: int) -> float:
        sums = self.day[slot % DAY_SLOTS]
        return sums.excess / (sums.weight + DAY_PRIOR_VALUES)

    def sd(self, criteria: ShiftCriteria) -> float:
        return max(sqrt(self.variance), criteria.min_sd)

    def standard_error(self, index: int, n: float, criteria: ShiftCriteria) -> float:
        """Standard error of the difference between the mean of *n* values in window *index* and the baseline."""
        sd = self.sd(criteria)
        dispersion = self.dispersions[index]
        prior = (PRIOR_BETWEEN_WINDOW_SD * sd) ** 2
        between_windows = (dispersion.excess + prior * PRIOR_WINDOWS) / (dispersion.weight + PRIOR_WINDOWS)
        between_windows = max(between_windows, (MIN_BETWEEN_WINDOW_SD * sd) ** 2)
        return sqrt(sd * sd * (1 / n + 1 / max(self.weight, 1.0)) + between_windows)


class Shift(msgspec.Struct, frozen=True):
    """
    A window whose mean departs from the baseline. ``z`` is in standard errors, ``mean`` of the clipped values, and
    ``limit`` what the probability must be below to open an anomaly.
    """

    mean: float
    n: int
    window_s: float
    z: float
    p_value: float
    limit: float


def start_mean_baseline(at: float) -> MeanBaseline:
    """Return a baseline without observations."""
    rings = tuple(empty_ring(window_s, slots, at) for window_s, slots in WINDOWS)
    return MeanBaseline(rings=rings, learned_at=at, mean_from=at, dispersion_from=at)


def add_values(
    baseline: MeanBaseline,
    at: float,
    values: Sequence[tuple[float, int]],
    mode: LearningMode,
    criteria: ShiftCriteria,
    policy: AnomalyPolicy,
) -> MeanBaseline:
    """Move the windows to *at*, learn what *mode* allows, and add *values*, pairs ``(value, count)``."""
    if at >= (baseline.rings[0].head + 1) * baseline.rings[0].slot_s:
        baseline = _advance_windows(baseline, at, mode, criteria, policy)
    if not values:
        return baseline
    offset = baseline.usual_offset(at)
    values = [(value - offset, times) for value, times in values]
    if mode == "learning" and not _is_shift_while_learning(baseline, values, criteria, policy):
        baseline = _learn_values(baseline, at, values, policy)
    n, total, squares = _clipped_sums(baseline, values, criteria)
    rings = tuple(add_to_ring(ring, n, total) for ring in baseline.rings)
    if mode != "detecting" or _is_jump(baseline, n, total, criteria) or _is_onset(baseline, rings, criteria):
        return msgspec.structs.replace(baseline, rings=rings)
    # The variance decays as fast as the mean: its weight never exceeds the mean's by more than one batch.
    weight = min(baseline.variance_weight, baseline.weight) + n
    variance = baseline.variance + (squares - n * baseline.variance) / weight
    return msgspec.structs.replace(baseline, rings=rings, variance=max(variance, 0.0), variance_weight=weight)


def largest_shift(baseline: MeanBaseline, criteria: ShiftCriteria) -> Shift | None:
    """Return the most significant shift of all windows; ``None`` while no window has enough values."""
    worst: Shift | None = None
    for index, ring in enumerate(baseline.rings):
        n = sum(ring.ns)
        if n < MIN_VALUES:
            continue
        shift = _shift(baseline, index, n, sum(ring.xs), criteria)
        # Far from the baseline the probabilities are zero.
        if worst is None or (shift.p_value * worst.limit, -shift.z) < (worst.p_value * shift.limit, -worst.z):
            worst = shift
    return worst


def is_anomalous(baseline: MeanBaseline, shift: Shift, criteria: ShiftCriteria) -> bool:
    """Whether *shift* is both improbable and large enough to matter."""
    return shift.p_value < shift.limit and shift.mean - baseline.mean >= criteria.min_shift


def has_recovered(baseline: MeanBaseline, criteria: ShiftCriteria) -> bool:
    """Whether enough recent values agree with the baseline again."""
    for index, ring in enumerate(baseline.rings):
        n = sum(ring.ns)
        if n >= (MIN_RECOVERY_VALUES if index == len(baseline.rings) - 1 else RECOVERY_VALUES):
            break
    else:
        return False
    shift = sum(ring.xs) / n - baseline.mean
    return shift < max(RECOVERY_Z * baseline.standard_error(index, n, criteria), criteria.min_shift / 2)


def open_episode(baseline: MeanBaseline) -> MeanBaseline:
    """Start collecting the windows of an anomaly."""
    return msgspec.structs.replace(baseline, pending=(Dispersion(),) * len(WINDOWS))


def close_episode(baseline: MeanBaseline, at: float, is_burst: bool) -> MeanBaseline:
    """Empty the windows; add the dispersion of a burst to the baseline, discard that of a longer anomaly."""
    baseline = msgspec.structs.replace(baseline, rings=start_mean_baseline(at).rings, mean_from=at)
    if not is_burst:
        return msgspec.structs.replace(baseline, dispersion_from=at)
    pairs = zip(baseline.dispersions, baseline.pending, strict=True)
    dispersions = tuple(learned.learn(new.excess, new.weight, 1.0) for learned, new in pairs)
    return msgspec.structs.replace(baseline, dispersions=dispersions)


def _shift(baseline: MeanBaseline, index: int, n: float, total: float, criteria: ShiftCriteria) -> Shift:
    """Compare *n* values, which add up to *total*, with the baseline by the error of window *index*."""
    mean = total / n
    z = (mean - baseline.mean) / baseline.standard_error(index, n, criteria)
    return Shift(
        mean, int(n), baseline.rings[index].window_s, z, normal_tail(z), criteria.p_open * WINDOW_SHARES[index]
    )


def _is_jump(baseline: MeanBaseline, n: float, total: float, criteria: ShiftCriteria) -> bool:
    """
    Whether the values of one sample, taken as a window, would open an anomaly. Then the sample is no scatter.

    The windows react too late: each still holds the minutes before, and one sample of a busy webhook can outweigh a
    young baseline. Its variance would grow to include the whole rise, and no window could be significant again.
    """
    return n >= MIN_JUMP_VALUES and is_anomalous(baseline, _shift(baseline, 0, n, total, criteria), criteria)


def _is_shift_while_learning(
    baseline: MeanBaseline, values: Iterable[tuple[float, int]], criteria: ShiftCriteria, policy: AnomalyPolicy
) -> bool:
    """
    Whether the values of one sample depart from a baseline that has learned at least half of what it needs.

    They are not learned, or they would become part of normal. With less learned, an onset cannot be distinguished.
    """
    if baseline.weight < policy.learn_attempts / 2:
        return False
    n, total, _ = _clipped_sums(baseline, values, criteria)
    return n >= MIN_JUMP_VALUES and _shift(baseline, 0, n, total, criteria).z > ONSET_Z


def _is_onset(baseline: MeanBaseline, rings: tuple[Ring, ...], criteria: ShiftCriteria) -> bool:
    """
    Whether the windows may hold the onset of an anomaly.

    The variance must not learn it: that of a young baseline would grow faster than the shift becomes significant, even
    with a tenfold rise.
    """
    shift = largest_shift(msgspec.structs.replace(baseline, rings=rings), criteria)
    return shift is not None and shift.z > ONSET_Z


def _clipped_sums(
    baseline: MeanBaseline, values: Iterable[tuple[float, int]], criteria: ShiftCriteria
) -> tuple[float, float, float]:
    """Return the count, the sum of the clipped values, and their squared distances from the mean."""
    mean = baseline.mean
    limit = CLIP_SD * baseline.sd(criteria) if baseline.variance_weight >= CLIP_AFTER_VALUES else float("inf")
    n = total = squares = 0.0
    for value, times in values:
        off = min(max(value - mean, -limit), limit)
        n += times
        total += times * (mean + off)
        squares += times * off * off
    return n, total, squares


def _learn_values(
    baseline: MeanBaseline, at: float, values: Iterable[tuple[float, int]], policy: AnomalyPolicy
) -> MeanBaseline:
    """Add values to the baseline directly (West 1979, *CACM* 22:532)."""
    weight = baseline.weight * 0.5 ** ((at - baseline.learned_at) / policy.half_life_s)
    mean, squares = baseline.mean, baseline.variance * weight
    for value, times in values:
        weight += times
        off = value - mean
        mean += off * times / weight
        squares += times * off * (value - mean)
    return msgspec.structs.replace(
        baseline,
        learned_at=at,
        mean_from=at,
        weight=weight,
        mean=mean,
        # Rounding can leave a constant series just below zero.
        variance=max(squares, 0.0) / weight,
        variance_weight=weight,
    )


def _day_slot(at: float) -> int:
    return int(at % DAY_S // DAY_SLOT_S)


def _advance_windows(
    baseline: MeanBaseline, at: float, mode: LearningMode, criteria: ShiftCriteria, policy: AnomalyPolicy
) -> MeanBaseline:
    rings, dispersions, pending = [], list(baseline.dispersions), list(baseline.pending)
    variance = baseline.sd(criteria) ** 2
    for index, ring in enumerate(baseline.rings):
        moved, elapsed = advance_ring(ring, at)
        rings.append(moved)
        block = elapsed.block
        if block is not None and block[0] >= baseline.dispersion_from and baseline.weight > CLIP_AFTER_VALUES:
            _, n, total = block
            # In a window of few values their own scatter hides the variance between windows.
            trust = n / (n + 4)
            if index > 0 and baseline.day[_day_slot(block[0])].weight == 0:
                trust *= UNKNOWN_DAY_TRUST
            # Fades like the mean, not slower: before the time of day is learned, its swing looks like dispersion.
            keep = 0.5 ** (ring.window_s / policy.half_life_s)
            target = pending if mode == "frozen" else dispersions
            target[index] = target[index].learn(trust * ((total / n - baseline.mean) ** 2 - variance / n), trust, keep)
    n = total = 0.0
    day = list(baseline.day)
    if mode == "detecting":
        for end_at, slot_n, slot_total in elapsed.dropped:
            if end_at - moved.slot_s >= baseline.mean_from:
                middle_at = end_at - moved.slot_s / 2
                n, total = n + slot_n, total + slot_total
                distance = slot_total + slot_n * (baseline.usual_offset(middle_at) - baseline.mean)
                number = _day_slot(middle_at)
                day[number] = day[number].learn(distance, slot_n, DAY_KEEP)
    weight, mean, learned_at = baseline.weight, baseline.mean, baseline.learned_at
    if n > 0:
        weight = weight * 0.5 ** ((at - learned_at) / policy.half_life_s) + n
        mean += (total - n * mean) / weight
        learned_at = at
    return msgspec.structs.replace(
        baseline,
        rings=tuple(rings),
        dispersions=tuple(dispersions),
        pending=tuple(pending),
        learned_at=learned_at,
        weight=weight,
        mean=mean,
        day=tuple(day),
    )
