"""The list of webhooks: filtered, sorted and counted by their summaries, shown from their own rows and rollups."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_row, health_of, histogram_of
from monitor.adapters.postgres.queries.metrics import LATENCIES, last_hour
from monitor.adapters.postgres.queries.pages import list_rows
from monitor.adapters.postgres.queries.rows import OPEN_ALERT, status_of
from monitor.adapters.postgres.queries.webhook_conditions import add_conditions
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.sql import Where
from monitor.domain.monitoring.metrics import Histogram
from monitor.domain.views.dashboard import (
    SPARK_STEP_S,
    SPARK_STEPS,
    RowFilter,
    RowLook,
    RowOrder,
    RowPosition,
    RowSort,
    Sparkline,
    WebhookRow,
)
from monitor.domain.views.webhooks import HealthView
from monitor.domain.vocab import BodyFormat, WebhookStatus
from monitor.domain.webhooks.chat_url import shown_url

KEYS: dict[RowSort, tuple[str, bool]] = {
    "worst": ("urgency", False),
    "name": ("name", False),
    "newest": ("", True),
    "traffic": ("attempts", True),
    "failures": ("failure_ratio", True),
    "latency": ("p95_ms", True),
    "waiting": ("waiting", True),
}
"""Column of each sort, beside the id, and whether it descends."""

FOUND = "SELECT s.webhook_id, {key} AS key FROM {tables} {where} ORDER BY {order} LIMIT {limit}"

ROWS = f"""
SELECT page.key, w.id, w.name, w.url, w.body_format, w.labels, w.enabled, w.disabled_reason, w.paused_at,
       l.health_status, l.health_reason, l.failure_probability, l.health_changed_at, l.last_attempt_at,
       s.waiting::int AS waiting, s.critical + s.warning + s.info AS alerts, {OPEN_ALERT} AS open_alert,
       (SELECT count(*) FROM anomalies a WHERE a.webhook_id = w.id AND a.closed_at IS NULL) AS anomalies
FROM ({{found}}) AS page JOIN webhook_summaries s ON s.webhook_id = page.webhook_id
JOIN webhooks w ON w.id = page.webhook_id JOIN webhook_lanes l ON l.webhook_id = page.webhook_id
ORDER BY {{order}}
"""

COUNTS = "SELECT s.status, count(*)::int AS n FROM {tables} {where} GROUP BY s.status"

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


async def rows_look(
    database: Reads, where: RowFilter, order: RowOrder, after: RowPosition | None, limit: int
) -> RowLook:
    """See :meth:`monitor.domain.ports.queries.dashboard.DashboardQueries.rows`."""
    column, descends = KEYS[order.sort]
    descends ^= order.reverse
    tables, condition = _conditions(where)
    condition.add("s.status = {}", where.status)
    if after is not None:
        sign = "<" if descends else ">"
        if column:
            type_ = "text" if order.sort == "name" else "float8"
            condition.add(f"(s.{column}, s.webhook_id) {sign} ({{}}::{type_}, {{}}::uuid)", after.key, after.id)
        else:
            condition.add(f"s.webhook_id {sign} {{}}::uuid", after.id)
    direction = "DESC" if descends else "ASC"
    keys = [f"s.{name}" for name in (column, "webhook_id") if name]

    async def fetch(where: Where) -> list[asyncpg.Record]:
        by = ", ".join(f"{key} {direction}" for key in keys)
        key = f"s.{column}" if column else "NULL::text"
        found = FOUND.format(key=key, tables=tables, where=where, order=by, limit=limit + 1)
        outer = ", ".join(f"page.{name} {direction}" for name in ("key" if column else "", "webhook_id") if name)
        return await database.fetch(ROWS.format(found=found, order=outer), *where.args)

    read = await list_rows(database, condition, fetch, _row, "webhooks", limit + 1, id_column="s.webhook_id")
    shown = read[:limit]
    following = None
    if len(read) > limit:
        row, key = shown[-1]
        following = RowPosition(order.sort, key, row.id)
    return RowLook(await _with_traffic(database, [row for row, _ in shown]), following)


async def row_counts(database: Reads, where: RowFilter) -> dict[WebhookStatus, int]:
    """See :meth:`monitor.domain.ports.queries.dashboard.DashboardQueries.row_counts`."""
    tables, condition = _conditions(where)
    found = await database.fetch(COUNTS.format(tables=tables, where=condition), *condition.args)
    counts = {row["status"]: row["n"] for row in found}
    # A status that a newer version added is counted by that version.
    return {status: counts.get(status.value, 0) for status in WebhookStatus}


def _conditions(where: RowFilter) -> tuple[str, Where]:
    """Return the tables that *where* reads, and all of it but the status."""
    condition = Where()
    for wanted, holds in (
        (where.failing, "s.failure_ratio > 0"),
        (where.alerting, "s.critical + s.warning + s.info > 0"),
        (where.waiting, "s.waiting > 0"),
    ):
        if wanted is not None:
            condition.require(holds if wanted else f"NOT ({holds})")
    condition.add("s.webhook_id = ANY({}::uuid[])", None if where.ids is None else list(where.ids))
    named = (where.event_type, where.label, where.q)
    if named == (None, None, None):
        return "webhook_summaries s", condition
    add_conditions(condition, event_type=where.event_type, label=where.label, q=where.q, of_labels=True)
    return "webhook_summaries s JOIN webhooks w ON w.id = s.webhook_id", condition


def _row(row: asyncpg.Record) -> tuple[WebhookRow, float | str | None]:
    """Read a row, yet without traffic, and the key of its position."""
    status = status_of(row)
    return from_row(
        row,
        WebhookRow,
        "labels",
        url=shown_url(row["url"], BodyFormat(row["body_format"])),
        status=status.status,
        reason=status.reason,
        health=health_of(row, HealthView),
        last_hour=last_hour(0, 0, Histogram()),
        sparkline=NO_TRAFFIC,
    ), row["key"]


async def _with_traffic(database: Reads, rows: list[WebhookRow]) -> list[WebhookRow]:
    ids = [row.id for row in rows]
    latencies, steps = await asyncio.gather(database.fetch(LATENCIES, ids), database.fetch(SPARKLINES, ids))
    histograms = {row["webhook_id"]: histogram_of(row) for row in latencies}
    lines = {id_: Sparkline(SPARK_STEP_S, [0] * SPARK_STEPS, [0] * SPARK_STEPS) for id_ in ids}
    for row in steps:
        line, step = lines[row["webhook_id"]], row["step"]
        line.attempts[step], line.failures[step] = row["attempts"], row["failures"]
    shown = []
    for one in rows:
        line = lines[one.id]
        hour = last_hour(sum(line.attempts), sum(line.failures), histograms.get(one.id, Histogram()))
        shown.append(msgspec.structs.replace(one, last_hour=hour, sparkline=line))
    return shown
