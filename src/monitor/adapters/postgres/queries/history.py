"""Uptime of a webhook from rollups, and the annotations of its charts from the audit log and its alerts."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.queries.rows import AUDIT_COLUMNS, audit_view
from monitor.adapters.postgres.queries.series import COUNTS, levels
from monitor.adapters.postgres.replica import Reads
from monitor.domain.alerts.alert import Action
from monitor.domain.ids import id_floor
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S, whole_units
from monitor.domain.monitoring.uptime import DAYS, Counts
from monitor.domain.views.history import (
    ALERTED,
    AUDITED,
    MAX_ANNOTATIONS,
    Annotation,
    AnnotationsView,
    UptimeView,
    audited_annotation,
    newest,
    uptime_view,
)
from monitor.domain.vocab import Severity

# The newest of each action, one walk of the index each: other actions of a webhook may be many. Rows are compared
# as a whole, and ordered by all of the index: by the time alone, the planner would walk the whole audit log.
AUDITED_CHANGES = f"""
SELECT found.* FROM unnest($2::text[]) AS wanted (name) CROSS JOIN LATERAL (
    SELECT {AUDIT_COLUMNS} FROM audit_log l
    WHERE (l.target, l.action, l.at) >= ($1, wanted.name, $3) AND (l.target, l.action, l.at) < ($1, wanted.name, $4)
    ORDER BY l.target DESC, l.action DESC, l.at DESC LIMIT {MAX_ANNOTATIONS + 1}
) AS found ORDER BY found.at DESC LIMIT {MAX_ANNOTATIONS + 1}
"""

# An alert that flaps has a long history; its last entries are shown.
ALERT_CHANGES = f"""
SELECT a.id, h.at, h.action, h.actor, coalesce(h.severity, a.severity) AS severity, coalesce(h.title, a.title) AS title
FROM (
    SELECT id, severity, title FROM alerts WHERE webhook_id = $1 AND id < $2 ORDER BY id DESC LIMIT 100
) AS a CROSS JOIN LATERAL (
    SELECT at, action, actor, severity, title FROM alert_history WHERE alert_id = a.id
    ORDER BY version DESC LIMIT {MAX_ANNOTATIONS}
) AS h
WHERE h.action = ANY($3) AND h.at >= $4 AND h.at < $5 ORDER BY h.at DESC LIMIT {MAX_ANNOTATIONS + 1}
"""


SILENCED = "SELECT bucket_at AS at, attempts, failures FROM silenced_hours WHERE webhook_id = $1 AND bucket_at >= $2"


async def read_uptime(database: Reads, webhook_id: UUID, now: datetime) -> UptimeView:
    """Return the uptime until *now*, from at most 90 days of hours and days."""
    since = now - timedelta(days=DAYS - 1)
    hours, days, silenced = await asyncio.gather(
        _counts(database, webhook_id, since.replace(hour=0), now, HOUR_S),
        _counts(database, webhook_id, since, now, DAY_S),
        database.fetch(SILENCED, webhook_id, since - timedelta(days=1)),
    )
    return uptime_view(now, hours, days, {row["at"]: Counts(row["attempts"], row["failures"]) for row in silenced})


async def _counts(
    database: Reads, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int
) -> dict[datetime, Counts]:
    from_at, to_at = whole_units(from_at, to_at + timedelta(seconds=1), step_s)
    rows = await database.fetch(COUNTS, [webhook_id], from_at, to_at, float(step_s), levels(step_s))
    return {row["at"]: Counts(row["attempts"], row["failures"]) for row in rows}


async def read_annotations(database: Reads, webhook_id: UUID, from_at: datetime, to_at: datetime) -> AnnotationsView:
    """Return the newest annotations of ``[from_at, to_at)``."""
    changes, alerts = await asyncio.gather(
        database.fetch(AUDITED_CHANGES, f"webhook:{webhook_id}", list(AUDITED), from_at, to_at),
        database.fetch(ALERT_CHANGES, webhook_id, id_floor(to_at), list(ALERTED), from_at, to_at),
    )
    items, complete = newest([*map(_audited, changes), *map(_alerted, alerts)])
    return AnnotationsView(from_at, to_at, complete, items)


def _audited(row: asyncpg.Record) -> Annotation:
    view = audit_view(row)
    return audited_annotation(view.at, view.subject, view.action, view.before, view.after)


def _alerted(row: asyncpg.Record) -> Annotation:
    return Annotation(
        at=row["at"],
        kind=ALERTED[Action(row["action"])],
        actor=row["actor"],
        alert_id=row["id"],
        severity=Severity(row["severity"]),
        title=row["title"],
    )
