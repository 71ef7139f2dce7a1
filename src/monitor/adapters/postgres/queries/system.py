"""``SystemQueries`` on PostgreSQL."""

from __future__ import annotations

import asyncpg

from monitor.adapters.postgres.codec import from_row
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.schema import stored_schema
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.views.activity import ActivityKind, ActivityView
from monitor.domain.views.process import MAX_PROCESSES, DatabaseStats, ProcessSessions

# Of each part no more is read than is returned of all. Changes of one alert in one transaction have the same time.
ALERT_CHANGES = """
SELECT h.at, 'alert' AS kind, h.action, coalesce(h.severity, a.severity) AS level, coalesce(h.title, a.title) AS text,
    a.webhook_id, a.id AS alert_id, NULL::uuid AS anomaly_id, h.version AS place
FROM alert_history h JOIN alerts a ON a.id = h.alert_id ORDER BY h.at DESC, h.version DESC LIMIT $1
"""

ANOMALY_CHANGES = """
SELECT opened.* FROM (
    SELECT opened_at AS at, 'anomaly' AS kind, 'opened' AS action, severity AS level, sentence AS text,
        webhook_id, NULL::uuid AS alert_id, id AS anomaly_id, 0 AS place
    FROM anomalies ORDER BY opened_at DESC LIMIT $1) AS opened
UNION ALL SELECT closed.* FROM (
    SELECT closed_at, 'anomaly', 'closed', severity, sentence, webhook_id, NULL::uuid, id, 1
    FROM anomalies WHERE closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT $1) AS closed
"""

HEALTH_CHANGES = """
SELECT at, 'health' AS kind, 'changed' AS action, status AS level, reason AS text,
    webhook_id, NULL::uuid AS alert_id, NULL::uuid AS anomaly_id, 0 AS place
FROM health_changes ORDER BY at DESC LIMIT $1
"""

ACTIVITY: dict[ActivityKind, str] = {"alert": ALERT_CHANGES, "anomaly": ANOMALY_CHANGES, "health": HEALTH_CHANGES}

DATABASE = """
SELECT current_setting('server_version') AS version, current_setting('transaction_read_only') = 'on' AS read_only,
    pg_database_size(current_database()) AS size_bytes
"""

PROCESSES = f"""
SELECT substr(application_name, 9) AS name, count(*)::int AS sessions, min(backend_start) AS since_at
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'monitor %' AND backend_start IS NOT NULL
GROUP BY 1 ORDER BY 1 LIMIT {MAX_PROCESSES}
"""


class PostgresSystemQueries:
    """See :class:`monitor.domain.ports.queries.system.SystemQueries`."""

    def __init__(self, database: Database, reads: Reads | None = None) -> None:
        """*reads* serves what reads many rows; by default *database* does."""
        self._db = database
        self._reads = database if reads is None else reads

    async def activity(self, *, kind: ActivityKind | None, limit: int) -> list[ActivityView]:
        parts = ACTIVITY.values() if kind is None else [ACTIVITY[kind]]
        union = " UNION ALL ".join(f"({part})" for part in parts)
        rows = await self._reads.fetch(
            "SELECT n.*, w.name AS webhook_name"
            f" FROM (SELECT * FROM ({union}) AS u ORDER BY at DESC, place DESC LIMIT $1) AS n"
            " LEFT JOIN webhooks w ON w.id = n.webhook_id AND w.deleted_at IS NULL ORDER BY n.at DESC, n.place DESC",
            limit,
        )
        readable = self._db.rows.readable(rows, _activity_view, "activity", _key)
        return list(readable.values())

    async def database(self) -> DatabaseStats:
        (state,) = await self._db.fetch(DATABASE, reserved=True)
        revision = (await stored_schema(self._db)).revision
        processes = [from_row(row, ProcessSessions) for row in await self._db.fetch(PROCESSES, reserved=True)]
        return from_row(state, DatabaseStats, schema_revision=revision, processes=processes)


def _activity_view(row: asyncpg.Record) -> ActivityView:
    about_all = row["webhook_id"] == SYSTEM_ID
    return from_row(row, ActivityView, webhook_id=None if about_all else row["webhook_id"])


def _key(row: asyncpg.Record) -> tuple[object, ...]:
    return tuple(row)
