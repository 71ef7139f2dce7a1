"""
Compaction of rollups: minutes into hours, hours into days.

A bucket is *sealed* once it is over: ``rollup_progress`` moves past it, and every webhook with attempts in it gets a
row in ``rollups_stale``. Compacting replaces the bucket of a stale webhook by the sum of the finer resolution and
deletes that row in the same transaction. Attempts that arrive after the seal make it stale again. So a bucket is valid
if it is sealed and not stale, else the finer resolution is; a process that stops half-way leaves stale rows, and the
next run continues from there.

A writer holds a shared lock on each hour that it writes to until it commits; sealing and compacting an hour take that
lock exclusively. So a writer either commits before the seal, and is compacted, or reads the seal, and adds a stale row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import msgspec
import structlog

from monitor.adapters.postgres.codec import rollup_of
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.repositories.attempts import (
    HOUR_LOCK,
    SYSTEM_IDS,
    SYSTEM_LOCK,
    PostgresAttemptLog,
    hour_number,
)
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S
from monitor.domain.ports.repositories.attempts import MinuteRollup

COMPACTION_LOCK = 0x6D6F6E03
GRACE = timedelta(minutes=2)
"""Time from the end of an hour to its seal. Later attempts are not lost: the hour is compacted again."""

SEALS_PER_TICK = 24
"""Bounds the work of one run after an outage."""

BATCH = 500
"""Webhooks compacted by one statement: keeps it far below the statement timeout."""

LOCK_TIMEOUT_MS = 2000

log = structlog.get_logger(__name__)

SYSTEM = f"'{{{','.join(map(str, SYSTEM_IDS))}}}'::uuid[]"


class Resolution(msgspec.Struct, frozen=True):
    """One step of compaction; ``source`` and ``name`` are the suffixes of the tables that it reads and writes."""

    name: str
    source: str
    width: timedelta

    @property
    def merge_counts(self) -> str:
        """SQL: replace the counts of the bucket from $1 to $2 of the webhooks in $3."""
        rows = f"rollups_{self.source} WHERE webhook_id = ANY($3) AND bucket_at >= $1 AND bucket_at < $2"
        return f"""
        INSERT INTO rollups_{self.name} (
            webhook_id, bucket_at, attempts, failures, latency_sum_ms, failed_latency_sum_ms, errors)
        SELECT webhook_id, $1, attempts, failures, latency_sum_ms, failed_latency_sum_ms, coalesce(errors, '{{}}')
        FROM (
            SELECT webhook_id, sum(attempts)::int AS attempts, sum(failures)::int AS failures,
                   sum(latency_sum_ms) AS latency_sum_ms, sum(failed_latency_sum_ms) AS failed_latency_sum_ms
            FROM {rows} GROUP BY webhook_id
        ) AS c LEFT JOIN (
            SELECT webhook_id, jsonb_object_agg(key, n) AS errors FROM (
                SELECT webhook_id, key, sum(value::int) AS n
                FROM (SELECT webhook_id, errors FROM {rows} AND jsonb_typeof(errors) = 'object') AS r,
                     jsonb_each(errors)
                WHERE jsonb_typeof(value) = 'number' GROUP BY webhook_id, key
            ) AS by_key GROUP BY webhook_id
        ) AS e USING (webhook_id)
        ON CONFLICT (webhook_id, bucket_at) DO UPDATE
            SET (attempts, failures, latency_sum_ms, failed_latency_sum_ms, errors) = (excluded.attempts,
                excluded.failures, excluded.latency_sum_ms, excluded.failed_latency_sum_ms, excluded.errors)
        """

    @property
    def merge_histograms(self) -> str:
        """SQL: replace the histograms, with the same parameters."""
        return f"""
        INSERT INTO histograms_{self.name} (webhook_id, bucket_at, indexes, counts)
        SELECT webhook_id, $1, array_agg(i ORDER BY i), array_agg(c ORDER BY i) FROM (
            SELECT webhook_id, i, sum(c)::int AS c
            FROM histograms_{self.source}, unnest(indexes, counts) AS pair (i, c)
            WHERE webhook_id = ANY($3) AND bucket_at >= $1 AND bucket_at < $2 GROUP BY webhook_id, i
        ) AS buckets GROUP BY webhook_id
        ON CONFLICT (webhook_id, bucket_at) DO UPDATE SET (indexes, counts) = (excluded.indexes, excluded.counts)
        """

    @property
    def make_all_stale(self) -> str:
        """SQL: make the bucket from $1 to $2 stale for every webhook with rows in it."""
        return f"""
        INSERT INTO rollups_stale (resolution, webhook_id, bucket_at)
        SELECT '{self.name}', id, $1 FROM (SELECT id FROM webhooks UNION ALL SELECT unnest({SYSTEM})) AS w
        WHERE EXISTS (
            SELECT FROM rollups_{self.source} r WHERE r.webhook_id = id AND r.bucket_at >= $1 AND r.bucket_at < $2)
        ON CONFLICT DO NOTHING
        """


HOUR = Resolution("hour", "minute", timedelta(seconds=HOUR_S))
DAY = Resolution("day", "hour", timedelta(seconds=DAY_S))

# Some row of the system is there whenever any webhook's is.
BEGIN_PROGRESS = f"""
INSERT INTO rollup_progress (resolution, compacted_until)
SELECT resolution, date_trunc(resolution, min(bucket_at), 'UTC')
FROM rollups_minute, (VALUES ('{HOUR.name}'), ('{DAY.name}')) AS resolutions (resolution)
WHERE webhook_id = ANY({SYSTEM}) GROUP BY resolution
"""

# A day may be sealed when all its hours are, an hour when its grace is over.
NEXT = """
SELECT p.compacted_until AS at, now() - $2::interval AS over_until, hours.compacted_until AS hours_until
FROM rollup_progress p, rollup_progress hours WHERE p.resolution = $1 AND hours.resolution = 'hour'
"""

SEAL = "UPDATE rollup_progress SET compacted_until = $2 WHERE resolution = $1"

STALE = "SELECT DISTINCT bucket_at FROM rollups_stale WHERE resolution = $1 ORDER BY bucket_at"

TAKE_STALE = f"""
DELETE FROM rollups_stale WHERE resolution = $1 AND bucket_at = $2 AND webhook_id IN (
    SELECT webhook_id FROM rollups_stale WHERE resolution = $1 AND bucket_at = $2 ORDER BY webhook_id LIMIT {BATCH})
