"""
What level of a measured value is normal, and whether the mean of a window can still be normal.

The mean of ``n`` values of a window has variance ``sd^2 / n + wobble^2``: the second term is how much whole windows
move together (load, time of day), learned per window length by moments from completed windows,
``E[(m - mean)^2] - sd^2 / n = wobble^2`` (the one-way random effects model: Searle, Casella, McCulloch, *Variance
Components*). Without it every autocorrelated series would alarm all day.

Values are clipped at ``clip_sd`` from the mean, so that one wild value is no anomaly and the normal law is fair for the
mean (Huber 1964, *Ann. Math. Statist.* 35:73). The level learns from slots that have left the longest window.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import msgspec

from monitor.domain.anomaly.distributions import normal_tail
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.proportion import WINDOWS, Dispersion, Mode
from monitor.domain.anomaly.windows import Ring, add, advance, empty_ring

PRIOR_WINDOWS = 6.0
"""Completed windows that the prior wobble is worth."""

UNCLIPPED = 20
"""Values before the spread is known well enough to clip by it."""

SUSPICIOUS_Z = 3.0
"""Standard errors by which a window must depart for the spread to stop learning."""

JUMP_VALUES = 5
"""Values that must come at once to be judged by themselves: fewer are scatter, however wild."""

CALM_VALUES = 20
CALM_FLOOR = 2
CALM_Z = 2.5


class Rules(msgspec.Struct, frozen=True):
    """
    How a kind of value is judged, in its own unit.

    Attributes:
        least_sd: spread that a constant series is given.
        prior_wobble_sd: wobble expected before it is known, in standard deviations.
        least_wobble_sd: no window is trusted beyond this, in standard deviations.
        clip_sd: values are clipped so many standard deviations from the mean.
        least_shift: smaller departures are of no interest.
        least_values: windows with fewer are not judged.
        p_open: tail probability below which a window opens an anomaly.
    """

    least_sd: float
    least_shift: float
    p_open: float
    prior_wobble_sd: float = 0.3
    least_wobble_sd: float = 0.06
    clip_sd: float = 5.0
    least_values: int = 5


class MeanBaseline(msgspec.Struct, frozen=True):
    """
    The learned level and the windows before now. ``weight`` and ``variance_weight`` are decayed counts.

    ``mean_from``, ``spread_from`` and ``pending`` as in :class:`monitor.domain.anomaly.proportion.Share`.
    """

    rings: tuple[Ring, ...]
    learned_at: float
    mean_from: float
    spread_from: float
    weight: float = 0.0
    mean: float = 0.0
    variance_weight: float = 0.0
    variance: float = 0.0
    wobbles: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    pending: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)

    def sd(self, rules: Rules) -> float:
        return max(sqrt(self.variance), rules.least_sd)

    def error(self, index: int, n: float, rules: Rules) -> float:
        """Standard error of the mean of *n* values in window *index*, the level's own included."""
        sd = self.sd(rules)
        wobble = self.wobbles[index]
        prior = (rules.prior_wobble_sd * sd) ** 2
        learned = (wobble.excess + prior * PRIOR_WINDOWS) / (wobble.weight + PRIOR_WINDOWS)
        learned = max(learned, (rules.least_wobble_sd * sd) ** 2)
        return sqrt(sd * sd * (1 / n + 1 / max(self.weight, 1.0)) + learned)


class Shift(msgspec.Struct, frozen=True):
    """A window whose mean departs from the level. ``z`` is in standard errors, ``mean`` of the clipped values."""

    mean: float
    n: int
    window_s: float
    z: float
    p_value: float


def start_mean_baseline(at: float) -> MeanBaseline:
    """Return a level that knows nothing."""
    rings = tuple(empty_ring(window_s, slots, at) for window_s, slots in WINDOWS)
    return MeanBaseline(rings=rings, learned_at=at, mean_from=at, spread_from=at)


