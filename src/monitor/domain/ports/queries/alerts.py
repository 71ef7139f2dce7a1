"""Reads of alerts, silences and anomalies."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind, AlertState
from monitor.domain.alerts.silences import SilenceSpec
from monitor.domain.views.alerts import AlertStatsView, AlertView, AnomalyView, SilencePreview, SilenceView
from monitor.domain.vocab import Severity


class AlertFilter(msgspec.Struct, frozen=True):
    """Conditions on alerts; empty ``states`` or ``None`` match any."""

    states: tuple[AlertState, ...] = ()
    severity: Severity | None = None
    kind: AlertKind | None = None
    webhook_id: UUID | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AlertQueries(Protocol):
    """Alerts, silences and anomalies. Pages are newest first; *after* is the last id of the page before."""

    async def alert(self, alert_id: UUID) -> AlertView:
        """Return an alert with its history. Raises ``NotFound``."""
        ...

    async def alerts(self, where: AlertFilter, *, after: UUID | None, limit: int) -> list[AlertView]:
        """Return up to *limit* alerts, without their history."""
        ...

    async def stats(self, days: int) -> AlertStatsView:
        """Return statistics of the alerts of the last *days* days."""
        ...

    async def silence(self, silence_id: UUID) -> SilenceView:
        """Return a silence. Raises ``NotFound``."""
        ...

    async def silences(self, *, active: bool | None, after: UUID | None, limit: int) -> list[SilenceView]:
        """Return up to *limit* silences; *active* of ``None`` includes ended ones."""
        ...

    async def preview(self, spec: SilenceSpec) -> SilencePreview:
        """Return the present matches of a silence that does not exist yet."""
        ...

    async def anomaly(self, anomaly_id: UUID) -> AnomalyView:
        """Return an anomaly. Raises ``NotFound``."""
        ...

    async def anomalies(
        self, *, is_open: bool, webhook_id: UUID | None, after: UUID | None, limit: int
    ) -> list[AnomalyView]:
        """Return up to *limit* anomalies that are open, or that are closed."""
        ...
