"""
Baseline of a proportion of attempts, with overdispersion, and the test whether a window exceeds it.

The model is beta-binomial: each window has its own random probability around the baseline, with a correlation ``rho``
between two attempts of one window. ``rho`` is estimated per window length by moments from completed windows,
``E[(k - n p)^2] - n p q = rho * n (n - 1) p q`` (Williams 1982, *Applied Statistics* 31:144), so the usual bursts of a
webhook are no anomaly.

The baseline learns only slots that have left the longest window, so tested attempts are not part of it yet.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from monitor.domain.anomaly.distributions import beta_binomial_tail
from monitor.domain.anomaly.episode import LearningMode
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.windows import Ring, add_to_ring, advance_ring, empty_ring

WINDOWS: tuple[tuple[float, int], ...] = ((300.0, 5), (1_800.0, 6), (7_200.0, 8))
"""Seconds and slots of each window, shortest first."""

PRIOR_ATTEMPTS = 50.0
"""Weight of the prior proportion, in attempts."""

PRIOR_RHO = (0.05, 0.02, 0.01)
"""Prior correlation, per window."""

PRIOR_PAIRS = 200.0
"""Weight of the prior correlation, in ``n (n - 1) p q``: outweighed after some two hundred failures in busy windows."""

MIN_RHO = 5e-4
MAX_RHO = (0.15, 0.04, 0.015)
"""Maximum correlation, per window: a larger one would explain any outage as a burst. Larger bursts raise the peak."""

BURST_P = 1e-3
"""A completed window less likely than this without over-dispersion is a burst, and raises the peak."""

USUAL_BURST = 0.2
"""A peak of the shortest window from which bursts are usual: chance brings none so high."""

PEAK_FACTOR = 1.5
"""A window must exceed the webhook's worst burst by this factor, up to ``OUTAGE_RATIO``."""

OUTAGE_RATIO = 0.9
"""A proportion of failures that is an anomaly whatever the bursts before."""

RECENT_SLOTS = 2
RECENT_ATTEMPTS = 20
"""The present are the newest slots of the shortest window, of a minute each: up to two, or as many as hold enough."""

RECOVERY_ATTEMPTS = 20
"""Recovery is tested on the shortest window with this many attempts; five successes by luck are not enough."""

MIN_RECOVERY_ATTEMPTS = 2
RECOVERY_P = 0.01


class Dispersion(msgspec.Struct, frozen=True, array_like=True):
    """Decayed sums whose ratio is a dispersion: ``excess`` over what independent attempts explain, per ``weight``."""

    excess: float = 0.0
    weight: float = 0.0

    def learn(self, excess: float, weight: float, keep: float) -> Dispersion:
        """Return the sums scaled by *keep*, with the new terms added."""
        return Dispersion(self.excess * keep + excess, self.weight * keep + weight)


