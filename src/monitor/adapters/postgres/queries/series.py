"""Choice of rollups for a series: each moment is read from the widest valid resolution that fits the steps."""

from __future__ import annotations

from monitor.adapters.postgres.maintenance.rollup_compaction import DAY, HOUR
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S, unit_s


def levels(step_s: int) -> list[str]:
    """Return the resolutions above minutes that divide steps of *step_s* seconds."""
    return {DAY_S: [HOUR.name, DAY.name], HOUR_S: [HOUR.name]}.get(unit_s(step_s), [])


def _rows(kind: str, columns: str) -> str:
    """Return SQL for the rows of ``rollups`` or ``histograms`` that cover the range once, without gap or overlap."""
    within = "r.webhook_id = ANY($1) AND r.bucket_at >= s.since AND r.bucket_at < s.until"
    return f"""
    SELECT r.webhook_id, r.bucket_at, {columns} FROM minute_spans s JOIN {kind}_minute r ON {within}
    UNION ALL
    SELECT r.webhook_id, r.bucket_at, {columns} FROM hour_spans s JOIN {kind}_hour r ON {within}
    WHERE r.bucket_at NOT IN (SELECT at FROM stale_hours)
    UNION ALL
    SELECT r.webhook_id, r.bucket_at, {columns} FROM compacted f JOIN {kind}_day r
        ON r.webhook_id = ANY($1) AND r.bucket_at >= $2 AND r.bucket_at < least($3, f.days)
    WHERE r.bucket_at NOT IN (SELECT at FROM stale_days)
    """


# Buckets are unnested in the select list: as a table function, once for each row, it takes twice the time.
_MERGED = f"""
    SELECT at, array_agg(i ORDER BY i) AS indexes, array_agg(c ORDER BY i) AS counts FROM (
        SELECT at, i, sum(c)::int AS c FROM (
            SELECT date_bin(make_interval(secs => $4), bucket_at, $2) AS at, unnest(indexes) AS i, unnest(counts) AS c
            FROM ({_rows("histograms", "indexes, counts")}) AS h
        ) AS pairs GROUP BY at, i
    ) AS b GROUP BY at
"""
_AS_STORED = f"""
    SELECT webhook_id, date_bin(make_interval(secs => $4), bucket_at, $2) AS at, indexes, counts
    FROM ({_rows("histograms", "indexes, counts")}) AS h
"""


_COUNTS = "attempts, failures, latency_sum_ms, failed_latency_sum_ms"


# $1 the ids in the rows, $2 and $3 the range, $4 seconds per step, $5 the resolutions to use. One that is not used
# counts as one without compacted rows. The range ends at whole units of each that is used, and days are never ahead of
# hours.
_SPANS = """
compacted AS MATERIALIZED (
    SELECT coalesce(max(compacted_until) FILTER (WHERE resolution = 'hour'), '-infinity') AS hours,
           coalesce(max(compacted_until) FILTER (WHERE resolution = 'day'), '-infinity') AS days
    FROM rollup_progress WHERE resolution = ANY($5::text[])
), stale_hours AS MATERIALIZED (
    SELECT DISTINCT bucket_at AS at FROM rollups_stale
    WHERE resolution = 'hour' AND resolution = ANY($5) AND webhook_id = ANY($1) AND bucket_at >= $2 AND bucket_at < $3
), stale_days AS MATERIALIZED (
    SELECT bucket_at AS at FROM rollups_stale
    WHERE resolution = 'day' AND resolution = ANY($5) AND webhook_id = ANY($1) AND bucket_at >= $2 AND bucket_at < $3
    UNION SELECT date_trunc('day', at, 'UTC') FROM stale_hours, compacted WHERE at < days
), minute_spans AS MATERIALIZED (
    SELECT greatest($2, hours) AS since, $3::timestamptz AS until FROM compacted
    UNION ALL SELECT at, at + interval '1 hour' FROM stale_hours
), hour_spans AS MATERIALIZED (
    SELECT greatest($2, days) AS since, least($3, hours) AS until FROM compacted
    UNION ALL SELECT at, at + interval '1 day' FROM stale_days
)
"""


def _series(buckets: str, key: str) -> str:
    return f"""
WITH {_SPANS}, parts AS MATERIALIZED (
    SELECT webhook_id, date_bin(make_interval(secs => $4), bucket_at, $2) AS at, {_COUNTS}, errors
    FROM ({_rows("rollups", f"{_COUNTS}, errors")}) AS r
), counts AS (
    SELECT {key}, sum(attempts)::int AS attempts, sum(failures)::int AS failures, sum(latency_sum_ms) AS latency_sum_ms,
           sum(failed_latency_sum_ms) AS failed_latency_sum_ms
    FROM parts GROUP BY {key}
), errors AS (
    SELECT {key}, jsonb_object_agg(label, n) AS errors FROM (
        SELECT {key}, label, sum(value::int) AS n FROM parts, jsonb_each_text(errors) AS e (label, value)
        GROUP BY {key}, label
    ) AS e GROUP BY {key}
), buckets AS ({buckets})
SELECT at, {_COUNTS}, coalesce(errors, '{{}}') AS errors, indexes, counts
FROM counts LEFT JOIN errors USING ({key}) LEFT JOIN buckets USING ({key}) ORDER BY at
"""


SERIES = _series(_MERGED, "at")
SERIES_AS_STORED = _series(_AS_STORED, "webhook_id, at")
"""For steps as wide as the rows, each of which is then one of a step: the only one, but for the whole system."""

COUNTS = f"""
WITH {_SPANS}
SELECT date_bin(make_interval(secs => $4), bucket_at, $2) AS at, sum(attempts)::int AS attempts,
       sum(failures)::int AS failures
FROM ({_rows("rollups", "attempts, failures")}) AS r GROUP BY 1
"""
"""Attempts and failures alone, with the same parameters."""
