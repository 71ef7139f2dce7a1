"""Input and results of detection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.conditions import MassFailure
from monitor.domain.alerts.evaluation import Evaluation, EvaluationInput
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.delivery.fan_out import Reach
from monitor.domain.vocab import Severity


class AnomalyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly to store; ``closed_at`` is null while it is open."""

    id: UUID
    webhook_id: UUID
    signal: Signal
    severity: Severity
    sentence: str
    evidence: Evidence
    opened_at: datetime
    closed_at: datetime | None = None


class DetectionStore(Protocol):
    """Webhooks due for evaluation, their baselines and their anomalies."""

    async def due(self, limit: int) -> list[EvaluationInput]:
        """Lock up to *limit* webhooks due for evaluation, the longest overdue first, skipping locked ones."""
        ...

    async def save(self, evaluations: Sequence[Evaluation]) -> None:
        """Store the baselines, clear the evaluated attempts, and set the time of the next evaluation."""
        ...

    async def open_anomalies(self, webhook_ids: Collection[UUID]) -> list[AnomalyRecord]:
        """Return the open anomalies of these webhooks."""
        ...

    async def save_anomalies(self, anomalies: Sequence[AnomalyRecord]) -> None:
        """Insert or update *anomalies* by id."""
        ...

    async def mass_failure(self, since: datetime) -> MassFailure:
        """Count active webhooks with attempts in the last hour, and of those the ones unavailable since *since*."""
        ...

    async def failing_labels(self, since: datetime) -> Reach:
        """Return the labels of the webhooks that :meth:`mass_failure` counts as failing; everything if there are more
        than :data:`REACH_WEBHOOKS`, or if these have more than :data:`REACH_PAIRS` labels."""
        ...

    async def mass_failure_since(self) -> datetime | None:
        """Return when the open mass failure alert was raised, ``None`` without one. Locks nothing."""
        ...
