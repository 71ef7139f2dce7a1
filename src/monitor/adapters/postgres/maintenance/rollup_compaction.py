"""
Minutes into hours, hours into days.

A bucket of a level is *sealed* once it is over: ``rollup_progress`` moves past it, and every webhook with attempts in
it gets a mark in ``rollups_stale``. Folding replaces the bucket of marked webhooks by what the finer level adds up to,
and takes the marks away in the same transaction. Attempts that come after the seal set the mark again. So a bucket is
true if it is sealed and not marked, else the finer level is; a process that dies half-way leaves marks
behind, and the next one goes on from there.

Writers lock each hour they write to, shared, until they commit; sealing and folding an hour need it alone. So a writer
either committed before the seal, and is folded, or sees the seal, and sets a mark.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import msgspec

from monitor.adapters.postgres.engine import Database, translating
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S

FOLDER_LOCK = 0x6D6F6E03
HOUR_LOCK = 0x6D6F6E04
"""First key of the locks on hours; the second is :func:`hour_number`."""

GRACE = timedelta(minutes=2)
"""How long after its end an hour is sealed. What comes later is not lost, but folded again."""

SEALS_PER_TICK = 24
"""So that catching up after an outage does not keep the tables busy for minutes on end."""

BATCH = 500
"""Webhooks folded by one statement: keeps it far below the statement timeout."""

LOCK_TIMEOUT_MS = 2000


class Resolution(msgspec.Struct, frozen=True):
    """One step of folding; ``source`` and ``name`` are the suffixes of the tables it reads and writes."""

    name: str
    source: str
    width: timedelta

    @property
    def merge_counts(self) -> str:
        """SQL: replace the counts of the bucket from $1 to $2 of the webhooks in $3."""
        rows = f"rollups_{self.source} WHERE webhook_id = ANY($3) AND bucket_at >= $1 AND bucket_at < $2"
        return f"""
        INSERT INTO rollups_{self.name} (webhook_id, bucket_at, attempts, failures, latency_sum_ms, errors)
        SELECT webhook_id, $1, attempts, failures, latency_sum_ms, coalesce(errors, '{{}}') FROM (
            SELECT webhook_id, sum(attempts)::int AS attempts, sum(failures)::int AS failures,
                   sum(latency_sum_ms) AS latency_sum_ms
            FROM {rows} GROUP BY webhook_id
        ) AS c LEFT JOIN (
            SELECT webhook_id, jsonb_object_agg(key, n) AS errors FROM (
                SELECT webhook_id, key, sum(value::int) AS n
                FROM (SELECT webhook_id, errors FROM {rows}) AS r, jsonb_each_text(errors) GROUP BY webhook_id, key
            ) AS by_key GROUP BY webhook_id
        ) AS e USING (webhook_id)
        ON CONFLICT (webhook_id, bucket_at) DO UPDATE SET (attempts, failures, latency_sum_ms, errors)
            = (excluded.attempts, excluded.failures, excluded.latency_sum_ms, excluded.errors)
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
    def mark_all(self) -> str:
        """SQL: mark the bucket from $1 to $2 for every webhook with rows in it."""
        return f"""
        INSERT INTO rollups_stale (resolution, webhook_id, bucket_at)
        SELECT '{self.name}', id, $1 FROM (SELECT id FROM webhooks UNION ALL VALUES ('{SYSTEM_ID}'::uuid)) AS w
        WHERE EXISTS (
            SELECT FROM rollups_{self.source} r WHERE r.webhook_id = id AND r.bucket_at >= $1 AND r.bucket_at < $2)
        ON CONFLICT DO NOTHING
        """


HOUR = Resolution("hour", "minute", timedelta(seconds=HOUR_S))
DAY = Resolution("day", "hour", timedelta(seconds=DAY_S))

# The system's rows are there whenever any webhook's are.
BEGIN_PROGRESS = f"""
INSERT INTO rollup_progress (resolution, compacted_until)
SELECT resolution, date_trunc(resolution, min(bucket_at), 'UTC')
FROM rollups_minute, (VALUES ('{HOUR.name}'), ('{DAY.name}')) AS resolutions (resolution)
WHERE webhook_id = '{SYSTEM_ID}' GROUP BY resolution
"""

