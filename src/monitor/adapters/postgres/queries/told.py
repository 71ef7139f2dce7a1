"""Which webhooks are notified of alerts, and which were."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_row
from monitor.adapters.postgres.engine import Database
from monitor.domain.alerts.destinations import RAISED_PATTERNS, SEVERITY_LABEL
from monitor.domain.ids import ROOM_BITS, derived, id_time
from monitor.domain.views.alerts import LastTold, ToldView
from monitor.domain.vocab import REPLACED, Severity

COUNTED = 100
LOOK = 100

# Deliveries that the fan-out of an event made have ids derived from its own, so few partitions are read.
TOLD = f"""
SELECT n.id, pending + finished AS destinations, delivered, finished - delivered - replaced AS failed, replaced
FROM unnest($1::uuid[], $2::uuid[]) AS n (id, last) JOIN events e ON e.id = n.id
CROSS JOIN LATERAL (
    SELECT count(*)::int AS pending FROM (
        SELECT FROM deliveries WHERE event_id = n.id AND id BETWEEN n.id AND n.last LIMIT {COUNTED}) AS d) AS p
CROSS JOIN LATERAL (
    SELECT count(*)::int AS finished, (count(*) FILTER (WHERE state = 'delivered'))::int AS delivered,
           (count(*) FILTER (WHERE state = 'cancelled' AND last_error = '{REPLACED}'))::int AS replaced
    FROM (SELECT state, last_error FROM deliveries_finished WHERE event_id = n.id AND id BETWEEN n.id AND n.last
          LIMIT {COUNTED}) AS d) AS f
WHERE NOT EXISTS (SELECT FROM fan_outs o WHERE o.id <= e.id AND e.id = ANY(o.event_ids))
"""

LAST_TOLD = f"""
SELECT w.id AS webhook_id, a.id AS attempt_id, a.status_code, a.error FROM unnest($1::uuid[]) AS w (id)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT id, kind, event_type, status_code, error FROM attempts WHERE webhook_id = w.id
        ORDER BY id DESC LIMIT {LOOK}) AS newest
    WHERE kind = 'delivery' AND event_type LIKE 'monitor.alert.%' ORDER BY id DESC LIMIT 1) AS a
"""

# The rule of gets_critical, in SQL.
CRITICAL = f"""
SELECT EXISTS (
    SELECT FROM webhooks WHERE event_types && $1::text[] AND deleted_at IS NULL AND enabled
    AND coalesce(labels ->> '{SEVERITY_LABEL}', $2) = $2) AS is_told
"""


async def told(database: Database, event_ids: Collection[UUID]) -> dict[UUID, ToldView]:
    """See :meth:`monitor.domain.ports.queries.alerts.AlertQueries.told`."""
    last = [derived(event_id, 2**ROOM_BITS - 1) for event_id in event_ids]
    rows = await database.fetch(TOLD, list(event_ids), last)
    return {row["id"]: _told(row) for row in rows}


async def last_told(database: Database, webhook_ids: Collection[UUID]) -> dict[UUID, LastTold]:
    """See :meth:`monitor.domain.ports.queries.alerts.AlertQueries.last_told`."""
    rows = await database.fetch(LAST_TOLD, list(webhook_ids))
    return {row["webhook_id"]: _last_told(row) for row in rows}


async def critical_is_told(database: Database) -> bool:
    """See :meth:`monitor.domain.ports.queries.alerts.AlertQueries.critical_is_told`."""
    row = await database.fetchrow(CRITICAL, list(RAISED_PATTERNS), Severity.CRITICAL)
    assert row is not None
    return bool(row["is_told"])


def _told(row: asyncpg.Record) -> ToldView:
    return ToldView(row["destinations"], row["delivered"], row["failed"], row["replaced"])


def _last_told(row: asyncpg.Record) -> LastTold:
    return from_row(row, LastTold, at=id_time(row["attempt_id"]))
