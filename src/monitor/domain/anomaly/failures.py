"""
Failure rate: too many failures in 5, 30 or 120 minutes, or too many in a row.

A run is an anomaly if normal operation rarely brings one. With a proportion ``p`` of failures and the learned
probability ``c`` that a failure follows a failure, an attempt begins a run of ``r`` with probability
``p (1 - c) c ** (r - 1)`` and is its ``r``-th with ``p c ** (r - 1)``: the first-order Markov chain of Schwager 1983,
*JASA* 78:168. Where failures come in bursts, *r* failures of *r* attempts in one window are more likely than that, and
the larger probability is used.
"""

from __future__ import annotations

from math import exp, log

import msgspec

from monitor.domain.anomaly.distributions import beta_binomial_tail
from monitor.domain.anomaly.episode import (
    Deviation,
    Episode,
    LearningMode,
    current_verdict,
    format_duration,
    learning_mode,
    learning_verdict,
    update_episode,
)
from monitor.domain.anomaly.model import Evidence, Sample, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import (
    Dispersion,
    Excess,
    Proportion,
    add_attempts,
    close_episode,
    find_sustained_excess,
    has_burst,
    has_recovered,
    open_episode,
    start_proportion,
)
from monitor.domain.monitoring.metrics import DAY_S
from monitor.domain.vocab import Severity

PRIOR_PROPORTION = 0.01
"""Proportion of failures expected of a new webhook."""

PRIOR_CONTINUATION = 0.05
PRIOR_CONTINUATION_FAILURES = 5.0
"""Probability that a failure follows a failure, and the weight of this prior in failures."""

MAX_TESTED_RUN = 100
"""Longer runs are as improbable as this one; computing it costs the same however long an outage lasts."""

MAX_LEARNED_RUN = 20
"""Longer runs are learned as this, so that one outage does not hide the next."""

UNKNOWN_BURST_RATIO = 0.4
"""Proportion of failures in the bursts of a webhook on its first day, before one was seen."""

CRITICAL_RATIO = 0.5


class FailureBaseline(msgspec.Struct, frozen=True):
    """
    Baseline of the failures of a webhook.

    ``run`` counts the latest consecutive failures, the first of which came after ``run_since``. ``continuation`` holds
    decayed sums, failures that followed a failure per failure; ``pending`` those of the open anomaly. ``burst_since``
    is when the failures of the last minutes began to exceed the mean clearly, whether or not that is usual here.
    """

    at: float
    started_at: float
    proportion: Proportion
    attempts: int = 0
    run: int = 0
    run_since: float = 0.0
    continuation: Dispersion = Dispersion()
    continuation_at: float = 0.0
    pending: Dispersion = Dispersion()
    episode: Episode | None = None
    burst_since: float | None = None

    def run_probability(self, run: int) -> float:
        """Probability that a failure is followed by *run* - 1 more."""
        learned = self.continuation
        followed = learned.excess + PRIOR_CONTINUATION * PRIOR_CONTINUATION_FAILURES
        failures = learned.weight + PRIOR_CONTINUATION_FAILURES
        probability = 1.0
        for _ in range(min(run, MAX_TESTED_RUN) - 1):
            probability *= followed / failures
            followed, failures = followed + 1, failures + 1
        return probability


class Run(msgspec.Struct, frozen=True):
    """
    Consecutive failures to test, the first of which came after ``since``.

    ``probability`` is that of the failures after the first, by what was learned before.
    """

    failures: int
    since: float
    probability: float


def start_failure_baseline(at: float) -> FailureBaseline:
    """Return the baseline of a webhook first observed at *at* (Unix seconds)."""
    return FailureBaseline(
        at=at, started_at=at, proportion=start_proportion(at, PRIOR_PROPORTION), run_since=at, continuation_at=at
    )


