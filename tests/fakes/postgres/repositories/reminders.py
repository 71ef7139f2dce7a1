"""``FakeReminderStore``."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from monitor.domain.alerts.destinations import gets_critical
from monitor.domain.alerts.reminders import ReminderSchedule
from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.reminders import REMINDER, steps_of
from monitor.domain.ports.unit_of_work import DataRejected
from tests.fakes.postgres.database import Tables


class FakeReminderStore:
    """Transactions take turns, so nothing is locked."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def save(self, schedule: ReminderSchedule) -> None:
        if schedule.alert_id not in self._tables.alerts:
            raise DataRejected("There is no such alert.")
        self._tables.reminders[schedule.alert_id] = schedule

    async def remove(self, alert_id: UUID) -> None:
        self._tables.reminders.pop(alert_id, None)

    async def due(self, limit: int) -> list[ReminderSchedule]:
        due = [schedule for schedule in self._tables.reminders.values() if schedule.next_at <= self._now]
        return sorted(due, key=lambda schedule: schedule.next_at)[:limit]

    async def steps(self) -> set[int]:
        patterns = set(patterns_for(REMINDER))
        return {
            step
            for row in self._tables.webhooks.values()
            if row.deleted_at is None
            and patterns & set(row.webhook.event_types)
            and gets_critical(row.webhook.labels, enabled=row.webhook.enabled)
            for step in steps_of(row.webhook.reminders, row.webhook.body_format)
        }
