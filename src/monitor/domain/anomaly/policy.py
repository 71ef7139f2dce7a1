"""Thresholds of the detector. The defaults are tuned on seeds 1-5 of ``benchmarks.detection``."""

from __future__ import annotations

import msgspec

from monitor.domain.monitoring.metrics import DAY_S

WEEK_S = 7 * DAY_S


class AnomalyPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One policy for all signals. Those marked (S) are promised to users; the others may be tuned.

    Attributes:
        learn_attempts: (S) attempts after which a baseline is used.
        learn_s: (S) seconds after which it is used with fewer.
        half_life_s: (S) age at which an observation counts half in a mean.
        dispersion_half_life_s: the same for the dispersion of failures. Longer, to bridge the time between two bursts.
        freeze_s: (S) how long an open anomaly keeps its baseline from learning.
        close_after_s: how long the recent window must agree with the baseline before an anomaly closes.
        burst_s: an anomaly that closes within this time counts as a burst, and adds to the dispersion.
        min_failures: (S) failures below which no window opens an anomaly.
        min_points_ratio: (S) minimum excess over the baseline proportion.
        p_window: (S) tail probability below which a failure or tail window opens an anomaly.
        hold_s: how long an excess must last before it opens an anomaly, unless nearly everything fails.
        burst_hold_s: the same where bursts are usual, and in the first ``learn_s``, when none is known yet.
        min_run: consecutive failures below which a run opens no anomaly.
        min_run_s: minimum duration of a run, so that a busy webhook survives an interruption of seconds.
        runs_per_day: a run opens an anomaly if normal operation brings fewer such runs a day than this.
        min_slowdown: minimum ratio of geometric mean latencies.
        p_latency: tail probability below which a latency window opens an anomaly.
        volume_factor: minimum ratio of observed to expected attempts, or of expected to observed.
        p_volume: tail probability below which volume or no data opens an anomaly.
        gap_factor: a gap must exceed the webhook's longest normal one by this factor.
    """

    learn_attempts: int = 200
    learn_s: float = DAY_S
    half_life_s: float = DAY_S
    dispersion_half_life_s: float = WEEK_S
    freeze_s: float = DAY_S
    close_after_s: float = 600.0
    burst_s: float = 5_400.0
    min_failures: int = 3
    min_points_ratio: float = 0.05
    p_window: float = 1e-5
    hold_s: float = 120.0
    burst_hold_s: float = 300.0
    min_run: int = 3
    min_run_s: float = 60.0
    runs_per_day: float = 0.06
    min_slowdown: float = 1.2
    p_latency: float = 1e-6
    volume_factor: float = 2.0
    p_volume: float = 1e-7
    gap_factor: float = 2.0


DEFAULT_POLICY = AnomalyPolicy()
