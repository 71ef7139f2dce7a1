"""Fakes of the repositories of alerts, silences and notifications."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry
from monitor.domain.alerts.notification import AlertNotification, NotificationRef
from monitor.domain.alerts.silences import Silence
from monitor.domain.errors import NotFound
from monitor.domain.ports.repositories.alerts import UntoldAlert, UntoldPage
from monitor.domain.ports.unit_of_work import DataRejected
from tests.fakes.postgres.database import Tables

Row = TypeVar("Row", Alert, HistoryEntry)


class FakeAlertRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        oldest = self._now - timedelta(days=2)
        return {
            (alert.webhook_id, alert.kind): alert
            for alert in sorted(self._tables.alerts.values(), key=lambda alert: (alert.is_open, alert.id))
            if alert.webhook_id in webhook_ids
            and (alert.resolved_at is None or alert.notified or alert.resolved_at > oldest)
        }

    async def untold(self, after: UUID, limit: int) -> UntoldPage:
        found = [
            alert
            for id_, alert in sorted(self._tables.alerts.items())
            if id_ > after and (alert.pending_notification or alert.flapping)
        ][:limit]
        return UntoldPage([self._untold(alert) for alert in found], [alert.id for alert in found])

    def _untold(self, alert: Alert) -> UntoldAlert:
        row = self._tables.webhooks.get(alert.webhook_id)
        return UntoldAlert(alert, None, {}) if row is None else UntoldAlert(alert, row.webhook.name, row.webhook.labels)

    async def get(self, alert_id: UUID) -> Alert:
        if alert_id not in self._tables.alerts:
            raise NotFound("There is no alert with this id.")
        return self._tables.alerts[alert_id]

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        stored = self._tables.alerts
        has_other = after.is_open and any(
            a.is_open and (a.webhook_id, a.kind) == (after.webhook_id, after.kind)
            for id_, a in stored.items()
            if id_ != after.id
        )
        if before is None or before.id != after.id:
            if has_other:
                return False
            if after.id in stored:
                raise DataRejected("The id is taken.")
        elif stored[after.id].version != before.version:
            return False
        elif has_other:
            raise DataRejected("Another alert of the webhook and kind is open.")
        added = {(after.id, version): entry for version, entry in enumerate(entries, after.version - len(entries) + 1)}
        if added.keys() & self._tables.history.keys():
            raise DataRejected("The history has an entry of this version.")
        stored[after.id] = _through_json(after)
        self._tables.history |= {key: _through_json(entry) for key, entry in added.items()}
        return True

    async def link_events(self, notified: Sequence[NotificationRef]) -> None:
        self._tables.history_events |= {
            (ref.alert_id, ref.version): ref.event_id
            for ref in notified
            if (ref.alert_id, ref.version) in self._tables.history
        }


def _through_json(row: Row) -> Row:
    """Return *row* as it is read again: its evidence is stored as JSON."""
    [evidence] = [field for field in msgspec.structs.fields(row) if field.name == "evidence"]
    return replace(row, evidence=msgspec.json.decode(msgspec.json.encode(row.evidence), type=evidence.type))


class FakeSilenceRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def active(self, since: datetime | None = None) -> list[Silence]:
        return [silence for silence in self._tables.silences.values() if silence.ends_at > (since or self._now)]

    async def holding(self) -> int:
        return sum(silence.hold_deliveries for silence in await self.active())

    async def lock(self, silence_id: UUID) -> Silence:
        silence = self._tables.silences.get(silence_id)
        if silence is None:
            raise NotFound("There is no silence with this id.")
        return silence

    async def due(self, limit: int) -> list[Silence]:
        due = [(one.advance_at, one.id, one) for one in self._tables.silences.values() if one.advance_at is not None]
        return [one for at, _, one in sorted(due, key=lambda row: row[:2]) if at <= self._now][:limit]

    async def save(self, silence: Silence) -> None:
        self._tables.silences[silence.id] = silence

    async def add(self, silence: Silence) -> None:
        self._tables.silences[silence.id] = silence

    async def end(self, silence_id: UUID) -> bool:
        silence = self._tables.silences.get(silence_id)
        if silence is None:
            raise NotFound("There is no silence with this id.")
        if silence.ends_at <= self._now:
            return False
        self._tables.silences[silence_id] = replace(silence, ends_at=self._now, advance_at=None)
        return True


class FakeAlertNotificationQueue:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, notifications: Sequence[AlertNotification]) -> None:
        self._tables.notifications = (*self._tables.notifications, *notifications)

    async def take(self, limit: int) -> list[AlertNotification]:
        taken, self._tables.notifications = self._tables.notifications[:limit], self._tables.notifications[limit:]
        return list(taken)