def measure(
    level: MeanBaseline, at: float, values: Iterable[tuple[float, int]], mode: Mode, rules: Rules, policy: AnomalyPolicy
) -> MeanBaseline:
    """Move the windows to *at*, learn what *mode* allows, and add *values*, pairs ``(value, count)``."""
    if at >= (level.rings[0].head + 1) * level.rings[0].slot_s:
        level = _pass_time(level, at, mode, rules, policy)
    if not values:
        return level
    if mode == "learning" and not _is_late_departure(level, values, rules, policy):
        level = _learn_values(level, at, values, policy)
    n, total, squares = _clipped_sums(level, values, rules)
    rings = tuple(add(ring, n, total) for ring in level.rings)
    if mode != "watching" or _is_jump(level, n, total, rules) or _is_suspicious(level, rings, rules):
        return msgspec.structs.replace(level, rings=rings)
    # The variance remembers as long as the mean: its weight never exceeds the mean's by more than one batch.
    weight = min(level.variance_weight, level.weight) + n
    variance = level.variance + (squares - n * level.variance) / weight
    return msgspec.structs.replace(level, rings=rings, variance=max(variance, 0.0), variance_weight=weight)


def largest_shift(level: MeanBaseline, rules: Rules) -> Shift | None:
    """Return the window that departs most significantly, whatever its size; ``None`` while no window has enough."""
    worst: Shift | None = None
    for index, ring in enumerate(level.rings):
        n = sum(ring.ns)
        if n < rules.least_values:
            continue
        shift = _shift(level, index, n, sum(ring.xs), rules)
        if worst is None or shift.z > worst.z:
            worst = shift
    return worst


def is_anomalous(level: MeanBaseline, shift: Shift, rules: Rules) -> bool:
    """Whether *shift* is both improbable and large enough to matter."""
    return shift.p_value < rules.p_open and shift.mean - level.mean >= rules.least_shift


def is_calm(level: MeanBaseline, rules: Rules) -> bool:
    """Whether recent values, enough of them, look like the baseline again."""
    for index, ring in enumerate(level.rings):
        n = sum(ring.ns)
        if n >= (CALM_FLOOR if index == len(level.rings) - 1 else CALM_VALUES):
            break
    else:
        return False
    departure = sum(ring.xs) / n - level.mean
    return departure < max(CALM_Z * level.error(index, n, rules), rules.least_shift / 2)


def opened(level: MeanBaseline) -> MeanBaseline:
    """Begin to collect the windows of an anomaly."""
    return msgspec.structs.replace(level, pending=(Dispersion(),) * len(WINDOWS))


def closed(level: MeanBaseline, at: float, is_burst: bool) -> MeanBaseline:
    """Forget a long anomaly; let a short one teach how this series wobbles. The windows begin anew."""
    level = msgspec.structs.replace(level, rings=start_mean_baseline(at).rings, mean_from=at)
    if not is_burst:
        return msgspec.structs.replace(level, spread_from=at)
    wobbles = tuple(w.learn(p.excess, p.weight, 1.0) for w, p in zip(level.wobbles, level.pending, strict=True))
    return msgspec.structs.replace(level, wobbles=wobbles)


def _shift(level: MeanBaseline, index: int, n: float, total: float, rules: Rules) -> Shift:
    """Hold *n* values, which add up to *total*, against what window *index* may do."""
    mean = total / n
    z = (mean - level.mean) / level.error(index, n, rules)
    return Shift(mean, int(n), level.rings[index].window_s, z, normal_tail(z))


def _is_jump(level: MeanBaseline, n: float, total: float, rules: Rules) -> bool:
    """
    Whether values that came at once would open an anomaly if they were a window. Then they are no scatter.

    The windows tell too late: they still hold the minutes before, and one look at a busy webhook can weigh as much as
    all that a young baseline knows. Its spread would widen to the whole rise, and no window could ever stand out again.
    """
    return n >= JUMP_VALUES and is_anomalous(level, _shift(level, 0, n, total, rules), rules)