def observe_failures(
    baseline: FailureBaseline, sample: Sample, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[FailureBaseline, Verdict]:
    """Add *sample* and compare the windows and the latest run with the baseline."""
    if sample.at <= baseline.at:
        return baseline, _current_verdict(baseline, policy)
    has_learned = _has_learned(baseline, sample.at, policy)
    mode = learning_mode(has_learned, baseline.episode, sample.at, policy)
    # Without new attempts the last run goes on: the breaker may hold attempts back.
    longest = max(baseline.run + sample.run_head, sample.longest_run) if sample.failures or not sample.attempts else 0
    # A run within the sample began after the sample before.
    since = baseline.run_since if baseline.run and longest > sample.longest_run else baseline.at
    # The runs of this sample are tested against those before, not against themselves.
    run_probability = baseline.run_probability(longest)
    baseline = _with_burst(_add_sample(baseline, sample, mode, policy), policy)
    if not has_learned:
        return baseline, _learning_verdict(baseline, policy)
    if sample.attempts == 0 and baseline.episode is None and baseline.run < policy.min_run:
        return baseline, current_verdict(Signal.FAILURES, None, sample.at)
    proportion, worst = find_sustained_excess(baseline.proportion, baseline.started_at, sample.at, policy)
    if proportion is not baseline.proportion:
        baseline = msgspec.structs.replace(baseline, proportion=proportion)
    deviation = _deviation(baseline, worst, Run(longest, since, run_probability), policy)
    is_normal = baseline.run == 0 and has_recovered(baseline.proportion, policy)
    before = baseline.episode
    episode, verdict = update_episode(Signal.FAILURES, before, sample.at, deviation, is_normal, policy)
    if episode is before:
        return baseline, verdict
    return _with_episode(baseline, before, episode, policy), verdict


def is_in_burst(baseline: FailureBaseline, policy: AnomalyPolicy) -> bool:
    """Whether attempts fail in a burst just now. What lasts longer than ``policy.burst_s`` is none."""
    return baseline.burst_since is not None and baseline.at - baseline.burst_since <= policy.burst_s


def _with_burst(baseline: FailureBaseline, policy: AnomalyPolicy) -> FailureBaseline:
    """Set when the present burst began, if there is one."""
    since = baseline.burst_since
    if not has_burst(baseline.proportion, policy):
        return baseline if since is None else msgspec.structs.replace(baseline, burst_since=None)
    return baseline if since is not None else msgspec.structs.replace(baseline, burst_since=baseline.at)


def _add_sample(
    baseline: FailureBaseline, sample: Sample, mode: LearningMode, policy: AnomalyPolicy
) -> FailureBaseline:
    proportion = add_attempts(baseline.proportion, sample.at, sample.attempts, sample.failures, mode, policy)
    if sample.attempts == 0:
        return msgspec.structs.replace(baseline, at=sample.at, proportion=proportion)
    baseline = _learn_finished_runs(baseline, sample, mode, policy)
    if sample.failures == sample.attempts:
        run = baseline.run + sample.attempts
        run_since = baseline.run_since if baseline.run else baseline.at
    else:
        run, run_since = sample.run_tail, (baseline.at if sample.run_tail else sample.at)
    return msgspec.structs.replace(
        baseline,
        at=sample.at,
        proportion=proportion,
        attempts=min(baseline.attempts + sample.attempts, policy.learn_attempts),
        run=run,
        run_since=run_since,
    )


def _learn_finished_runs(
    baseline: FailureBaseline, sample: Sample, mode: LearningMode, policy: AnomalyPolicy
) -> FailureBaseline:
    """Learn the length of the runs that a success of *sample* ended."""
    if sample.failures == sample.attempts:
        return baseline
    failures = baseline.run + sample.failures - sample.run_tail
    if failures <= 0:
        return baseline
    runs = sample.runs - (sample.run_tail > 0) + (baseline.run > 0 and sample.run_head == 0)
    runs = max(runs, 1)
    failures = min(failures, runs * MAX_LEARNED_RUN)
    keep = 0.5 ** ((sample.at - baseline.continuation_at) / policy.dispersion_half_life_s)
    if mode == "frozen":
        pending = baseline.pending.learn(failures - runs, failures, 1.0)
        return msgspec.structs.replace(baseline, pending=pending)
    continuation = baseline.continuation.learn(failures - runs, failures, keep)
    return msgspec.structs.replace(baseline, continuation=continuation, continuation_at=sample.at)


def _deviation(baseline: FailureBaseline, worst: Excess | None, run: Run, policy: AnomalyPolicy) -> Deviation | None:
    mean = baseline.proportion.mean
    run_s = baseline.at - run.since
    if run.failures >= policy.min_run and run_s >= policy.min_run_s:
        # A chance pair of failures is no clustering: `continuation` and the peaks guard short runs, too.
        rho = baseline.proportion.seen_rho if run.failures <= MAX_LEARNED_RUN else baseline.proportion.rho(0)
        together = beta_binomial_tail(run.failures, run.failures, mean, rho)
        # In a burst like the worst one seen, each attempt fails with this probability.
        in_burst = mean + baseline.proportion.peaks[0]
        if baseline.at - baseline.started_at < policy.learn_s:
            in_burst = max(in_burst, UNKNOWN_BURST_RATIO)
        if run.failures > MAX_LEARNED_RUN:
            in_burst = 0.0
        p_value = max(mean * run.probability, mean * in_burst ** (run.failures - 1), together)
        per_day = _attempts_per_day(baseline, policy)
        if p_value < policy.runs_per_day / per_day:
            evidence = Evidence(1.0, mean, run.failures, run_s, p_value)
            return Deviation(
                evidence, Severity.CRITICAL, f"{run.failures} attempts in a row failed; {mean:.1%} failing is normal."
            )
    if worst is None:
        return None
    ratio = worst.k / worst.n
    severity = Severity.CRITICAL if ratio >= CRITICAL_RATIO else Severity.WARNING
    failed = f"{worst.k} of {worst.n} attempts in {format_duration(worst.window_s)} failed"
    sentence = f"{failed} ({ratio:.1%}); {mean:.1%} is normal."
    return Deviation(Evidence(ratio, mean, worst.n, worst.window_s, worst.p_value), severity, sentence)


def _attempts_per_day(baseline: FailureBaseline, policy: AnomalyPolicy) -> float:
    """Return the attempts of a day, at least 1, from the decayed count and the time that it took."""
    learned_s = max(baseline.proportion.learned_at - baseline.started_at, 60.0)
    # A constant rate for this long, decayed, counts as many as an undecayed one for ``counted_s``.
    mean_life_s = policy.half_life_s / log(2)
    counted_s = mean_life_s * (1 - exp(-learned_s / mean_life_s))
    return max(baseline.proportion.n * DAY_S / counted_s, 1.0)


def _with_episode(
    baseline: FailureBaseline, before: Episode | None, after: Episode | None, policy: AnomalyPolicy
) -> FailureBaseline:
    """Store *after*, and open or close the episode in the baseline if it differs from *before*."""
    if before is None:
        return msgspec.structs.replace(
            baseline, episode=after, proportion=open_episode(baseline.proportion), pending=Dispersion()
        )
    if after is not None:
        return msgspec.structs.replace(baseline, episode=after)
    is_burst = baseline.at - before.opened_at <= policy.burst_s
    continuation = baseline.continuation
    if is_burst:
        continuation = continuation.learn(baseline.pending.excess, baseline.pending.weight, 1.0)
    proportion = close_episode(baseline.proportion, baseline.at, is_burst)
    return msgspec.structs.replace(baseline, episode=None, proportion=proportion, continuation=continuation)


def _learning_verdict(baseline: FailureBaseline, policy: AnomalyPolicy) -> Verdict:
    sentence = f"Learning what is normal: {baseline.attempts} of {policy.learn_attempts} attempts seen."
    return learning_verdict(Signal.FAILURES, baseline.at, sentence)


def _has_learned(baseline: FailureBaseline, at: float, policy: AnomalyPolicy) -> bool:
    return baseline.attempts >= policy.learn_attempts or at - baseline.started_at >= policy.learn_s


def _current_verdict(baseline: FailureBaseline, policy: AnomalyPolicy) -> Verdict:
    if not _has_learned(baseline, baseline.at, policy):
        return _learning_verdict(baseline, policy)
    return current_verdict(Signal.FAILURES, baseline.episode, baseline.at)
