"""``ReminderStore`` on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_row
from monitor.domain.alerts.destinations import SEVERITY_LABEL
from monitor.domain.alerts.reminders import ReminderSchedule
from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.reminders import DEFAULT_STEPS, REMINDER
from monitor.domain.vocab import PAGERS, Severity

SAVE = """
INSERT INTO alert_reminders (alert_id, since, passed_s, next_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (alert_id) DO UPDATE
SET since = excluded.since, passed_s = excluded.passed_s, next_at = excluded.next_at
"""

# Waits for no lock, since others lock an alert before its schedule. Both are locked, so that a row that another process
# just moved on is looked at again, and is not due.
DUE = """
SELECT r.* FROM alert_reminders r JOIN alerts a ON a.id = r.alert_id
WHERE r.next_at <= now() ORDER BY r.next_at LIMIT $1 FOR UPDATE OF r, a SKIP LOCKED
"""

# The rules of steps_of and of gets_critical, in SQL.
STEPS = """
SELECT DISTINCT unnest(
    coalesce(reminders, CASE WHEN body_format = ANY($2::text[]) THEN '{}' ELSE $3::int[] END)) AS step
FROM webhooks WHERE event_types && $1::text[] AND deleted_at IS NULL AND enabled
    AND coalesce(labels ->> $4, $5) = $5
"""


class PostgresReminderStore:
    """See :class:`monitor.domain.ports.repositories.reminders.ReminderStore`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def save(self, schedule: ReminderSchedule) -> None:
        await self._connection.execute(SAVE, schedule.alert_id, schedule.since, schedule.passed_s, schedule.next_at)

    async def remove(self, alert_id: UUID) -> None:
        await self._connection.execute("DELETE FROM alert_reminders WHERE alert_id = $1", alert_id)

    async def due(self, limit: int) -> list[ReminderSchedule]:
        return [from_row(row, ReminderSchedule) for row in await self._connection.fetch(DUE, limit)]

    async def steps(self) -> set[int]:
        rows = await self._connection.fetch(
            STEPS, list(patterns_for(REMINDER)), list(PAGERS), list(DEFAULT_STEPS), SEVERITY_LABEL, Severity.CRITICAL
        )
        return {row["step"] for row in rows}
