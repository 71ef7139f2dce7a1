"""``AlertRepository`` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import RowReader, from_jsonb, from_row, jsonb
from monitor.domain.alerts.alert import Alert, AlertKind, HistoryEntry
from monitor.domain.alerts.notification import NotificationRef
from monitor.domain.errors import NotFound
from monitor.domain.ports.repositories.alerts import UntoldAlert, UntoldPage

NO_ALERT = "There is no alert with this id."

FIELDS = msgspec.structs.fields(Alert)
COLUMNS = tuple(field.name for field in FIELDS)
"""The members of an alert are the columns of its table."""

INSERT = f"""
INSERT INTO alerts ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${i}" for i in range(1, len(COLUMNS) + 1))})
ON CONFLICT (webhook_id, kind) WHERE state <> 'resolved' DO NOTHING RETURNING id
"""

UPDATE = f"""
UPDATE alerts SET {", ".join(f"{name} = ${i}" for i, name in enumerate(COLUMNS, 1))}
WHERE id = $1 AND version = ${len(COLUMNS) + 1} RETURNING id
"""

# An alert that was resolved longer ago is neither reopened nor suppressed, unless destinations have it as open.
LATEST = f"""
SELECT {", ".join(COLUMNS)} FROM alerts
WHERE webhook_id = ANY($1) AND (state <> 'resolved' OR notified OR resolved_at > now() - interval '2 days')
ORDER BY id FOR UPDATE
"""

# Those that others change at the moment are looked at by the next run.
UNTOLD = f"""
SELECT {", ".join(f"a.{name}" for name in COLUMNS)}, w.name AS webhook_name, w.labels AS webhook_labels
FROM alerts a LEFT JOIN webhooks w ON w.id = a.webhook_id
WHERE (a.pending_notification OR a.flapping) AND a.id > $1
ORDER BY a.id LIMIT $2 FOR UPDATE OF a SKIP LOCKED
"""

ADD_HISTORY = """
INSERT INTO alert_history (alert_id, version, at, action, actor, note, severity, title, causes, evidence, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


LINK_EVENTS = """
UPDATE alert_history AS h SET event_id = n.event_id
FROM unnest($1::uuid[], $2::int[], $3::uuid[]) AS n (alert_id, version, event_id)
WHERE h.alert_id = n.alert_id AND h.version = n.version
"""


class PostgresAlertRepository:
    """See :class:`monitor.domain.ports.repositories.alerts.AlertRepository`."""

    def __init__(self, connection: asyncpg.Connection, rows: RowReader) -> None:
        self._connection = connection
        self._rows = rows

    async def latest(self, webhook_ids: Collection[UUID]) -> dict[tuple[UUID, AlertKind], Alert]:
        rows = await self._connection.fetch(LATEST, list(webhook_ids))
        # Of each kind the open one stays, else the last one. Ids ascend with time, within the skew of clocks.
        alerts = sorted(
            self._rows.readable(rows, read_alert, "alerts").values(), key=lambda alert: (alert.is_open, alert.id)
        )
        return {(alert.webhook_id, alert.kind): alert for alert in alerts}

    async def untold(self, after: UUID, limit: int) -> UntoldPage:
        rows = await self._connection.fetch(UNTOLD, after, limit)
        found = self._rows.readable(rows, _untold, "alerts")
        return UntoldPage(list(found.values()), [row["id"] for row in rows])

    async def get(self, alert_id: UUID) -> Alert:
        row = await self._connection.fetchrow(
            f"SELECT {', '.join(COLUMNS)} FROM alerts WHERE id = $1 FOR UPDATE", alert_id
        )
        if row is None:
            raise NotFound(NO_ALERT)
        return self._rows.one(row, read_alert, "alerts")

    async def save(self, before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> bool:
        values = [_value(after, name) for name in COLUMNS]
        if before is None or before.id != after.id:
            saved = await self._connection.fetchval(INSERT, *values)
        else:
            saved = await self._connection.fetchval(UPDATE, *values, before.version)
        if saved is None:
            return False
        first = after.version - len(entries) + 1
        await self._connection.executemany(
            ADD_HISTORY, [(after.id, version, *_columns(entry)) for version, entry in enumerate(entries, first)]
        )
        return True

    async def link_events(self, notified: Sequence[NotificationRef]) -> None:
        await self._connection.execute(
            LINK_EVENTS,
            [ref.alert_id for ref in notified],
            [ref.version for ref in notified],
            [ref.event_id for ref in notified],
        )


def read_alert(row: asyncpg.Record) -> Alert:
    return from_row(row, Alert, "evidence")


def _untold(row: asyncpg.Record) -> UntoldAlert:
    labels = from_jsonb(row["webhook_labels"], dict[str, str]) if row["webhook_labels"] else {}
    return UntoldAlert(read_alert(row), row["webhook_name"], labels)


def _value(alert: Alert, name: str) -> Any:
    value = getattr(alert, name)
    return jsonb(value) if name == "evidence" else value


def _columns(entry: HistoryEntry) -> tuple[Any, ...]:
    return (
        entry.at,
        entry.action,
        entry.actor,
        entry.note,
        entry.severity,
        entry.title,
        entry.causes,
        None if entry.evidence is None else jsonb(entry.evidence),
        entry.expires_at,
    )