def _is_late_departure(
    level: MeanBaseline, values: Iterable[tuple[float, int]], rules: Rules, policy: AnomalyPolicy
) -> bool:
    """
    Whether values that come at once while learning depart from what is known, which is half of what is wanted.

    Learned, they would be part of normal. Before there is that half, nobody can tell the onset from the normal.
    """
    if level.weight < policy.learn_attempts / 2:
        return False
    n, total, _ = _clipped_sums(level, values, rules)
    return n >= JUMP_VALUES and _shift(level, 0, n, total, rules).z > SUSPICIOUS_Z


def _is_suspicious(level: MeanBaseline, rings: tuple[Ring, ...], rules: Rules) -> bool:
    """
    Whether what comes in may be the onset of an anomaly.

    Then it must not widen the spread that it will be judged by: a young baseline would take even a tenfold rise for its
    own scatter before enough of it is seen.
    """
    shift = largest_shift(msgspec.structs.replace(level, rings=rings), rules)
    return shift is not None and shift.z > SUSPICIOUS_Z


def _clipped_sums(level: MeanBaseline, values: Iterable[tuple[float, int]], rules: Rules) -> tuple[float, float, float]:
    """Return the count, the sum of the clipped values, and their squared distances from the mean."""
    mean = level.mean
    limit = rules.clip_sd * level.sd(rules) if level.variance_weight >= UNCLIPPED else float("inf")
    n = total = squares = 0.0
    for value, times in values:
        off = min(max(value - mean, -limit), limit)
        n += times
        total += times * (mean + off)
        squares += times * off * off
    return n, total, squares


def _learn_values(
    level: MeanBaseline, at: float, values: Iterable[tuple[float, int]], policy: AnomalyPolicy
) -> MeanBaseline:
    """Take in values at once (West 1979, *CACM* 22:532): there is no baseline yet that they could spoil."""
    weight = level.weight * 0.5 ** ((at - level.learned_at) / policy.half_life_s)
    mean, squares = level.mean, level.variance * weight
    for value, times in values:
        weight += times
        off = value - mean
        mean += off * times / weight
        squares += times * off * (value - mean)
    return msgspec.structs.replace(
        level,
        learned_at=at,
        mean_from=at,
        weight=weight,
        mean=mean,
        # Rounding can leave a constant series just below zero.
        variance=max(squares, 0.0) / weight,
        variance_weight=weight,
    )


def _pass_time(level: MeanBaseline, at: float, mode: Mode, rules: Rules, policy: AnomalyPolicy) -> MeanBaseline:
    rings, wobbles, pending = [], list(level.wobbles), list(level.pending)
    variance = level.sd(rules) ** 2
    for index, ring in enumerate(level.rings):
        moved, passed = advance(ring, at)
        rings.append(moved)
        if passed.block is not None and passed.block[0] >= level.spread_from and level.weight > UNCLIPPED:
            _, n, total = passed.block
            # A window of few values says little about the wobble beneath their own scatter.
            trust = n / (n + 4)
            keep = 0.5 ** (ring.window_s / policy.spread_half_life_s)
            target = pending if mode == "frozen" else wobbles
            target[index] = target[index].learn(trust * ((total / n - level.mean) ** 2 - variance / n), trust, keep)
    n = total = 0.0
    if mode == "watching":
        for end_at, slot_n, slot_total in passed.dropped:
            if end_at - moved.slot_s >= level.mean_from:
                n, total = n + slot_n, total + slot_total
    weight, mean, learned_at = level.weight, level.mean, level.learned_at
    if n > 0:
        weight = weight * 0.5 ** ((at - learned_at) / policy.half_life_s) + n
        mean += (total - n * mean) / weight
        learned_at = at
    return msgspec.structs.replace(
        level,
        rings=tuple(rings),
        wobbles=tuple(wobbles),
        pending=tuple(pending),
        learned_at=learned_at,
        weight=weight,
        mean=mean,
    )
