"""
A plain series of numbers with timestamps, judged by the same windows as latency, upwards and downwards.

This is the detector without webhooks: for a metric from elsewhere, and for scoring on public data sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite, log10

import msgspec

from monitor.domain.anomaly import mean_baseline as levels
from monitor.domain.anomaly.episode import Alarm, Episode, duration, is_frozen, judge, learning, standing
from monitor.domain.anomaly.mean_baseline import MeanBaseline, Rules, Shift, start_mean_baseline
from monitor.domain.anomaly.model import Evidence, Signal, Verdict
from monitor.domain.anomaly.policy import DEFAULT_POLICY, AnomalyPolicy
from monitor.domain.anomaly.proportion import Mode
from monitor.domain.errors import Invalid
from monitor.domain.vocab import Severity

HIGHEST_SCORE = 300.0
RELATIVE_SD = 1e-3
"""Least spread that a series is given, relative to its level: a constant is never exactly known."""

LEAST_SD = 1e-9


class Point(msgspec.Struct, frozen=True):
    """
    One value at one time, Unix seconds.

    Raises:
        Invalid: either is not finite.
    """

    at: float
    value: float

    def __post_init__(self) -> None:
        if not (isfinite(self.at) and isfinite(self.value)):
            raise Invalid("A point needs a finite time and a finite value.")


class ValueBaseline(msgspec.Struct, frozen=True):
    """What is normal for a series. ``score`` is that of the last point, see :func:`score_series`."""

    at: float
    started_at: float
    level: MeanBaseline
    values: int = 0
    score: float = 0.0
    episode: Episode | None = None


def start(at: float) -> ValueBaseline:
    """Return the baseline of a series; the first point must come after *at* (Unix seconds)."""
    return ValueBaseline(at=at, started_at=at, level=start_mean_baseline(at))


def observe(
    baseline: ValueBaseline, sample: Point, policy: AnomalyPolicy = DEFAULT_POLICY
) -> tuple[ValueBaseline, Verdict]:
    """
    Take in one point and judge it.

    A point that is not newer than *baseline* changes nothing and opens nothing; its verdict tells the present state.
    """
    at = max(sample.at, baseline.at)
    known = baseline.values >= policy.learn_attempts or (
        at - baseline.started_at >= policy.learn_s and baseline.values >= levels.UNCLIPPED
    )
    if sample.at > baseline.at:
        mode: Mode = "watching" if known else "learning"
        if is_frozen(baseline.episode, sample.at, policy):
            mode = "frozen"
        rules = _rules(baseline.level, policy)
        level = levels.measure(baseline.level, sample.at, ((sample.value, 1),), mode, rules, policy)
        values = min(baseline.values + 1, policy.learn_attempts)
        baseline = ValueBaseline(sample.at, baseline.started_at, level, values, 0.0, baseline.episode)
        if known:
            return _judge(baseline, policy)
    if not known:
        sentence = f"Learning what is normal: {baseline.values} of {policy.learn_attempts} values seen."
        return baseline, learning(Signal.VALUE, at, sentence)
    return baseline, standing(Signal.VALUE, baseline.episode, at)


def score_series(
    points: Iterable[tuple[float, float]], policy: AnomalyPolicy = DEFAULT_POLICY
) -> Iterator[tuple[float, Verdict]]:
    """
    Judge pairs ``(at, value)`` one after the other.

    Yields:
        For each pair its score and verdict. The score is ``-log10`` of the p-value of the least likely window, 0 to
        300, and 0 while learning; it sees no later point.

    Raises:
        Invalid: a time or value is not finite.
    """
    baseline: ValueBaseline | None = None
    for at, value in points:
        point = Point(at, value)
        if baseline is None:
            baseline = start(at - 1.0)
        baseline, verdict = observe(baseline, point, policy)
        yield baseline.score, verdict


def _judge(baseline: ValueBaseline, policy: AnomalyPolicy) -> tuple[ValueBaseline, Verdict]:
    level, rules, before = baseline.level, _rules(baseline.level, policy), baseline.episode
    shift = levels.largest_shift(level, rules)
    alarm = None
    if shift is not None and levels.is_anomalous(level, shift, rules):
        alarm = _alarm(level, shift)
    calm = before is not None and levels.is_calm(level, rules)
    episode, verdict = judge(Signal.VALUE, before, baseline.at, alarm, calm, policy)
    if before is None and episode is not None:
        level = levels.opened(level)
    elif before is not None and episode is None:
        level = levels.closed(level, baseline.at, baseline.at - before.opened_at <= policy.burst_s)
    score = 0.0 if shift is None else _score(shift.p_value)
    return msgspec.structs.replace(baseline, level=level, episode=episode, score=score), verdict


def _alarm(level: MeanBaseline, shift: Shift) -> Alarm:
    evidence = Evidence(shift.mean, level.mean, shift.n, shift.window_s, shift.p_value)
    sentence = f"The mean of {duration(shift.window_s)} is {shift.mean:.4g}; {level.mean:.4g} is normal."
    return Alarm(evidence, Severity.WARNING, sentence)


def _rules(level: MeanBaseline, policy: AnomalyPolicy) -> Rules:
    return Rules(
        least_sd=max(RELATIVE_SD * abs(level.mean), LEAST_SD),
        least_shift=0.0,
        p_open=policy.p_latency,
        clip_sd=6.0,
        least_values=1,
        both_ways=True,
    )


def _score(p_value: float) -> float:
    return min(-log10(p_value), HIGHEST_SCORE) if p_value > 0 else HIGHEST_SCORE
