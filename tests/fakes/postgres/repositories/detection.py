"""``FakeDetectionStore``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.conditions import EXPIRED_MAX, REACH_PAIRS, REACH_WEBHOOKS, MassFailure, WebhookSnapshot
from monitor.domain.alerts.evaluation import Evaluation, EvaluationInput
from monitor.domain.anomaly.tally import NO_ATTEMPTS
from monitor.domain.delivery.circuit_breaker import BreakerState
from monitor.domain.delivery.fan_out import Reach
from monitor.domain.delivery.lane import Lane
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.repositories.detection import AnomalyRecord
from monitor.domain.vocab import EXPIRED, DeliveryState, HealthStatus
from tests.fakes.postgres.database import Tables


class FakeDetectionStore:
    """Skips nothing as locked, since transactions take turns."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def due(self, limit: int) -> list[EvaluationInput]:
        lanes = self._tables.lanes.values()
        due = sorted(
            (lane.evaluate_at, lane.webhook_id) for lane in lanes if lane.evaluate_at and lane.evaluate_at <= self._now
        )
        return [self._evaluation_input(webhook_id) for _, webhook_id in due[:limit]]

    async def save(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            lane = self._tables.lanes[evaluation.webhook_id]
            self._tables.lanes[evaluation.webhook_id] = replace(
                lane, unevaluated=NO_ATTEMPTS, evaluate_at=evaluation.evaluate_at
            )
            self._tables.evaluations[evaluation.webhook_id] = (self._now, evaluation)

    async def open_anomalies(self, webhook_ids: Collection[UUID]) -> list[AnomalyRecord]:
        anomalies = self._tables.anomalies.values()
        return [a for a in anomalies if a.webhook_id in webhook_ids and a.closed_at is None]

    async def save_anomalies(self, anomalies: Sequence[AnomalyRecord]) -> None:
        self._tables.anomalies |= {anomaly.id: anomaly for anomaly in anomalies}

    async def mass_failure(self, since: datetime) -> MassFailure:
        failing = tried = 0
        for lane in self._tried():
            tried += 1
            failing += _fails(lane, since)
        return MassFailure(failing, tried)

    async def failing_labels(self, since: datetime) -> Reach:
        failing = [self._tables.webhooks[lane.webhook_id].webhook for lane in self._tried() if _fails(lane, since)]
        if len(failing) > REACH_WEBHOOKS:
            return Reach(every=True)
        pairs = sorted({pair for webhook in failing for pair in webhook.labels.items()})
        if len(pairs) > REACH_PAIRS:
            return Reach(every=True)
        return Reach({name: tuple(v for n, v in pairs if n == name) for name, _ in pairs})

    def _tried(self) -> Iterator[Lane]:
        for webhook_id, lane in self._tables.lanes.items():
            row = self._tables.webhooks[webhook_id]
            usable = row.webhook.enabled and row.webhook.paused_at is None and row.deleted_at is None
            if usable and lane.last_attempt_at is not None and lane.last_attempt_at > self._now - timedelta(hours=1):
                yield lane

    async def mass_failure_since(self) -> datetime | None:
        for alert in self._tables.alerts.values():
            if alert.webhook_id == SYSTEM_ID and alert.kind is AlertKind.MASS_FAILURE and alert.is_open:
                return alert.transitions[-1]
        return None

    def _evaluation_input(self, webhook_id: UUID) -> EvaluationInput:
        lane, row = self._tables.lanes[webhook_id], self._tables.webhooks[webhook_id]
        evaluated_at, evaluation = self._tables.evaluations.get(webhook_id, (None, None))
        webhook = row.webhook
        held = not webhook.enabled or webhook.paused_at is not None or lane.breaker.state is not BreakerState.CLOSED
        held = held or (lane.throttled_until is not None and lane.throttled_until > self._now)
        return EvaluationInput(
            webhook_id=webhook_id,
            labels=webhook.labels,
            webhook=WebhookSnapshot(
                name=webhook.name,
                health=lane.health,
                failing_since=lane.failing_since,
                enabled=webhook.enabled,
                disabled_reason=webhook.disabled_reason,
                disabled_at=webhook.disabled_at,
                quarantined=self._ended(webhook_id, DeliveryState.QUARANTINED, None),
                expired=min(self._ended(webhook_id, DeliveryState.FAILED, EXPIRED), EXPIRED_MAX),
            ),
            deleted=row.deleted_at is not None,
            held=held,
            unevaluated=lane.unevaluated,
            evaluated_at=evaluated_at,
            baselines=None if evaluation is None else evaluation.baselines,
        )

    def _ended(self, webhook_id: UUID, state: DeliveryState, error: str | None) -> int:
        """Count the deliveries that ended so within a day; ``None`` is any error."""
        since = self._now - timedelta(days=1)
        return sum(
            done.webhook_id == webhook_id
            and done.state is state
            and error in (None, done.last_error)
            and done.finished_at > since
            for done in self._tables.finished.values()
        )


def _fails(lane: Lane, since: datetime) -> bool:
    changed_at = lane.health.changed_at
    return lane.health.status is HealthStatus.UNAVAILABLE and changed_at is not None and changed_at > since
