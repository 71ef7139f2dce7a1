"""
Failure rate: too many failures in 5, 30 or 120 minutes, or too many in a row.

A run is judged by how often it would happen in a normal day. With failure share ``p`` and the learned chance ``c`` that
a failure follows a failure, a given attempt begins a run of ``r`` with probability ``p (1 - c) c ** (r - 1)`` and is
its ``r``-th with ``p c ** (r - 1)``: the first-order Markov chain of Schwager 1983, *JASA* 78:168. Where failures come
in bursts the chance that *r* attempts of one window all fail is larger, and counts.
"""

from __future__ import annotations

import msgspec

from monitor.domain.anomaly.distributions import beta_binomial_tail
from monitor.domain.anomaly.episode import Alarm, Episode, duration, is_frozen, judge, learning, standing
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DAY_S, DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import (
    Dispersion,
    Excess,
    Mode,
    Proportion,
    closed,
    count,
    is_calm,
    opened,
    start_proportion,
    suspect,
)
from monitor.domain.vocab import Severity

PRIOR_FAILURES = 0.01
"""Share of failures expected of a webhook nobody has seen."""

PRIOR_FOLLOWS = 0.1
"""Chance that a failure follows a failure, before it is known."""

PRIOR_FOLLOWS_WEIGHT = 10.0
LONGEST_RUN_LEARNED = 20
"""A run teaches no more than this, so that one outage does not blind the webhook to the next."""

CRITICAL_RATIO = 0.5


class FailureBaseline(msgspec.Struct, frozen=True):
    """
    What is normal for a webhook's failures.

    ``run`` failures ended the stream so far, the first after ``run_since``. ``follows`` holds decayed sums: failures
    that followed a failure, per failure. ``pending`` holds those of the open anomaly.
    """

    at: float
    started_at: float
    share: Proportion
    attempts: int = 0
    run: int = 0
    run_since: float = 0.0
    follows: Dispersion = Dispersion()
    follows_at: float = 0.0
    pending: Dispersion = Dispersion()
    episode: Episode | None = None

    @property
    def follow_chance(self) -> float:
        """Chance that a failure is followed by another, in (0, 1)."""
        known = self.follows
        return (known.excess + PRIOR_FOLLOWS * PRIOR_FOLLOWS_WEIGHT) / (known.weight + PRIOR_FOLLOWS_WEIGHT)


def start(at: float) -> FailureBaseline:
    """Return the baseline of a webhook first seen at *at* (Unix seconds)."""
    return FailureBaseline(
        at=at, started_at=at, share=start_proportion(at, PRIOR_FAILURES), run_since=at, follows_at=at
    )


def observe(
    baseline: FailureBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[FailureBaseline, Verdict]:
    """
    Take in *sample* and judge it.

    A sample that is not newer than *baseline* changes nothing and opens nothing; its verdict tells the present state.
    """
    if sample.at <= baseline.at:
        return baseline, _standing(baseline, policy)
    known = _knows_enough(baseline, sample.at, policy)
    mode: Mode = "learning" if not known else "watching"
    if is_frozen(baseline.episode, sample.at, policy):
        mode = "frozen"
    # Without new attempts the last run still stands: the breaker may have stopped them.
    longest = max(baseline.run + sample.run_head, sample.longest_run) if sample.failures or not sample.attempts else 0
    # A run within the sample began after the sample before; one that goes on began where it began.
    since = baseline.run_since if baseline.run and longest > sample.longest_run else baseline.at
    baseline = _take(baseline, sample, mode, policy)
    if not known:
        return baseline, _learning(baseline, policy)
    if sample.attempts == 0 and baseline.episode is None and baseline.run < policy.min_run:
        return baseline, standing(Signal.FAILURES, None, sample.at)
    known_share, worst = suspect(baseline.share, sample.at, policy)
    if known_share is not baseline.share:
        baseline = msgspec.structs.replace(baseline, share=known_share)
    alarm = _alarm(baseline, worst, longest, since, policy)
    calm = baseline.run == 0 and is_calm(baseline.share, policy)
    before = baseline.episode
    episode, verdict = judge(Signal.FAILURES, before, sample.at, alarm, calm, policy)
    if episode is before:
        return baseline, verdict
    return _turn(baseline, before, episode, policy), verdict


def _take(baseline: FailureBaseline, sample: Sample, mode: Mode, policy: AnomalyPolicy) -> FailureBaseline:
    share = count(baseline.share, sample.at, sample.attempts, sample.failures, mode, policy)
    if sample.attempts == 0:
        return msgspec.structs.replace(baseline, at=sample.at, share=share)
    baseline = _finish_runs(baseline, sample, mode, policy)
    if sample.failures == sample.attempts:
        run = baseline.run + sample.attempts
        run_since = baseline.run_since if baseline.run else baseline.at
    else:
        run, run_since = sample.run_tail, (baseline.at if sample.run_tail else sample.at)
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        share=share,
        attempts=min(baseline.attempts + sample.attempts, policy.learn_attempts),
        run=run,
        run_since=run_since,
    )


