"""
The boundaries of watching: looks, anomalies, alerts, silences and what is told.

They fail as those of :mod:`monitor.domain.ports` do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.alerts.announce import Announcement
from monitor.domain.alerts.conditions import Widespread
from monitor.domain.alerts.model import Alert, AlertKind, AlertState, Entry
from monitor.domain.alerts.silences import Silence, SilenceSpec
from monitor.domain.alerts.views import (
    AlertStatsView,
    AlertView,
    AnomalyView,
    SilencePreview,
    SilenceView,
)
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.vocab import Severity
from monitor.domain.watching import Look, Watched


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


class WatchLog(Protocol):
    async def due(self, limit: int) -> list[Watched]:
        """Lock webhooks whose next look is due, the longest waiting first, skipping those locked by others."""
        ...

    async def save(self, looks: Sequence[Look]) -> None:
        """Store the baselines, forget what was seen, and set when to look again."""
        ...

    async def open_anomalies(self, webhook_ids: Collection[UUID]) -> list[AnomalyRecord]: ...

    async def save_anomalies(self, anomalies: Sequence[AnomalyRecord]) -> None: ...

    async def widespread(self, since: datetime) -> Widespread:
        """Count enabled, unpaused webhooks tried in the last hour, and those that became unavailable after *since*."""
        ...

    async def widespread_since(self) -> datetime | None:
        """Return since when the alert about all webhooks is open, ``None`` when it is not. Locks nothing."""
        ...


class AlertRepository(Protocol):
    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        """Lock and return the latest alert of each webhook and kind; those resolved over two days ago may lack."""
        ...

    async def get(self, alert_id: UUID) -> Alert:
        """Lock and return it. Raises ``NotFound``."""
        ...

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[Entry]) -> bool:
        """
        Store *after* and append *entries*, if *before* is still what is stored.

        Returns:
            ``False`` if another transaction was first: it changed the alert, or raised one of the same kind.
        """
        ...


class SilenceRepository(Protocol):
    async def active(self) -> list[Silence]: ...

    async def add(self, silence: Silence) -> None: ...

    async def end(self, silence_id: UUID) -> bool:
        """End it now; ``False`` if it had ended. Raises ``NotFound``."""
        ...


class Outbox(Protocol):
    """What must be told, stored with the change that it tells of."""

    async def announce(self, announcements: Sequence[Announcement]) -> None: ...

    async def take(self, limit: int) -> list[Announcement]:
        """Remove and return the oldest, skipping those that another transaction is taking."""
        ...


class AlertFilter(msgspec.Struct, frozen=True):
    """``states`` empty means any."""

    states: tuple[AlertState, ...] = ()
    severity: Severity | None = None
    kind: AlertKind | None = None
    webhook_id: UUID | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AlertQueries(Protocol):
    """Reads outside any unit of work. Pages are newest first; ``after`` is the last id of the page before."""

    async def alert(self, alert_id: UUID) -> AlertView:
        """Return it with its history. Raises ``NotFound``."""
        ...

    async def alerts(self, where: AlertFilter, *, after: UUID | None, limit: int) -> list[AlertView]: ...

    async def stats(self, days: int) -> AlertStatsView: ...

    async def silence(self, silence_id: UUID) -> SilenceView:
        """Raises ``NotFound``."""
        ...

    async def silences(self, *, active: bool | None, after: UUID | None, limit: int) -> list[SilenceView]: ...

    async def preview(self, spec: SilenceSpec) -> SilencePreview: ...

    async def anomaly(self, anomaly_id: UUID) -> AnomalyView:
        """Raises ``NotFound``."""
        ...

    async def anomalies(
        self, *, is_open: bool, webhook_id: UUID | None, after: UUID | None, limit: int
    ) -> list[AnomalyView]: ...
