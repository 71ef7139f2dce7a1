"""``AttemptLog`` on PostgreSQL: attempts, and their rollups by minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import repeat
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import jsonb
from monitor.domain.delivery.reported import AttemptColumns
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import HOUR_S, Rollup, merge_rollups
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup

COLUMNS = (
    "webhook_id", "id", "kind", "delivery_id", "event_id", "event_type", "number", "status_code", "error",
    "error_detail", "latency_ms", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "response_body", "exchange",
)  # fmt: skip

REPORTED_COLUMNS = (
    "webhook_id", "id", "kind", "event_id", "event_type", "number", "status_code", "error", "latency_ms",
)  # fmt: skip

HOUR_LOCK = 0x6D6F6E04
"""First key of the locks on hours; the second is :func:`hour_number`."""

SYSTEM_IDS = [UUID(int=SYSTEM_ID.int + n) for n in range(17)]
"""
What stands for the whole system in the rollups: its figures are the sum over these rows.

Each transaction writes to one that no other has, so that one that is slow, or whose process vanished, blocks no other;
the first one is written by older versions.
"""

SYSTEM_LOCK = 0x6D6F6E06
"""First key of the locks on :data:`SYSTEM_IDS`; the second is the index."""

# The first free one, so that few rows are used. The scan stops there, and what it tried before was not granted.
TAKE_SYSTEM_ROW = f"""
SELECT n FROM generate_series(1, {len(SYSTEM_IDS) - 1}) AS n WHERE pg_try_advisory_xact_lock({SYSTEM_LOCK}, n) LIMIT 1
"""

# Until commit, the hours that are written to may not be compacted: the lock is shared among writers. It is taken before
# the rows, in ascending order, which excludes deadlocks.
MERGE_COUNTS = f"""
WITH held AS MATERIALIZED (
    SELECT count(pg_advisory_xact_lock_shared({HOUR_LOCK}, hour)) AS hours FROM unnest($8::int[]) AS hour
)
INSERT INTO rollups_minute AS r
    (webhook_id, bucket_at, attempts, failures, latency_sum_ms, failed_latency_sum_ms, errors)
SELECT webhook_id, bucket_at, attempts, failures, latency_sum_ms, failed_latency_sum_ms, errors::jsonb
FROM held, unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::float8[], $6::float8[], $7::text[])
    AS n (webhook_id, bucket_at, attempts, failures, latency_sum_ms, failed_latency_sum_ms, errors)
ON CONFLICT (webhook_id, bucket_at) DO UPDATE SET
    attempts = r.attempts + excluded.attempts,
    failures = r.failures + excluded.failures,
    latency_sum_ms = r.latency_sum_ms + excluded.latency_sum_ms,
    failed_latency_sum_ms = r.failed_latency_sum_ms + excluded.failed_latency_sum_ms,
    errors = CASE
        WHEN excluded.errors = '{{}}' THEN r.errors
        WHEN r.errors = '{{}}' THEN excluded.errors
        ELSE (SELECT jsonb_object_agg(key, n) FROM (
                SELECT key, sum(value::int) AS n FROM (
                    SELECT * FROM jsonb_each_text(r.errors) UNION ALL SELECT * FROM jsonb_each_text(excluded.errors)
                ) AS both_sides GROUP BY key) AS merged)
    END
"""

MERGE_HISTOGRAMS = """
WITH n AS (
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[])
        AS n (webhook_id, bucket_at, indexes, counts)
), late AS (
    INSERT INTO rollups_stale (resolution, webhook_id, bucket_at)
    SELECT DISTINCT 'hour', webhook_id, date_trunc('hour', bucket_at, 'UTC') AS hour FROM n
    WHERE bucket_at < (SELECT compacted_until FROM rollup_progress WHERE resolution = 'hour') ORDER BY webhook_id, hour
    ON CONFLICT DO NOTHING
)
INSERT INTO histograms_minute AS h (webhook_id, bucket_at, indexes, counts)
SELECT webhook_id, bucket_at, string_to_array(indexes, ',')::smallint[], string_to_array(counts, ',')::int[] FROM n
WHERE indexes <> ''
ON CONFLICT (webhook_id, bucket_at) DO UPDATE SET (indexes, counts) = (
    SELECT array_agg(i ORDER BY i), array_agg(c ORDER BY i) FROM (
        SELECT i, sum(c)::int AS c
        FROM unnest(h.indexes || excluded.indexes, h.counts || excluded.counts) AS pair (i, c) GROUP BY i
    ) AS merged)