# A day may be sealed when all its hours are, an hour when its grace is over.
NEXT = """
SELECT p.compacted_until AS at, now() - $2::interval AS over_until, hours.compacted_until AS hours_until
FROM rollup_progress p, rollup_progress hours WHERE p.resolution = $1 AND hours.resolution = 'hour'
"""

SEAL = "UPDATE rollup_progress SET compacted_until = $2 WHERE resolution = $1"

MARKED = "SELECT DISTINCT bucket_at FROM rollups_stale WHERE resolution = $1 ORDER BY bucket_at"

UNMARK = f"""
DELETE FROM rollups_stale WHERE resolution = $1 AND bucket_at = $2 AND webhook_id IN (
    SELECT webhook_id FROM rollups_stale WHERE resolution = $1 AND bucket_at = $2 ORDER BY webhook_id LIMIT {BATCH})
RETURNING webhook_id
"""

MARK_DAY = """
INSERT INTO rollups_stale (resolution, webhook_id, bucket_at)
SELECT resolution, id, date_trunc('day', $1, 'UTC') FROM rollup_progress, unnest($2::uuid[]) AS id
WHERE resolution = 'day' AND $1 < compacted_until
ON CONFLICT DO NOTHING
"""


class RollupCompactor:
    """Any number may run; of two at the same moment one works and the other leaves it alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def compact(self) -> None:
        """Seal what is over, at most :data:`SEALS_PER_TICK` buckets of each level, and fold what is marked.

        Safe to repeat, and to kill at any moment. Raises ``Unavailable``.
        """
        with translating():
            async with self._database.reads.acquire() as connection:
                for level in (HOUR, DAY):
                    for _ in range(SEALS_PER_TICK):
                        if not await _seal(connection, level):
                            break
                    for row in await connection.fetch(MARKED, level.name):
                        while await _fold(connection, level, row["bucket_at"]) == BATCH:
                            pass


async def _seal(connection: asyncpg.Connection, level: Resolution) -> bool:
    """Seal the oldest bucket that is not; ``False`` if it is not over yet, or another one is at work."""
    async with _advisory_lock(connection) as works:
        if not works:
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
        await connection.execute(level.mark_all, at, until)
        return True


async def _begin(connection: asyncpg.Connection, level: Resolution) -> asyncpg.Record | None:
    """Start at the oldest minute there is. No older one is being written: writers wait, or are waited for."""
    await connection.execute("LOCK TABLE ONLY rollups_minute IN SHARE MODE")
    await connection.execute(BEGIN_PROGRESS)
    return await connection.fetchrow(NEXT, level.name, GRACE)


async def _fold(connection: asyncpg.Connection, level: Resolution, at: datetime) -> int:
    """Fold one bucket of up to :data:`BATCH` marked webhooks and return of how many; 0 if another one is at work."""
    async with _advisory_lock(connection) as works:
        if not works:
            return 0
        if level is HOUR:
            await _lock_hour(connection, at)
        ids = [row["webhook_id"] for row in await connection.fetch(UNMARK, level.name, at)]
        await connection.execute(level.merge_counts, at, at + level.width, ids)
        await connection.execute(level.merge_histograms, at, at + level.width, ids)
        if level is HOUR:
            await connection.execute(MARK_DAY, at, ids)
        return len(ids)


@asynccontextmanager
async def _advisory_lock(connection: asyncpg.Connection) -> AsyncIterator[bool]:
    """A transaction, and whether it is the only folding one."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        yield bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", FOLDER_LOCK))


async def _lock_hour(connection: asyncpg.Connection, at: datetime) -> None:
    """Wait for the writers of this hour, and let the next ones wait for the end of the transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", HOUR_LOCK, hour_number(at))


def hour_number(at: datetime) -> int:
    """Return the hours since 1970."""
    return int(at.timestamp()) // HOUR_S
