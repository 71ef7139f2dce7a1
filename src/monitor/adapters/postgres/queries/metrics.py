"""Series, percentiles and totals from rollups: buckets are merged, raw attempts are never read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import from_jsonb, histogram_of, rollup_of
from monitor.adapters.postgres.queries.series import SERIES, SERIES_AS_STORED, levels
from monitor.adapters.postgres.replica import Reads
from monitor.adapters.postgres.repositories.attempts import SYSTEM_IDS
from monitor.adapters.postgres.silenced import HELD_UNTIL, HOLD_ENDED_AT
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import (
    HOUR_S,
    MINUTE_S,
    Histogram,
    Rollup,
    merge_rollups,
    percentile,
    percentiles,
    whole_units,
)
from monitor.domain.views.dashboard import (
    PENDING_COUNT_CAP,
    THROUGHPUT_MINUTES,
    OverviewView,
    QueueView,
    Throughput,
    TrafficSummary,
)
from monitor.domain.views.metrics import MetricsPoint, MetricsView
from monitor.domain.views.webhooks import LastHour
from monitor.domain.vocab import Severity, WebhookStatus

# Buckets are unnested in the select list: as a table function, once for each minute, it takes twice the time.
LATENCIES = """
SELECT webhook_id, array_agg(i ORDER BY i) AS indexes, array_agg(n ORDER BY i) AS counts FROM (
    SELECT webhook_id, i, sum(c)::int AS n FROM (
        SELECT webhook_id, unnest(indexes) AS i, unnest(counts) AS c FROM histograms_minute
        WHERE webhook_id = ANY($1::uuid[]) AND bucket_at >= now() - interval '1 hour'
    ) AS pairs GROUP BY webhook_id, i
) AS merged GROUP BY webhook_id
"""

# The whole system's rows are several, which add up.
LAST_HOUR_OF_ALL = f"""
WITH buckets AS (
    SELECT i, sum(c)::int AS n FROM (SELECT unnest(indexes) AS i, unnest(counts) AS c FROM ({LATENCIES}) AS l) AS pairs
    GROUP BY i
)
SELECT coalesce(sum(attempts), 0)::int AS attempts, coalesce(sum(failures), 0)::int AS failures,
       coalesce(sum(attempts) FILTER (
           WHERE bucket_at >= date_trunc('minute', now()) - interval '{THROUGHPUT_MINUTES} minutes'
               AND bucket_at < date_trunc('minute', now())), 0)::int AS lately,
       (SELECT array_agg(i ORDER BY i) FROM buckets) AS indexes, (SELECT array_agg(n ORDER BY i) FROM buckets) AS counts