class Proportion(msgspec.Struct, frozen=True):
    """
    The baseline and the present windows. ``n`` attempts and ``k`` hits are decayed sums as of ``learned_at``.

    Slots that start before ``mean_from`` and windows that start before ``dispersion_from`` are not learned: these are
    part of the baseline already, or belong to an anomaly. ``pending`` collects the windows of the open anomaly,
    ``recent`` those of an excess that may become one.
    ``peaks`` are the highest excesses over the mean that ended without an anomaly, per window, decayed;
    ``pending_peaks`` those of the open anomaly; ``recent_peaks`` those of the last completed windows, which may turn
    out to be the onset of one.

    ``excess_at`` is the last time a window was in excess, ``excess_since`` the start of that period.
    """

    prior: float
    rings: tuple[Ring, ...]
    learned_at: float
    mean_from: float
    dispersion_from: float
    n: float = 0.0
    k: float = 0.0
    dispersions: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    pending: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    recent: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    recent_peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    pending_peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    excess_since: float = 0.0
    excess_at: float = 0.0

    @property
    def mean(self) -> float:
        """Expected proportion, in (0, 1)."""
        return (self.k + PRIOR_ATTEMPTS * self.prior) / (self.n + PRIOR_ATTEMPTS)

    def rho(self, index: int) -> float:
        """
        Correlation within window *index*, plus the variance of the estimated mean.

        Windows of independent shorter ones vary at least as much as the mean of those. So a longer window, of which few
        are complete, does not wait for bursts of its own. Only clustering that was seen is evidence for longer
        windows: the prior of the shorter would hide outages there.
        """
        seen = 0.0
        for shorter in range(index + 1):
            implied = seen * WINDOWS[max(shorter - 1, 0)][0] / WINDOWS[shorter][0]
            seen = min(max(self._seen_correlation(shorter), implied), self._max_rho(shorter))
        dispersion = self.dispersions[index]
        learned = (dispersion.excess + PRIOR_RHO[index] * PRIOR_PAIRS) / (dispersion.weight + PRIOR_PAIRS)
        return min(max(learned, seen, MIN_RHO), self._max_rho(index)) + self._mean_variance

    @property
    def seen_rho(self) -> float:
        """The same within the shortest window, where nothing but what was seen counts as clustering."""
        return min(max(self._seen_correlation(0), MIN_RHO), self._max_rho(0)) + self._mean_variance

    def _seen_correlation(self, index: int) -> float:
        """Correlation beyond chance: the standard deviation of the excess of independent attempts is no clustering."""
        dispersion = self.dispersions[index]
        # At most this: windows of n attempts have the variance weight / (n - 1).
        chance = sqrt(max(dispersion.weight, 0.0))
        return max(dispersion.excess - chance, 0.0) / (dispersion.weight + PRIOR_PAIRS)

    def _max_rho(self, index: int) -> float:
        # Where most attempts fail always, what varies is no burst.
        return MAX_RHO[index] if self.mean < 0.5 else MAX_RHO[0]

    @property
    def _mean_variance(self) -> float:
        return 1 / (self.n + PRIOR_ATTEMPTS + 1)

    def min_ratio(self, index: int, policy: AnomalyPolicy) -> float:
        """Proportion below which window *index* is no anomaly, however improbable."""
        beyond_peak = min(self.mean + PEAK_FACTOR * self.peaks[index], OUTAGE_RATIO)
        return max(self.mean + policy.min_points_ratio, beyond_peak)


class Excess(msgspec.Struct, frozen=True):
    """A window with significantly more hits than normal."""

    k: int
    n: int
    window_s: float
    p_value: float


def start_proportion(at: float, prior: float) -> Proportion:
    """Return a baseline without observations; *prior* is in (0, 1)."""
    rings = tuple(empty_ring(window_s, slots, at) for window_s, slots in WINDOWS)
    return Proportion(prior=prior, rings=rings, learned_at=at, mean_from=at, dispersion_from=at)


def add_attempts(
    proportion: Proportion, at: float, n: int, k: int, mode: LearningMode, policy: AnomalyPolicy
) -> Proportion:
    """Move the windows to *at*, learn what *mode* allows, and add *k* of *n* to the newest slots."""
    rings = proportion.rings
    if at >= (rings[0].head + 1) * rings[0].slot_s:
        proportion = _advance_windows(proportion, at, mode, policy)
    if n == 0:
        return proportion
    rings = tuple(add_to_ring(ring, n, k) for ring in proportion.rings)
    if mode == "frozen":
        return msgspec.structs.replace(proportion, rings=rings, pending_peaks=_raised_peaks(proportion, rings, policy))
    if mode == "detecting":
        return msgspec.structs.replace(proportion, rings=rings)
    keep = 0.5 ** ((at - proportion.learned_at) / policy.half_life_s)
    return msgspec.structs.replace(
        proportion, rings=rings, learned_at=at, mean_from=at, n=proportion.n * keep + n, k=proportion.k * keep + k
    )


