"""
One look at one webhook: the attempts since the last look meet its baselines, and out comes what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import exp, sqrt
from uuid import UUID

import msgspec

from monitor.domain.alerts.conditions import Condition, Subject, conditions_of
from monitor.domain.alerts.model import AlertKind, AlertPolicy
from monitor.domain.anomaly import AnomalyPolicy, Baselines, Signal, SignalState, Verdict, observe_all, start_baselines
from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, to_sample
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.vocab import HealthStatus, Seconds


class DetectionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Attributes:
        busy_s: when to look again at a webhook that had attempts or is not well.
        idle_s: when to look again at one that had none.
        blind_s: nobody looked for longer than this, so silence may be ours: it is not judged.
    """

    busy_s: Seconds = 15.0
    idle_s: Seconds = 60.0
    blind_s: Seconds = 300.0
    anomaly: AnomalyPolicy = AnomalyPolicy()
    alert: AlertPolicy = AlertPolicy()
    health: HealthPolicy = HealthPolicy()


class EvaluationInput(msgspec.Struct, frozen=True, kw_only=True):
    """
    A webhook under lock, as the look finds it.

    Attributes:
        unevaluated: what was settled since the last look.
        held: Monitor itself holds attempts back: paused, disabled, or the breaker is open.
        evaluated_at: the last look, null before the first.
        baselines: null before the first look, and when a stored one could not be read.
    """

    webhook_id: UUID
    labels: Mapping[str, str]
    subject: Subject
    deleted: bool = False
    held: bool = False
    unevaluated: Tally = NO_ATTEMPTS
    evaluated_at: datetime | None = None
    baselines: Baselines | None = None


class Normal(msgspec.Struct, frozen=True):
    """
    What is normal for a webhook, as a band to draw behind its series; null while it is being learned.

    ``latency_ms`` is the geometric mean of answers, between ``latency_low_ms`` and ``latency_high_ms`` two thirds of
    them lie; ``slow_ms`` is exceeded by one answer in twenty.
    """

    failure_ratio: float | None = None
    latency_ms: float | None = None
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    slow_ms: float | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found. ``evaluate_at`` is when it is due again, null for never (the webhook was deleted)."""

    webhook_id: UUID
    baselines: Baselines
    verdicts: tuple[Verdict, ...]
    conditions: dict[AlertKind, tuple[Condition, ...]]
    evaluate_at: datetime | None

    @property
    def signals(self) -> dict[str, str]:
        """The state of each signal as people see it: ``learning``, ``normal`` or ``open``."""
        return {verdict.signal: _STATES[verdict.state] for verdict in self.verdicts}


_STATES = {
    SignalState.LEARNING: "learning",
    SignalState.NORMAL: "normal",
    SignalState.CLOSED: "normal",
    SignalState.OPENED: "open",
    SignalState.OPEN: "open",
}


def evaluate(watched: EvaluationInput, now: datetime, policy: DetectionPolicy) -> Evaluation:
    """Look at a webhook at *now*, aware UTC and after ``watched.evaluated_at``. Pure and total."""
    at = now.timestamp()
    baselines = watched.baselines or start_baselines(at - policy.busy_s)
    blind = watched.evaluated_at is not None and now - watched.evaluated_at > timedelta(seconds=policy.blind_s)
    baselines, verdicts = observe_all(
        baselines, to_sample(watched.unevaluated, at, held=watched.held or blind), policy.anomaly
    )
    if watched.deleted:
        return Evaluation(
            webhook_id=watched.webhook_id, baselines=baselines, verdicts=(), conditions={}, evaluate_at=None
        )
    conditions = conditions_of(watched.subject, verdicts, now, policy=policy.alert, health=policy.health)
    well = watched.subject.health.status in (HealthStatus.HEALTHY, HealthStatus.UNKNOWN)
    idle = well and not watched.unevaluated.attempts and not any(conditions.values())
    return Evaluation(
        webhook_id=watched.webhook_id,
        baselines=baselines,
        verdicts=verdicts,
        conditions=conditions,
        evaluate_at=now + timedelta(seconds=policy.idle_s if idle else policy.busy_s),
    )


def normal_of(baselines: Baselines, verdicts: tuple[Verdict, ...]) -> Normal:
    """Return the band of what is normal, without the signals that are still learning."""
    known = {verdict.signal for verdict in verdicts if verdict.state is not SignalState.LEARNING}
    log_latency = baselines.latency.log_latency
    sd = sqrt(log_latency.variance)
    latency = Signal.LATENCY in known
    return Normal(
        failure_ratio=round(baselines.failures.proportion.mean, 5) if Signal.FAILURES in known else None,
        latency_ms=round(exp(log_latency.mean), 3) if latency else None,
        latency_low_ms=round(exp(log_latency.mean - sd), 3) if latency else None,
        latency_high_ms=round(exp(log_latency.mean + sd), 3) if latency else None,
        slow_ms=round(exp(baselines.latency_tail.log_threshold), 3) if Signal.LATENCY_TAIL in known else None,
    )
