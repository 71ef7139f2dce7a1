"""What the detector evaluates and stores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.conditions import MassFailure
from monitor.domain.alerts.evaluation import Evaluation, EvaluationInput
from monitor.domain.anomaly.model import Evidence, Signal
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
    async def due(self, limit: int) -> list[EvaluationInput]:
        """Lock webhooks whose next look is due, the longest waiting first, skipping those locked by others."""
        ...

    async def save(self, evaluations: Sequence[Evaluation]) -> None:
        """Store the baselines, forget what was seen, and set when to look again."""
        ...

    async def open_anomalies(self, webhook_ids: Collection[UUID]) -> list[AnomalyRecord]: ...

    async def save_anomalies(self, anomalies: Sequence[AnomalyRecord]) -> None: ...

    async def mass_failure(self, since: datetime) -> MassFailure:
        """Count enabled, unpaused webhooks tried in the last hour, and those that became unavailable after *since*."""
        ...

    async def mass_failure_since(self) -> datetime | None:
        """Return since when the alert about all webhooks is open, ``None`` when it is not. Locks nothing."""
        ...
