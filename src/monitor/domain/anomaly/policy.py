"""How sure the detector must be. The defaults are tuned on seeds 1-5 of ``benchmarks.detection``."""

from __future__ import annotations

import msgspec

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S


class AnomalyPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One policy for all signals. Those marked (S) are promised to users; the others may be tuned.

    Attributes:
        learn_attempts: (S) attempts after which a baseline may judge.
        learn_s: (S) seconds after which it may judge with fewer.
        half_life_s: (S) age at which an observation counts half in a mean.
        spread_half_life_s: the same for dispersions. Longer, since rare bursts must be remembered between two of them.
        freeze_s: (S) how long an open anomaly keeps its baseline from learning.
        close_after_s: how long the recent window must agree with the baseline before an anomaly closes.
        burst_s: an anomaly that closes within this time teaches the dispersion: it was one of the webhook's own bursts.
        min_failures: (S) failures below which no window is judged.
        min_points_ratio: (S) least excess over the baseline share.
        p_window: (S) tail probability below which a failure or tail window opens an anomaly.
        hold_s: how long a window must have been so before it opens an anomaly, unless nearly everything fails.
        min_run: consecutive failures below which a run is not judged.
        min_run_s: how long a run must have lasted, so that a busy webhook is not judged by a hiccup of seconds.
        runs_per_day: how often a run may happen in normal operation, per day, and still open an anomaly.
        min_slowdown: least ratio of geometric mean latencies.
        p_latency: tail probability below which a latency window opens an anomaly.
        volume_factor: least ratio of observed to expected attempts, either way.
        p_volume: tail probability below which volume or silence opens an anomaly.
        gap_factor: a silence must exceed the webhook's longest one by this factor.
    """

    learn_attempts: int = 200
    learn_s: float = DAY_S
    half_life_s: float = DAY_S
    spread_half_life_s: float = WEEK_S
    freeze_s: float = DAY_S
    close_after_s: float = 600.0
    burst_s: float = 5_400.0
    min_failures: int = 3
    min_points_ratio: float = 0.05
    p_window: float = 1e-5
    hold_s: float = 120.0
    min_run: int = 5
    min_run_s: float = 60.0
    runs_per_day: float = 0.005
    min_slowdown: float = 1.2
    p_latency: float = 1e-7
    volume_factor: float = 2.0
    p_volume: float = 1e-7
    gap_factor: float = 2.0


DEFAULT_POLICY = AnomalyPolicy()