RETURNING webhook_id
"""

MAKE_DAY_STALE = """
INSERT INTO rollups_stale (resolution, webhook_id, bucket_at)
SELECT resolution, id, date_trunc('day', $1, 'UTC') FROM rollup_progress, unnest($2::uuid[]) AS id
WHERE resolution = 'day' AND $1 < compacted_until
ON CONFLICT DO NOTHING
"""


FOLDED_AFTER = timedelta(minutes=2)
"""Age of a minute whose rows of the system are folded into one, so that reads need not add these up."""

FOLDED_UNTIL = timedelta(hours=2)
"""Older minutes are in hours that are sealed, as a rule, and stay as they are: their hours were made of these rows."""

# In hours that are not sealed: the shared locks exclude a seal until the end of the transaction.
UNFOLDED = f"""
SELECT DISTINCT webhook_id FROM rollups_minute
WHERE webhook_id = ANY($1) AND bucket_at >= now() - $2::interval AND bucket_at < now() - $3::interval
  AND bucket_at >= coalesce(
      (SELECT compacted_until FROM rollup_progress WHERE resolution = '{HOUR.name}'), '-infinity')
"""

TAKE_UNFOLDED = f"""
WITH span AS MATERIALIZED (
    SELECT greatest(now() - $2::interval, coalesce(max(compacted_until), '-infinity')) AS since,
           now() - $3::interval AS until
    FROM rollup_progress WHERE resolution = '{HOUR.name}'
), buckets AS (
    DELETE FROM histograms_minute h USING span
    WHERE h.webhook_id = $1 AND h.bucket_at >= span.since AND h.bucket_at < span.until
    RETURNING h.bucket_at, h.indexes, h.counts
), counts AS (
    DELETE FROM rollups_minute r USING span
    WHERE r.webhook_id = $1 AND r.bucket_at >= span.since AND r.bucket_at < span.until
    RETURNING r.*
)
SELECT c.*, b.indexes, b.counts FROM counts c LEFT JOIN buckets b USING (bucket_at) ORDER BY bucket_at
"""


class RollupCompactor:
    """Any number may run; of two at the same moment one does nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def compact(self) -> None:
        """Seal at most :data:`SEALS_PER_TICK` buckets of each resolution, and compact the stale ones.

        Safe to repeat, and to stop at any moment. Raises ``Unavailable``.
        """
        with self._database.translating():
            async with self._database.connection() as connection:
                for level in (HOUR, DAY):
                    for _ in range(SEALS_PER_TICK):
                        if not await _seal(connection, level):
                            break
                    for row in await connection.fetch(STALE, level.name):
                        while await _compact(connection, level, row["bucket_at"]) == BATCH:
                            pass
                try:
                    await _fold_system(connection)
                except msgspec.MsgspecError as error:
                    # Reads go on to add the rows up.
                    log.warning("system_rollups_unreadable", error=str(error))


