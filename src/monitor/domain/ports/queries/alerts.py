"""Reads of alerts, silences and anomalies."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind, AlertState
from monitor.domain.alerts.silences import SilenceSpec, SilenceState
from monitor.domain.views.alerts import (
    AlertStatsView,
    AlertView,
    AnomalyView,
    LastTold,
    ToldView,
)
from monitor.domain.views.silences import SilencePreview, SilenceView
from monitor.domain.vocab import Severity


class AlertFilter(msgspec.Struct, frozen=True):
    """Conditions on alerts; empty ``states`` or ``None`` match any."""

    states: tuple[AlertState, ...] = ()
    severity: Severity | None = None
    kind: AlertKind | None = None
    webhook_id: UUID | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class WorstFirst(msgspec.Struct, frozen=True):
    """The place of an open alert in the order of severity, the most severe first, then newest first."""

    severity: Severity
    id: UUID


class AlertQueries(Protocol):
    """Alerts, silences and anomalies. Pages are newest first; *after* is the last id of the page before."""

    async def alert(self, alert_id: UUID) -> AlertView:
        """Return an alert with its history. Raises ``NotFound``."""
        ...

    async def alerts(self, where: AlertFilter, *, after: UUID | None, limit: int) -> list[AlertView]:
        """Return up to *limit* alerts, without their history."""
        ...

    async def worst_alerts(self, where: AlertFilter, *, after: WorstFirst | None, limit: int) -> list[AlertView]:
        """Return up to *limit* alerts, the most severe first; only of open states, or the cost has no bound."""
        ...

    async def told(self, event_ids: Collection[UUID]) -> dict[UUID, ToldView]:
        """Return how many destinations got each of the events, notifications of alerts; those that reached retention
        are left out, and those with deliveries that workers are still making."""
        ...

    async def last_told(self, webhook_ids: Collection[UUID]) -> dict[UUID, LastTold]:
        """Return the latest notification of an alert among the last 100 attempts of each webhook that has one."""
        ...

    async def critical_is_told(self) -> bool:
        """Whether an enabled webhook subscribes to critical alerts, by the rule of ``gets_critical``."""
        ...

    async def stats(self, days: int) -> AlertStatsView:
        """Return statistics of the alerts of the last *days* days."""
        ...

    async def silence(self, silence_id: UUID) -> SilenceView:
        """Return a silence. Raises ``NotFound``."""
        ...

    async def silences(
        self, *, active: bool | None, after: UUID | None, limit: int, state: SilenceState | None = None
    ) -> list[SilenceView]:
        """Return up to *limit* silences: those that have not ended, or have, or all; and of one *state*, or any."""
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