def _finish_runs(baseline: FailureBaseline, sample: Sample, mode: Mode, policy: AnomalyPolicy) -> FailureBaseline:
    """Learn the length of the runs that a success of *sample* ended."""
    if sample.failures == sample.attempts:
        return baseline
    failures = baseline.run + sample.failures - sample.run_tail
    if failures <= 0:
        return baseline
    runs = sample.runs - (sample.run_tail > 0) + (baseline.run > 0 and sample.run_head == 0)
    runs = max(runs, 1)
    failures = min(failures, runs * LONGEST_RUN_LEARNED)
    keep = 0.5 ** ((sample.at - baseline.follows_at) / policy.spread_half_life_s)
    if mode == "frozen":
        pending = baseline.pending.learn(failures - runs, failures, 1.0)
        return msgspec.structs.replace(baseline, pending=pending)
    follows = baseline.follows.learn(failures - runs, failures, keep)
    return msgspec.structs.replace(baseline, follows=follows, follows_at=sample.at)


def _alarm(
    baseline: FailureBaseline, worst: Excess | None, run: int, run_since: float, policy: AnomalyPolicy
) -> Alarm | None:
    mean = baseline.share.mean
    run_s = baseline.at - run_since
    if run >= policy.min_run and run_s >= policy.min_run_s:
        together = beta_binomial_tail(run, run, mean, baseline.share.rho(0))
        p_value = max(mean * baseline.follow_chance ** (run - 1), together)
        # The decayed count settles at the attempts of half-life / ln 2; 0.7 of it is one half-life's worth.
        per_day = max(baseline.share.n * 0.7 * DAY_S / policy.half_life_s, 1.0)
        if p_value < policy.runs_per_day / per_day:
            evidence = Evidence(1.0, mean, run, run_s, p_value)
            return Alarm(evidence, Severity.CRITICAL, f"{run} attempts in a row failed; {mean:.1%} failing is normal.")
    if worst is None:
        return None
    ratio = worst.k / worst.n
    severity = Severity.CRITICAL if ratio >= CRITICAL_RATIO else Severity.WARNING
    sentence = (
        f"{worst.k} of {worst.n} attempts in {duration(worst.window_s)} failed ({ratio:.1%}); {mean:.1%} is normal."
    )
    return Alarm(Evidence(ratio, mean, worst.n, worst.window_s, worst.p_value), severity, sentence)


def _turn(
    baseline: FailureBaseline, before: Episode | None, after: Episode | None, policy: AnomalyPolicy
) -> FailureBaseline:
    """Store the episode; at its beginning and end tell the baseline."""
    if before is None:
        return msgspec.structs.replace(baseline, episode=after, share=opened(baseline.share), pending=Dispersion())
    if after is not None:
        return msgspec.structs.replace(baseline, episode=after)
    is_burst = baseline.at - before.opened_at <= policy.burst_s
    follows = baseline.follows
    if is_burst:
        follows = follows.learn(baseline.pending.excess, baseline.pending.weight, 1.0)
    share = closed(baseline.share, baseline.at, is_burst)
    return msgspec.structs.replace(baseline, episode=None, share=share, follows=follows)


def _learning(baseline: FailureBaseline, policy: AnomalyPolicy) -> Verdict:
    sentence = f"Learning what is normal: {baseline.attempts} of {policy.learn_attempts} attempts seen."
    return learning(Signal.FAILURES, baseline.at, sentence)


def _knows_enough(baseline: FailureBaseline, at: float, policy: AnomalyPolicy) -> bool:
    return baseline.attempts >= policy.learn_attempts or at - baseline.started_at >= policy.learn_s


def _standing(baseline: FailureBaseline, policy: AnomalyPolicy) -> Verdict:
    if not _knows_enough(baseline, baseline.at, policy):
        return _learning(baseline, policy)
    return standing(Signal.FAILURES, baseline.episode, baseline.at)
