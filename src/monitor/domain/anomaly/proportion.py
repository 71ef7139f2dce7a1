"""
What share of attempts is normal, how much it wobbles, and whether a window's share can still be normal.

The model is beta-binomial: each window draws its own probability around the baseline share, with a correlation ``rho``
between two attempts of one window. ``rho`` is learned per window length by moments from completed windows,
``E[(k - n p)^2] - n p q = rho * n (n - 1) p q`` (Williams 1982, *Applied Statistics* 31:144), so that a webhook that
fails in bursts is allowed its bursts.

The share learns from slots that have left the longest window: what is judged has not taught what it is judged against.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from monitor.domain.anomaly.distributions import beta_binomial_tail
from monitor.domain.anomaly.policy import AnomalyPolicy
from monitor.domain.anomaly.windows import Ring, add, advance, empty_ring

Mode = Literal["learning", "watching", "frozen"]

WINDOWS: tuple[tuple[float, int], ...] = ((300.0, 5), (1_800.0, 6), (7_200.0, 8))
"""Seconds and slots of each window, shortest first."""

PRIOR_WEIGHT = 50.0
"""Attempts that the prior share is worth."""

PRIOR_RHO = (0.05, 0.02, 0.01)
"""Correlation expected before anything is learned, per window."""

PRIOR_PAIRS = 200.0
"""How much ``n (n - 1) p q`` the prior correlation is worth: it fades after some two hundred failures in busy
windows."""

LEAST_RHO = 5e-4
MOST_RHO = 0.15
"""Beyond this the model would take any outage for a burst. Larger bursts are remembered by their peak instead."""

SURPRISE_P = 1e-3
"""A completed window less likely than this without over-dispersion is a burst, and raises the peak."""

BEYOND_PEAK = 1.5
"""A window must exceed the webhook's worst burst by this factor, up to ``ALWAYS_RATIO``."""

ALWAYS_RATIO = 0.9
"""A share that no history of bursts excuses."""

FRESH_SLOTS = 2
"""Slots of the shortest window, of a minute each, that tell how it is just now."""

CALM_ATTEMPTS = 20
"""Closing looks at the shortest window with so many attempts: five lucky ones prove nothing."""

CALM_FLOOR = 2
CALM_P = 0.01


class Dispersion(msgspec.Struct, frozen=True, array_like=True):
    """Decayed sums whose ratio is a dispersion: ``excess`` over what the plain law explains, per ``weight``."""

    excess: float = 0.0
    weight: float = 0.0

    def learn(self, excess: float, weight: float, keep: float) -> Dispersion:
        """Fade to *keep* of what is known, and add."""
        return Dispersion(self.excess * keep + excess, self.weight * keep + weight)


class Proportion(msgspec.Struct, frozen=True):
    """
    The learned share and the windows before now. ``n`` and ``k`` are decayed sums as of ``learned_at``.

    Slots that end before ``mean_from`` and windows that start before ``spread_from`` are not learned: they are known
    already, or belong to an anomaly. ``pending`` collects the windows of the open anomaly. ``peaks`` are the highest
    shares above the mean that passed by themselves, per window, fading; ``pending_peaks`` those of the open anomaly;
    ``waiting_peaks`` those of the last completed windows, which may turn out to be the onset of one.

    ``suspected_at`` is the last time a window was in excess, ``suspect_since`` the first of that stretch.
    """

    prior: float
    rings: tuple[Ring, ...]
    learned_at: float
    mean_from: float
    spread_from: float
    n: float = 0.0
    k: float = 0.0
    spreads: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    pending: tuple[Dispersion, ...] = (Dispersion(),) * len(WINDOWS)
    peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    waiting_peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    pending_peaks: tuple[float, ...] = (0.0,) * len(WINDOWS)
    suspect_since: float = 0.0
    suspected_at: float = 0.0

    @property
    def mean(self) -> float:
        """Expected share, in (0, 1)."""
        return (self.k + PRIOR_WEIGHT * self.prior) / (self.n + PRIOR_WEIGHT)

    def rho(self, index: int) -> float:
        """Correlation within window *index*, widened by what the share itself may be wrong."""
        spread = self.spreads[index]
        learned = (spread.excess + PRIOR_RHO[index] * PRIOR_PAIRS) / (spread.weight + PRIOR_PAIRS)
        return min(max(learned, LEAST_RHO), MOST_RHO) + 1 / (self.n + PRIOR_WEIGHT + 1)

    def least_ratio(self, index: int, policy: AnomalyPolicy) -> float:
        """Share that window *index* must reach to be an anomaly, however improbable it is."""
        beyond_peak = min(self.mean + BEYOND_PEAK * self.peaks[index], ALWAYS_RATIO)
        return max(self.mean + policy.min_points_ratio, beyond_peak)


