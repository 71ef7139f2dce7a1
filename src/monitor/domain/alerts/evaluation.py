"""Evaluation of one webhook: the attempts since the last evaluation against its baselines, giving alert conditions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import exp, sqrt
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind, AlertPolicy
from monitor.domain.alerts.conditions import Condition, WebhookSnapshot, conditions_of
from monitor.domain.anomaly import AnomalyPolicy, Baselines, Signal, SignalState, Verdict, observe_all, start_baselines
from monitor.domain.anomaly.tally import NO_ATTEMPTS, Tally, to_sample
from monitor.domain.monitoring.health import HealthPolicy
from monitor.domain.monitoring.status import BAD_HEALTH
from monitor.domain.vocab import SEVERITIES, HealthStatus, Seconds


class DetectionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Attributes:
        busy_s: interval of evaluations of a webhook with attempts or conditions.
        idle_s: interval of evaluations of any other webhook.
        max_gap_s: after a longer time without evaluation, Monitor itself may have been down: volume is not judged.
    """

    busy_s: Seconds = 15.0
    idle_s: Seconds = 60.0
    max_gap_s: Seconds = 300.0
    anomaly: AnomalyPolicy = AnomalyPolicy()
    alert: AlertPolicy = AlertPolicy()
    health: HealthPolicy = HealthPolicy()


class EvaluationInput(msgspec.Struct, frozen=True, kw_only=True):
    """
    A webhook to evaluate, under lock.

    Attributes:
        unevaluated: the attempts settled since the last evaluation.
        held: Monitor itself holds attempts back: paused, disabled, throttled, or the breaker is
            open.
        evaluated_at: the last evaluation, ``None`` before the first.
        quiet: signals that a silence covers, now or since the last evaluation: their baselines learn nothing, and none
            opens an anomaly.
        baselines: ``None`` before the first evaluation, and if the stored ones could not be read.
    """

    webhook_id: UUID
    labels: Mapping[str, str]
    webhook: WebhookSnapshot
    deleted: bool = False
    held: bool = False
    quiet: frozenset[Signal] = frozenset()
    unevaluated: Tally = NO_ATTEMPTS
    evaluated_at: datetime | None = None
    baselines: Baselines | None = None


class NormalBand(msgspec.Struct, frozen=True):
    """
    The normal range of a webhook, as a band behind its charts; null while it is being learned.

    ``latency_ms`` is the geometric mean of responses; two thirds of them lie between ``latency_low_ms`` and
    ``latency_high_ms``; one in twenty exceeds ``slow_ms``.
    """

    failure_ratio: float | None = None
    latency_ms: float | None = None
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    slow_ms: float | None = None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an evaluation. ``evaluate_at`` is when the next is due, ``None`` for a deleted webhook."""

    webhook_id: UUID
    baselines: Baselines
    verdicts: tuple[Verdict, ...]
    conditions: dict[AlertKind, tuple[Condition, ...]]
    evaluate_at: datetime | None

    @property
    def signals(self) -> dict[str, str]:
        """The state of each signal as the API shows it: ``learning``, ``normal`` or ``open``."""
        return {verdict.signal: _STATES[verdict.state] for verdict in self.verdicts}

    @property
    def held_conditions(self) -> dict[AlertKind, tuple[Condition, ...]]:
        """The kinds that have conditions, and these with the most severe first, as views show what holds now."""
        return {
            kind: tuple(sorted(held, key=lambda one: SEVERITIES.index(one.severity), reverse=True))
            for kind, held in self.conditions.items()
            if held
        }


_STATES = {
    SignalState.LEARNING: "learning",
    SignalState.NORMAL: "normal",
    SignalState.CLOSED: "normal",
    SignalState.OPENED: "open",
    SignalState.OPEN: "open",
}


def signals_beside(health: HealthStatus, signals: Mapping[str, str]) -> dict[str, str]:
    """Return *signals* as shown beside *health*: of a webhook that fails, failures which are usual for it are not
    called ``normal`` but ``failing``."""
    fails_as_usual = health in BAD_HEALTH and signals.get(Signal.FAILURES) == "normal"
    return {**signals, Signal.FAILURES: "failing"} if fails_as_usual else dict(signals)


def evaluate_webhook(target: EvaluationInput, now: datetime, policy: DetectionPolicy) -> Evaluation:
    """Evaluate a webhook at *now*, aware UTC and after ``target.evaluated_at``. Pure and total."""
    at = now.timestamp()
    baselines = target.baselines or start_baselines(at - policy.busy_s)
    after_gap = target.evaluated_at is not None and now - target.evaluated_at > timedelta(seconds=policy.max_gap_s)
    baselines, verdicts = observe_all(
        baselines, to_sample(target.unevaluated, at, held=target.held or after_gap), policy.anomaly, target.quiet
    )
    if target.deleted:
        return Evaluation(
            webhook_id=target.webhook_id, baselines=baselines, verdicts=(), conditions={}, evaluate_at=None
        )
    conditions = conditions_of(target.webhook, verdicts, now, policy=policy.alert, health=policy.health)
    is_well = target.webhook.health.status in (HealthStatus.HEALTHY, HealthStatus.UNKNOWN)
    idle = is_well and not target.unevaluated.attempts and not any(conditions.values())
    return Evaluation(
        webhook_id=target.webhook_id,
        baselines=baselines,
        verdicts=verdicts,
        conditions=conditions,
        evaluate_at=now + timedelta(seconds=policy.idle_s if idle else policy.busy_s),
    )


def normal_band(baselines: Baselines, verdicts: tuple[Verdict, ...]) -> NormalBand:
    """Return the normal range, without the signals that are still learning."""
    learned = {verdict.signal for verdict in verdicts if verdict.state is not SignalState.LEARNING}
    log_latency = baselines.latency.log_latency
    mean, sd = log_latency.mean + log_latency.usual_offset(baselines.latency.at), sqrt(log_latency.variance)
    latency = Signal.LATENCY in learned
    return NormalBand(
        failure_ratio=round(baselines.failures.proportion.mean, 5) if Signal.FAILURES in learned else None,
        latency_ms=round(exp(mean), 3) if latency else None,
        latency_low_ms=round(exp(mean - sd), 3) if latency else None,
        latency_high_ms=round(exp(mean + sd), 3) if latency else None,
        slow_ms=round(exp(baselines.latency_tail.log_threshold), 3) if Signal.LATENCY_TAIL in learned else None,
    )