def find_sustained_excess(
    proportion: Proportion, started_at: float, at: float, policy: AnomalyPolicy
) -> tuple[Proportion, Excess | None]:
    """
    Find an excess that lasts.

    Returns:
        The updated proportion, and the least likely window once the excess has lasted for ``policy.hold_s`` and still
        shows in the newest attempts: most bursts have ended by then. Nearly total failure is returned at once.
    """
    worst = find_excess(proportion, policy)
    if worst is None:
        return proportion, None
    # A proportion near the limit crosses it repeatedly, so only a pause as long as the hold restarts the period.
    is_same = at - proportion.excess_at <= policy.hold_s
    since = proportion.excess_since if is_same else at
    proportion = msgspec.structs.replace(proportion, excess_since=since, excess_at=at)
    if worst.k >= OUTAGE_RATIO * worst.n:
        return proportion, worst
    newest = proportion.rings[0]
    slots = 1 if newest.ns[-1] >= RECENT_ATTEMPTS else RECENT_SLOTS
    n, k = sum(newest.ns[-slots:]), sum(newest.xs[-slots:])
    is_present = k > 0 and k >= n * (proportion.mean + policy.min_points_ratio)
    may_be_burst = at - started_at < policy.learn_s or proportion.peaks[0] >= USUAL_BURST
    hold_s = policy.burst_hold_s if may_be_burst else policy.hold_s
    return proportion, worst if is_present and at - since >= hold_s else None


def find_excess(proportion: Proportion, policy: AnomalyPolicy) -> Excess | None:
    """Return the least likely of the windows that exceed all three limits of *policy*."""
    worst: Excess | None = None
    mean = proportion.mean
    for index, ring in enumerate(proportion.rings):
        k = sum(ring.xs)
        if k < policy.min_failures:
            continue
        n = sum(ring.ns)
        if k < n * proportion.min_ratio(index, policy):
            continue
        p_value = beta_binomial_tail(int(k), int(n), mean, proportion.rho(index))
        if p_value < (policy.p_window if worst is None else worst.p_value):
            worst = Excess(int(k), int(n), ring.window_s, p_value)
    return worst


def has_recovered(proportion: Proportion, policy: AnomalyPolicy) -> bool:
    """Whether enough recent attempts agree with the baseline again."""
    for index, ring in enumerate(proportion.rings):
        n, k = sum(ring.ns), sum(ring.xs)
        enough = MIN_RECOVERY_ATTEMPTS if index == len(proportion.rings) - 1 else RECOVERY_ATTEMPTS
        if n >= enough:
            break
    else:
        return False
    if k <= n * (proportion.mean + policy.min_points_ratio / 2):
        return True
    return beta_binomial_tail(int(k), int(n), proportion.mean, proportion.rho(index)) > RECOVERY_P


def has_burst(proportion: Proportion, policy: AnomalyPolicy) -> bool:
    """Whether the shortest window has more hits than independent attempts explain, be that usual or not."""
    shortest = proportion.rings[0]
    return _burst_excess(sum(shortest.ns), sum(shortest.xs), proportion.mean, policy) > 0


def open_episode(proportion: Proportion) -> Proportion:
    """Start collecting the windows of an anomaly."""
    return msgspec.structs.replace(
        proportion,
        pending=proportion.recent,
        recent=(Dispersion(),) * len(WINDOWS),
        pending_peaks=proportion.recent_peaks,
        recent_peaks=(0.0,) * len(WINDOWS),
    )