FROM rollups_minute WHERE webhook_id = ANY($1) AND bucket_at >= now() - interval '1 hour'
"""

LAST_HOURS = f"""
WITH counts AS (
    SELECT webhook_id, sum(attempts)::int AS attempts, sum(failures)::int AS failures FROM rollups_minute
    WHERE webhook_id = ANY($1) AND bucket_at >= now() - interval '1 hour' GROUP BY webhook_id
), buckets AS ({LATENCIES})
SELECT id, coalesce(attempts, 0) AS attempts, coalesce(failures, 0) AS failures, indexes, buckets.counts
FROM unnest($1) AS id LEFT JOIN counts ON counts.webhook_id = id LEFT JOIN buckets ON buckets.webhook_id = id
"""

# The first delivery of each webhook that has any, one step in the index each, however many wait behind it. What a
# breaker or a 429 holds back is late from the end of its pause on: until then no worker may take it, however many run.
# While the deliveries of a pause are released, the next one is late from when its turn came.
# Lanes that nothing is claimed from do not count: those of paused, disabled and deleted webhooks.
OVERVIEW = f"""
WITH RECURSIVE first AS (
    (SELECT webhook_id, due_at FROM deliveries ORDER BY webhook_id, due_at LIMIT 1)
    UNION ALL
    SELECT next.webhook_id, next.due_at FROM first, LATERAL (
        SELECT d.webhook_id, d.due_at FROM deliveries d WHERE d.webhook_id > first.webhook_id
        ORDER BY d.webhook_id, d.due_at LIMIT 1) AS next
)
SELECT now() AS as_of,
    (SELECT jsonb_object_agg(status, n) FROM (
        SELECT status, count(*) AS n FROM webhook_summaries GROUP BY 1) AS s) AS by_status,
    (SELECT count(*) FROM (SELECT FROM deliveries LIMIT {PENDING_COUNT_CAP}) AS d) AS pending,
    (SELECT count(*) FROM deliveries WHERE leased_by IS NOT NULL AND due_at > now()) AS in_flight,
    (SELECT extract(epoch FROM now() - min(leased_at))::float8 FROM deliveries
     WHERE leased_by IS NOT NULL AND due_at > now()) AS oldest_lease_age_s,
    (SELECT extract(epoch FROM now() - min(late_from))::float8 FROM (
        SELECT greatest(first.due_at, l.breaker_until, l.throttled_until, {HELD_UNTIL},
                        {HOLD_ENDED_AT},
                        CASE WHEN first.due_at <= l.resumed_at THEN l.release_at END) AS late_from
        FROM first JOIN webhooks w ON w.id = first.webhook_id JOIN webhook_lanes l ON l.webhook_id = w.id
        WHERE w.deleted_at IS NULL AND w.enabled AND w.paused_at IS NULL) AS lane
     WHERE late_from <= now()) AS oldest_due_age_s,
    (SELECT count(*) FROM (SELECT FROM fan_outs LIMIT {PENDING_COUNT_CAP}) AS f) AS fan_outs,
    (SELECT extract(epoch FROM now() - accepted_at)::float8 FROM fan_outs ORDER BY id LIMIT 1) AS oldest_fan_out_age_s,
    (SELECT jsonb_object_agg(severity, n) FROM (
        SELECT severity, count(*) AS n FROM alerts WHERE state = 'pending' GROUP BY 1) AS a) AS alerts,
    (SELECT count(*) FROM alerts WHERE state = 'acknowledged') AS acknowledged,
    (SELECT count(*) FROM anomalies WHERE closed_at IS NULL) AS anomalies
