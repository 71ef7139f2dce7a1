"""Reads of the dashboard: from rollups and the webhooks' own rows, never from attempts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_row, health_of, histogram_of
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.metrics import (
    LATENCIES,
    last_hour,
    overview,
    series,
    total,
    traffic_of,
)
from monitor.adapters.postgres.queries.pages import list_rows
from monitor.adapters.postgres.sql import Where
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import Histogram
from monitor.domain.views.dashboard import (
    SPARK_STEP_S,
    SPARK_STEPS,
    WINDOWS,
    OverviewView,
    PerformanceView,
    RowPosition,
    Sparkline,
    WebhookRow,
    Window,
)
from monitor.domain.views.webhooks import HealthView
from monitor.domain.vocab import WORST_FIRST, HealthStatus

# One expression for the order, the filter and the cursor.
RANK = (
    f"CASE WHEN NOT w.enabled THEN {len(WORST_FIRST)} "
    + " ".join(f"WHEN l.health_status = '{status}' THEN {rank}" for rank, status in enumerate(WORST_FIRST))
    + " END"
)

ROWS = f"""
SELECT w.id, w.name, w.enabled, w.paused_at, l.health_status, l.health_reason, l.failure_probability,
       l.health_changed_at,
       (SELECT count(*) FROM alerts a WHERE a.webhook_id = w.id AND a.state <> 'resolved') AS alerts,
       (SELECT count(*) FROM anomalies a WHERE a.webhook_id = w.id AND a.closed_at IS NULL) AS anomalies
FROM (
    SELECT w.id, {RANK} AS rank FROM webhooks w JOIN webhook_lanes l ON l.webhook_id = w.id {{condition}}
    ORDER BY rank, -l.failure_probability, w.id LIMIT {{limit}}
) AS page
JOIN webhooks w ON w.id = page.id JOIN webhook_lanes l ON l.webhook_id = page.id
ORDER BY page.rank, -l.failure_probability, w.id
"""

# Steps end with the running minute, so the last one holds the present; those without attempts are left out. Together
# they are the minutes of LAST_HOURS.
SPARKLINES = f"""
SELECT webhook_id, step, sum(attempts)::int AS attempts, sum(failures)::int AS failures FROM (
    SELECT r.webhook_id, extract(epoch FROM r.bucket_at - begins_at)::int / {SPARK_STEP_S} AS step,
           r.attempts, r.failures
    FROM rollups_minute r
    CROSS JOIN (
        SELECT date_trunc('minute', now()) + interval '1 minute' - make_interval(secs => {SPARK_STEPS * SPARK_STEP_S})
    ) AS h (begins_at)
    WHERE r.webhook_id = ANY($1::uuid[]) AND r.bucket_at >= begins_at AND r.bucket_at <= now()
        AND r.bucket_at >= now() - interval '2 hours'
) AS minutes GROUP BY webhook_id, step
"""


NO_TRAFFIC = Sparkline(SPARK_STEP_S, [], [])


class PostgresDashboardQueries:
    """See :class:`monitor.domain.ports.queries.dashboard.DashboardQueries`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def overview(self) -> OverviewView:
        return await overview(self._db)

    async def rows(self, *, status: HealthStatus | None, after: RowPosition | None, limit: int) -> list[WebhookRow]:
        condition = Where("w.deleted_at IS NULL")
        condition.add("l.health_status = {}", status)
        if after is not None:
            position = f"({RANK}, -l.failure_probability, w.id)"
            condition.add(
                position + " > ({}::int, {}::float8, {}::uuid)", after.rank, after.negated_failure_probability, after.id
            )

        async def fetch(where: Where) -> list[asyncpg.Record]:
            return await self._db.fetch(ROWS.format(condition=where, limit=limit), *where.args)

        found = await list_rows(self._db, condition, fetch, _row, "webhooks", limit, id_column="w.id")
        ids = [row.id for row in found]
        latencies, steps = await asyncio.gather(self._db.fetch(LATENCIES, ids), self._db.fetch(SPARKLINES, ids))
        histograms = {row["webhook_id"]: histogram_of(row) for row in latencies}
        lines = {id_: Sparkline(SPARK_STEP_S, [0] * SPARK_STEPS, [0] * SPARK_STEPS) for id_ in ids}
        for row in steps:
            line, step = lines[row["webhook_id"]], row["step"]
            line.attempts[step], line.failures[step] = row["attempts"], row["failures"]
        return [_with_traffic(row, lines[row.id], histograms.get(row.id, Histogram())) for row in found]

    async def performance(self, window: Window) -> PerformanceView:
        window_s, step_s = WINDOWS[window]
        row = await self._db.fetchrow(
            "SELECT now() AS as_of, date_bin(make_interval(secs => $1), now(), 'epoch') AS step_at", float(step_s)
        )
        assert row is not None
        # The running step counts: the newest minute matters most.
        end = row["step_at"] + timedelta(seconds=step_s)
        start = end - timedelta(seconds=window_s)
        current, previous = await asyncio.gather(
            series(self._db, SYSTEM_ID, start, end, step_s),
            total(self._db, SYSTEM_ID, start - timedelta(seconds=window_s), start, step_s),
        )
        return PerformanceView(
            as_of=row["as_of"],
            window_s=window_s,
            step_s=step_s,
            current=traffic_of(current.total, window_s),
            previous=traffic_of(previous, window_s),
            series=current.points,
        )


def _row(row: asyncpg.Record) -> WebhookRow:
    """Read a row, yet without traffic."""
    none = last_hour(0, 0, Histogram())
    return from_row(row, WebhookRow, health=health_of(row, HealthView), last_hour=none, sparkline=NO_TRAFFIC)


def _with_traffic(row: WebhookRow, line: Sparkline, latencies: Histogram) -> WebhookRow:
    hour = last_hour(sum(line.attempts), sum(line.failures), latencies)
    return msgspec.structs.replace(row, last_hour=hour, sparkline=line)
