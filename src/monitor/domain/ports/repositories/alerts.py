"""
The boundaries of watching: looks, anomalies, alerts, silences and what is told.

They fail as those of :mod:`monitor.domain.ports.unit_of_work` do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry


class AlertRepository(Protocol):
    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        """Lock and return the latest alert of each webhook and kind; those resolved over two days ago may lack."""
        ...

    async def get(self, alert_id: UUID) -> Alert:
        """Lock and return it. Raises ``NotFound``."""
        ...

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        """
        Store *after* and append *entries*, if *before* is still what is stored.

        Returns:
            ``False`` if another transaction was first: it changed the alert, or raised one of the same kind.
        """
        ...