"""


async def series(database: Reads, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsView:
    """Return the series of one webhook, or of the whole system for ``SYSTEM_ID``."""
    from_at, to_at = whole_units(from_at, to_at, step_s)
    # What is stored by the minute needs no merging by the database to be shown by the minute.
    sql = SERIES_AS_STORED if step_s == MINUTE_S else SERIES
    rows = await database.fetch(sql, _row_ids(webhook_id), from_at, to_at, float(step_s), levels(step_s))
    parts: dict[datetime, list[Rollup]] = {}
    for row in rows:
        parts.setdefault(row["at"], []).append(rollup_of(row))
    rollups = [(at, merge_rollups(*found) if len(found) > 1 else found[0]) for at, found in parts.items()]
    return MetricsView(
        from_at=from_at,
        to_at=to_at,
        step_s=step_s,
        total=_point(from_at, merge_rollups(*(rollup for _, rollup in rollups))),
        points=[_point(at, rollup) for at, rollup in rollups],
    )


async def total(database: Reads, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsPoint:
    """Return the ``total`` that :func:`series` would have, merged by the database."""
    from_at, to_at = whole_units(from_at, to_at, step_s)
    width_s = (to_at - from_at).total_seconds()
    row = await database.fetchrow(SERIES, _row_ids(webhook_id), from_at, to_at, width_s, levels(step_s))
    return _point(from_at, Rollup() if row is None else rollup_of(row))


async def last_hours(database: Reads, webhook_ids: Collection[UUID]) -> dict[UUID, LastHour]:
    """Return how the last hour of each webhook went."""
    rows = await database.fetch(LAST_HOURS, list(webhook_ids))
    return {row["id"]: hour_of(row) for row in rows}


def hour_of(row: asyncpg.Record) -> LastHour:
    """Read a row of ``LAST_HOURS``."""
    return last_hour(row["attempts"], row["failures"], histogram_of(row))


def last_hour(attempts: int, failures: int, latencies: Histogram) -> LastHour:
    return LastHour(attempts, _ratio(attempts, failures), _rounded(percentile(latencies, 0.95)))


async def overview(database: Reads) -> OverviewView:
    """Return the totals; cost follows the number of webhooks, not of attempts."""
    row, hour = await asyncio.gather(database.fetchrow(OVERVIEW), database.fetchrow(LAST_HOUR_OF_ALL, SYSTEM_IDS))
    assert row is not None
    assert hour is not None
    by_status = from_jsonb(row["by_status"] or {}, dict[str, int])
    webhooks = {status: by_status.get(status.value, 0) for status in WebhookStatus}
    pending = from_jsonb(row["alerts"] or {}, dict[str, int])
    p50_ms, p95_ms, p99_ms = _percentiles(histogram_of(hour))
    return OverviewView(
        as_of=row["as_of"],
        webhooks=webhooks,
        disabled=webhooks[WebhookStatus.DISABLED],
        paused=webhooks[WebhookStatus.PAUSED],
        throughput=Throughput(
            window_s=THROUGHPUT_MINUTES * MINUTE_S,
            attempts=hour["lately"],
            per_s=round(hour["lately"] / (THROUGHPUT_MINUTES * MINUTE_S), 3),
        ),
        traffic=TrafficSummary(
            window_s=HOUR_S,
            attempts=hour["attempts"],
            throughput_per_s=round(hour["attempts"] / HOUR_S, 3),
            success_ratio=_ratio(hour["attempts"], hour["failures"]),
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            p99_ms=p99_ms,
        ),
        queue=QueueView(
            pending=row["pending"],
            in_flight=row["in_flight"],
            oldest_lease_age_s=round(row["oldest_lease_age_s"] or 0.0, 3),
            oldest_due_age_s=round(row["oldest_due_age_s"] or 0.0, 3),
            fan_outs=row["fan_outs"],
            oldest_fan_out_age_s=round(row["oldest_fan_out_age_s"] or 0.0, 3),
        ),
        alerts={severity: pending.get(severity, 0) for severity in Severity},
        acknowledged=row["acknowledged"],
        anomalies=row["anomalies"],
    )


def traffic_of(total: MetricsPoint, window_s: int) -> TrafficSummary:
    """Return the traffic of a window of *window_s* seconds with rollups that add up to *total*."""
    return TrafficSummary(
        window_s=window_s,
        attempts=total.attempts,
        throughput_per_s=round(total.attempts / window_s, 3),
        success_ratio=total.success_ratio,
        p50_ms=total.p50_ms,
        p95_ms=total.p95_ms,
        p99_ms=total.p99_ms,
    )


def _row_ids(webhook_id: UUID) -> list[UUID]:
    return SYSTEM_IDS if webhook_id == SYSTEM_ID else [webhook_id]


def _point(at: datetime, rollup: Rollup) -> MetricsPoint:
    p50_ms, p95_ms, p99_ms = _percentiles(rollup.histogram)
    return MetricsPoint(
        at=at,
        attempts=rollup.attempts,
        failures=rollup.failures,
        success_ratio=_ratio(rollup.attempts, rollup.failures),
        mean_ms=_rounded(rollup.latency_mean_ms),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        failed_mean_ms=_rounded(rollup.failed_latency_mean_ms),
        errors=rollup.errors,
    )


def _percentiles(histogram: Histogram) -> list[float | None]:
    return [_rounded(value) for value in percentiles(histogram, 0.5, 0.95, 0.99)]


def _ratio(attempts: int, failures: int) -> float | None:
    return round(1 - failures / attempts, 6) if attempts else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