"""


ADD_SILENCED = """
INSERT INTO silenced_hours AS s (webhook_id, bucket_at, attempts, failures)
SELECT webhook_id, date_trunc('hour', at, 'UTC') AS hour, sum(attempts)::int, sum(failures)::int
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[]) AS n (webhook_id, at, attempts, failures)
GROUP BY webhook_id, hour ORDER BY webhook_id, hour
ON CONFLICT (webhook_id, bucket_at) DO UPDATE SET
    attempts = s.attempts + excluded.attempts, failures = s.failures + excluded.failures
"""


class PostgresAttemptLog:
    """See :class:`monitor.domain.ports.repositories.attempts.AttemptLog`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, attempts: Sequence[AttemptRecord]) -> None:
        await self._connection.copy_records_to_table(
            "attempts", records=[_record(attempt) for attempt in attempts], columns=COLUMNS
        )

    async def add_reported(self, webhook_id: UUID, ids: Sequence[UUID], attempts: AttemptColumns) -> None:
        rows = zip(
            repeat(webhook_id), ids, repeat("reported"), attempts.event_ids, attempts.event_types, repeat(1),
            attempts.status_codes, attempts.errors, attempts.latencies_ms,
        )  # fmt: skip
        await self._connection.copy_records_to_table("attempts", records=rows, columns=REPORTED_COLUMNS)

    async def stored(self, attempts: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
        rows = await self._connection.fetch(
            "SELECT a.id FROM unnest($1::uuid[], $2::uuid[]) AS n (webhook_id, id), LATERAL ("
            " SELECT id FROM attempts WHERE webhook_id = n.webhook_id AND id = n.id) AS a",
            [webhook_id for webhook_id, _ in attempts],
            [id_ for _, id_ in attempts],
        )
        return {row["id"] for row in rows}

    async def add_minutes(self, minutes: Sequence[MinuteRollup]) -> None:
        taken = await self._connection.fetchval(TAKE_SYSTEM_ROW)
        # Where all are taken, waiting for any one is as good as for another.
        system_id = SYSTEM_IDS[taken] if taken else SYSTEM_IDS[-1]
        # Ordered against deadlocks.
        await self.merge([*sorted(minutes, key=lambda m: (m.webhook_id, m.at)), *_system(minutes, system_id)])

    async def add_silenced(self, minutes: Sequence[MinuteRollup]) -> None:
        await self._connection.execute(
            ADD_SILENCED,
            [m.webhook_id for m in minutes],
            [m.at for m in minutes],
            [m.rollup.attempts for m in minutes],
            [m.rollup.failures for m in minutes],
        )

    async def merge(self, rows: Sequence[MinuteRollup]) -> None:
        """Add *rows*, each of another webhook or minute, to what is stored."""
        ids, times = [m.webhook_id for m in rows], [m.at for m in rows]
        await self._connection.execute(
            MERGE_COUNTS,
            ids,
            times,
            [m.rollup.attempts for m in rows],
            [m.rollup.failures for m in rows],
            [m.rollup.latency_sum_ms for m in rows],
            [m.rollup.failed_latency_sum_ms for m in rows],
            [jsonb(m.rollup.errors) for m in rows],
            sorted({hour_number(m.at) for m in rows}),
        )
        # The second statement sees what was compacted before the lock of the first was granted.
        await self._connection.execute(
            MERGE_HISTOGRAMS,
            ids,
            times,
            # PostgreSQL has no arrays of arrays of different lengths.
            [",".join(map(str, m.rollup.histogram.indexes)) for m in rows],
            [",".join(map(str, m.rollup.histogram.counts)) for m in rows],
        )


def hour_number(at: datetime) -> int:
    """Return the hours since 1970."""
    return int(at.timestamp()) // HOUR_S


def _system(minutes: Sequence[MinuteRollup], system_id: UUID) -> list[MinuteRollup]:
    by_time: dict[datetime, list[Rollup]] = {}
    for minute in minutes:
        by_time.setdefault(minute.at, []).append(minute.rollup)
    return [MinuteRollup(system_id, at, merge_rollups(*rollups)) for at, rollups in sorted(by_time.items())]


def _record(attempt: AttemptRecord) -> tuple[object, ...]:
    outcome = attempt.outcome
    phases = outcome.phases
    return (
        attempt.webhook_id,
        attempt.id,
        attempt.kind,
        attempt.delivery_id,
        attempt.event_id,
        attempt.event_type,
        attempt.number,
        outcome.status_code,
        outcome.error,
        outcome.error_detail,
        outcome.latency_ms,
        phases.dns_ms,
        phases.connect_ms,
        phases.tls_ms,
        phases.first_byte_ms,
        outcome.response_body or None,
        None if attempt.exchange is None else jsonb(attempt.exchange),
    )