class Excess(msgspec.Struct, frozen=True):
    """A window whose share is too high to be normal."""

    k: int
    n: int
    window_s: float
    p_value: float


def start_proportion(at: float, prior: float) -> Proportion:
    """Return a share that knows only its prior mean, in (0, 1)."""
    rings = tuple(empty_ring(window_s, slots, at) for window_s, slots in WINDOWS)
    return Proportion(prior=prior, rings=rings, learned_at=at, mean_from=at, spread_from=at)


def count(share: Proportion, at: float, n: int, k: int, mode: Mode, policy: AnomalyPolicy) -> Proportion:
    """Move the windows to *at*, learn what *mode* allows, and add *k* of *n* to the newest slots."""
    rings = share.rings
    if at >= (rings[0].head + 1) * rings[0].slot_s:
        share = _pass_time(share, at, mode, policy)
    if n == 0:
        return share
    rings = tuple(add(ring, n, k) for ring in share.rings)
    if mode == "frozen":
        return msgspec.structs.replace(share, rings=rings, pending_peaks=_higher_peaks(share, rings, policy))
    if mode == "watching":
        return msgspec.structs.replace(share, rings=rings)
    keep = 0.5 ** ((at - share.learned_at) / policy.half_life_s)
    return msgspec.structs.replace(
        share, rings=rings, learned_at=at, mean_from=at, n=share.n * keep + n, k=share.k * keep + k
    )


def suspect(share: Proportion, at: float, policy: AnomalyPolicy) -> tuple[Proportion, Excess | None]:
    """
    Look for an excess that lasts.

    Returns:
        The share, which remembers since when it is suspicious, and the worst window once that was ``policy.hold_s`` ago
        and the newest attempts still agree: most bursts have passed by then. Nearly total failure needs no second look.
    """
    worst = excess(share, policy)
    if worst is None:
        return share, None
    # A share near the limit crosses it to and fro: only a pause as long as the hold begins it anew.
    is_same = at - share.suspected_at <= policy.hold_s
    since = share.suspect_since if is_same else at
    share = msgspec.structs.replace(share, suspect_since=since, suspected_at=at)
    if worst.k >= ALWAYS_RATIO * worst.n:
        return share, worst
    newest = share.rings[0]
    n, k = sum(newest.ns[-FRESH_SLOTS:]), sum(newest.xs[-FRESH_SLOTS:])
    is_fresh = k > 0 and k >= n * (share.mean + policy.min_points_ratio)
    return share, worst if is_fresh and at - since >= policy.hold_s else None


def excess(share: Proportion, policy: AnomalyPolicy) -> Excess | None:
    """Return the least likely window that breaks all three limits of *policy*, if any does."""
    worst: Excess | None = None
    mean = share.mean
    for index, ring in enumerate(share.rings):
        k = sum(ring.xs)
        if k < policy.min_failures:
            continue
        n = sum(ring.ns)
        if k < n * share.least_ratio(index, policy):
            continue
        p_value = beta_binomial_tail(int(k), int(n), mean, share.rho(index))
        if p_value < (policy.p_window if worst is None else worst.p_value):
            worst = Excess(int(k), int(n), ring.window_s, p_value)
    return worst