async def _seal(connection: asyncpg.Connection, level: Resolution) -> bool:
    """Seal the oldest unsealed bucket; ``False`` if it is not over yet, or another process holds the lock."""
    async with _advisory_lock(connection) as acquired:
        if not acquired:
            return False
        progress = await connection.fetchrow(NEXT, level.name, GRACE) or await _begin(connection, level)
        if progress is None:
            return False
        at, until = progress["at"], progress["at"] + level.width
        if until > (progress["over_until"] if level is HOUR else progress["hours_until"]):
            return False
        if level is HOUR:
            await _lock_hour(connection, at)
        await connection.execute(SEAL, level.name, until)
        await connection.execute(level.make_all_stale, at, until)
        return True


async def _begin(connection: asyncpg.Connection, level: Resolution) -> asyncpg.Record | None:
    """Start at the oldest minute. The lock of the table excludes a writer of an older one."""
    await connection.execute("LOCK TABLE ONLY rollups_minute IN SHARE MODE")
    await connection.execute(BEGIN_PROGRESS)
    return await connection.fetchrow(NEXT, level.name, GRACE)


async def _compact(connection: asyncpg.Connection, level: Resolution, at: datetime) -> int:
    """Compact one bucket of up to :data:`BATCH` stale webhooks; return their number, 0 without the lock."""
    async with _advisory_lock(connection) as acquired:
        if not acquired:
            return 0
        if level is HOUR:
            await _lock_hour(connection, at)
        ids = [row["webhook_id"] for row in await connection.fetch(TAKE_STALE, level.name, at)]
        await connection.execute(level.merge_counts, at, at + level.width, ids)
        await connection.execute(level.merge_histograms, at, at + level.width, ids)
        if level is HOUR:
            await connection.execute(MAKE_DAY_STALE, at, ids)
        return len(ids)


async def _fold_system(connection: asyncpg.Connection) -> None:
    """Add the finished minutes of the system's other rows to those of its first one that is written now."""
    first, *others = SYSTEM_IDS[1:]
    unfolded = {row["webhook_id"] for row in await connection.fetch(UNFOLDED, others, FOLDED_UNTIL, FOLDED_AFTER)}
    for index, id_ in enumerate(others, 2):
        if id_ not in unfolded:
            continue
        async with _advisory_lock(connection) as acquired:
            # Writers use other rows meanwhile.
            locks = "SELECT pg_try_advisory_xact_lock($1, 1) AND pg_try_advisory_xact_lock($1, $2)"
            if not acquired or not await connection.fetchval(locks, SYSTEM_LOCK, index):
                continue
            now = await connection.fetchval("SELECT now()")
            hours = range(hour_number(now - FOLDED_UNTIL), hour_number(now) + 1)
            await connection.execute(
                "SELECT pg_advisory_xact_lock_shared($1, hour) FROM unnest($2::int[]) AS hour", HOUR_LOCK, list(hours)
            )
            rows = await connection.fetch(TAKE_UNFOLDED, id_, FOLDED_UNTIL, FOLDED_AFTER)
            minutes = [MinuteRollup(first, row["bucket_at"], rollup_of(row)) for row in rows]
            await PostgresAttemptLog(connection).merge(minutes)


@asynccontextmanager
async def _advisory_lock(connection: asyncpg.Connection) -> AsyncIterator[bool]:
    """Open a transaction; yield whether it got the lock of compaction."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        yield bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", COMPACTION_LOCK))


async def _lock_hour(connection: asyncpg.Connection, at: datetime) -> None:
    """Exclude writers of this hour until the end of the transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", HOUR_LOCK, hour_number(at))
