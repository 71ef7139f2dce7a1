"""Fakes of the repositories of alerts, silences and notifications."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry
from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.alerts.silences import Silence
from monitor.domain.errors import NotFound
from tests.fakes.postgres.database import Tables


class FakeAlertRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        oldest = self._now - timedelta(days=2)
        return {
            (alert.webhook_id, alert.kind): alert
            for alert in sorted(self._tables.alerts.values(), key=lambda alert: (alert.is_open, alert.id))
            if alert.webhook_id in webhook_ids and (alert.resolved_at is None or alert.resolved_at > oldest)
        }

    async def get(self, alert_id: UUID) -> Alert:
        if alert_id not in self._tables.alerts:
            raise NotFound("There is no alert with this id.")
        return self._tables.alerts[alert_id]

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        stored = self._tables.alerts
        if before is None or before.id != after.id:
            raised = after.is_open and any(
                a.is_open and (a.webhook_id, a.kind) == (after.webhook_id, after.kind) for a in stored.values()
            )
            if raised:
                return False
        elif stored[after.id].version != before.version:
            return False
        stored[after.id] = after
        self._tables.history[after.id] = (*self._tables.history.get(after.id, ()), *entries)
        return True


class FakeSilenceRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def active(self) -> list[Silence]:
        return [silence for silence in self._tables.silences.values() if silence.ends_at > self._now]

    async def add(self, silence: Silence) -> None:
        self._tables.silences[silence.id] = silence

    async def end(self, silence_id: UUID) -> bool:
        silence = self._tables.silences.get(silence_id)
        if silence is None:
            raise NotFound("There is no silence with this id.")
        if silence.ends_at <= self._now:
            return False
        self._tables.silences[silence_id] = replace(silence, ends_at=self._now)
        return True


class FakeAlertNotificationQueue:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, notifications: Sequence[AlertNotification]) -> None:
        self._tables.notifications = (*self._tables.notifications, *notifications)

    async def take(self, limit: int) -> list[AlertNotification]:
        taken, self._tables.notifications = self._tables.notifications[:limit], self._tables.notifications[limit:]
        return list(taken)