def is_calm(share: Proportion, policy: AnomalyPolicy) -> bool:
    """Whether recent attempts, enough of them, look like the baseline again."""
    for index, ring in enumerate(share.rings):
        n, k = sum(ring.ns), sum(ring.xs)
        enough = CALM_FLOOR if index == len(share.rings) - 1 else CALM_ATTEMPTS
        if n >= enough:
            break
    else:
        return False
    if k <= n * (share.mean + policy.min_points_ratio / 2):
        return True
    return beta_binomial_tail(int(k), int(n), share.mean, share.rho(index)) > CALM_P


def opened(share: Proportion) -> Proportion:
    """Begin to collect the windows of an anomaly."""
    nothing, no_peaks = (Dispersion(),) * len(WINDOWS), (0.0,) * len(WINDOWS)
    return msgspec.structs.replace(share, pending=nothing, pending_peaks=share.waiting_peaks, waiting_peaks=no_peaks)


def closed(share: Proportion, at: float, is_burst: bool) -> Proportion:
    """Forget a long anomaly; let a short one teach how this webhook wobbles. The windows begin anew."""
    share = msgspec.structs.replace(
        share, rings=start_proportion(at, share.prior).rings, mean_from=at, suspected_at=0.0
    )
    if not is_burst:
        return msgspec.structs.replace(share, spread_from=at)
    spreads = tuple(s.learn(p.excess, p.weight, 1.0) for s, p in zip(share.spreads, share.pending, strict=True))
    peaks = tuple(map(max, share.peaks, share.pending_peaks))
    return msgspec.structs.replace(share, spreads=spreads, peaks=peaks)


def _pass_time(share: Proportion, at: float, mode: Mode, policy: AnomalyPolicy) -> Proportion:
    mean = share.mean
    rings, spreads, pending = [], list(share.spreads), list(share.pending)
    peaks, waiting = list(share.peaks), list(share.waiting_peaks)
    for index, ring in enumerate(share.rings):
        moved, passed = advance(ring, at)
        rings.append(moved)
        if passed.block is not None and passed.block[0] >= share.spread_from:
            _, n, k = passed.block
            plain = n * mean * (1 - mean)
            keep = 0.5 ** (ring.window_s / policy.spread_half_life_s)
            target = pending if mode == "frozen" else spreads
            target[index] = target[index].learn((k - n * mean) ** 2 - plain, (n - 1) * plain, keep)
            if mode != "frozen":
                peaks[index] = max(peaks[index] * keep, waiting[index])
                waiting[index] = _burst_height(n, k, mean, policy)
    keep, n, k = 1.0, 0.0, 0.0
    if mode == "watching":
        for end_at, slot_n, slot_k in passed.dropped:
            if end_at - moved.slot_s >= share.mean_from:
                n, k = n + slot_n, k + slot_k
    learned_at = share.learned_at
    if n > 0:
        keep, learned_at = 0.5 ** ((at - learned_at) / policy.half_life_s), at
    return msgspec.structs.replace(
        share,
        rings=tuple(rings),
        spreads=tuple(spreads),
        pending=tuple(pending),
        peaks=tuple(peaks),
        waiting_peaks=tuple(waiting),
        learned_at=learned_at,
        n=share.n * keep + n,
        k=share.k * keep + k,
    )


def _burst_height(n: float, k: float, mean: float, policy: AnomalyPolicy) -> float:
    """Return how far a completed window stood above the mean, if chance alone does not explain it; else 0."""
    if k < policy.min_failures or k < n * (mean + policy.min_points_ratio):
        return 0.0
    return k / n - mean if beta_binomial_tail(int(k), int(n), mean, LEAST_RHO) < SURPRISE_P else 0.0


def _higher_peaks(share: Proportion, rings: tuple[Ring, ...], policy: AnomalyPolicy) -> tuple[float, ...]:
    """Raise the pending peaks to what the windows of an open anomaly show."""
    peaks = []
    for ring, peak in zip(rings, share.pending_peaks, strict=True):
        n, k = sum(ring.ns), sum(ring.xs)
        peaks.append(max(peak, k / n - share.mean) if k >= policy.min_failures else peak)
    return tuple(peaks)