def close_episode(proportion: Proportion, at: float, is_burst: bool) -> Proportion:
    """Empty the windows; add the dispersion and peaks of a burst to the baseline, discard those of a longer anomaly."""
    proportion = msgspec.structs.replace(
        proportion, rings=start_proportion(at, proportion.prior).rings, mean_from=at, excess_at=0.0
    )
    if not is_burst:
        return msgspec.structs.replace(proportion, dispersion_from=at)
    pairs = zip(proportion.dispersions, proportion.pending, strict=True)
    dispersions = tuple(learned.learn(new.excess, new.weight, 1.0) for learned, new in pairs)
    peaks = tuple(map(max, proportion.peaks, proportion.pending_peaks))
    return msgspec.structs.replace(proportion, dispersions=dispersions, peaks=peaks)


def _advance_windows(proportion: Proportion, at: float, mode: LearningMode, policy: AnomalyPolicy) -> Proportion:
    mean = proportion.mean
    rings, dispersions, pending = [], list(proportion.dispersions), list(proportion.pending)
    recent = list(proportion.recent)
    peaks, recent_peaks = list(proportion.peaks), list(proportion.recent_peaks)
    is_held = _is_held(proportion, at, policy)
    for index, ring in enumerate(proportion.rings):
        moved, elapsed = advance_ring(ring, at)
        rings.append(moved)
        if elapsed.block is not None and elapsed.block[0] >= proportion.dispersion_from:
            _, n, k = elapsed.block
            variance = n * mean * (1 - mean)
            keep = 0.5 ** (ring.window_s / policy.dispersion_half_life_s)
            target = pending if mode == "frozen" else recent if is_held else dispersions
            target[index] = target[index].learn((k - n * mean) ** 2 - variance, (n - 1) * variance, keep)
            if target is dispersions:
                dispersions[index] = dispersions[index].learn(recent[index].excess, recent[index].weight, 1.0)
                recent[index] = Dispersion()
            if mode != "frozen":
                known = 0.0 if is_held else recent_peaks[index]
                peaks[index] = max(peaks[index] * keep, known)
                recent_peaks[index] = max(recent_peaks[index] - known, _burst_excess(n, k, mean, policy))
    keep, n, k = 1.0, 0.0, 0.0
    if mode == "detecting":
        for end_at, slot_n, slot_k in elapsed.dropped:
            if end_at - moved.slot_s >= proportion.mean_from:
                n, k = n + slot_n, k + slot_k
    learned_at = proportion.learned_at
    if n > 0:
        keep, learned_at = 0.5 ** ((at - learned_at) / policy.half_life_s), at
    return msgspec.structs.replace(
        proportion,
        rings=tuple(rings),
        dispersions=tuple(dispersions),
        pending=tuple(pending),
        recent=tuple(recent),
        peaks=tuple(peaks),
        recent_peaks=tuple(recent_peaks),
        learned_at=learned_at,
        n=proportion.n * keep + n,
        k=proportion.k * keep + k,
    )


def _is_held(proportion: Proportion, at: float, policy: AnomalyPolicy) -> bool:
    """Whether an excess may still open an anomaly. Until then its windows are not learned."""
    lasts = at - proportion.excess_at <= policy.hold_s
    return lasts and at - proportion.excess_since <= policy.burst_hold_s + policy.hold_s


def _burst_excess(n: float, k: float, mean: float, policy: AnomalyPolicy) -> float:
    """Return the excess of a completed window over the mean, 0 if independent attempts explain it."""
    if k < policy.min_failures or k < n * (mean + policy.min_points_ratio):
        return 0.0
    return k / n - mean if beta_binomial_tail(int(k), int(n), mean, MIN_RHO) < BURST_P else 0.0


def _raised_peaks(proportion: Proportion, rings: tuple[Ring, ...], policy: AnomalyPolicy) -> tuple[float, ...]:
    """Return the pending peaks, raised to the windows of the open anomaly."""
    peaks = []
    for ring, peak in zip(rings, proportion.pending_peaks, strict=True):
        n, k = sum(ring.ns), sum(ring.xs)
        peaks.append(max(peak, k / n - proportion.mean) if k >= policy.min_failures else peak)
    return tuple(peaks)
