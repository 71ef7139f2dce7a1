"""
A past to measure against: webhooks, lanes, rollups and, if wanted, raw attempts of the last 24 hours.

Every attempt is made up by the server, from a fixed seed, and added up as the product adds up its own; hours and days
are folded by the product itself. The webhooks' secrets open with the key of this run alone.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.support import environment, settings_of
from monitor.adapters.postgres.maintenance.rollup_compaction import RollupCompactor
from monitor.bootstrap.container import Container
from monitor.domain.delivery.lane import Lane, record_attempt
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.metrics import ACCURACY, MAX_BUCKET, MIN_LATENCY_MS
from monitor.domain.vocab import OK_LABEL, ErrorKind
from monitor.domain.webhooks.registration import WebhookSpec, register

HOURS = 24
LANES_PER_COMMIT = 1000
FAILURE_RATIOS = (0.0,) * 16 + (0.01, 0.05, 0.2, 1.0)
"""Webhook number i fails as number i modulo 20 says."""

MADE = """
CREATE TEMP TABLE made (
    webhook_id uuid, at timestamptz, bucket_at timestamptz, label text, latency_ms double precision, bucket smallint
)
"""

# $1 webhooks, $2 begin, $3 and $4 first and last number of the attempts, $5 seconds between two of them, $6 failure
# ratios.
MAKE = f"""
INSERT INTO made
SELECT webhook_id, at, date_trunc('minute', at) AS bucket_at, label, latency_ms,
       least(ceil(ln(latency_ms / {MIN_LATENCY_MS}) / ln({1 + ACCURACY}::float8 / {1 - ACCURACY})), {MAX_BUCKET})
           AS bucket
FROM (
    SELECT ($1::uuid[])[1 + w] AS webhook_id, $2::timestamptz + make_interval(secs => i * $5::float8) AS at,
           CASE WHEN random() >= ($6::float8[])[1 + w % {len(FAILURE_RATIOS)}] THEN '{OK_LABEL}'
                WHEN random() < 0.8 THEN '503' ELSE '{ErrorKind.TIMEOUT}' END AS label,
           round((0.2 + (20 + w % 180) * exp(0.6 * random_normal())) * 1024) / 1024 AS latency_ms
    FROM (
        SELECT i, (i * 7919 % array_length($1::uuid[], 1))::int AS w FROM generate_series($3::bigint, $4::bigint) AS i
    ) AS numbers
) AS attempts
"""

ATTEMPTS = f"""
INSERT INTO attempts (webhook_id, id, kind, event_type, number, status_code, error, latency_ms)
SELECT webhook_id,
       (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(tail, 1, 3)
           || '8' || substr(tail, 4, 15))::uuid,
       'delivery', 'order.paid', 1, CASE label WHEN '{OK_LABEL}' THEN 200 WHEN '503' THEN 503 END,
       CASE label WHEN '503' THEN '{ErrorKind.STATUS}' WHEN '{ErrorKind.TIMEOUT}' THEN label END, latency_ms
FROM (SELECT *, md5(random()::text) AS tail FROM made) AS m
"""

COUNTS = f"""
WITH errors AS (
    SELECT webhook_id, bucket_at, jsonb_object_agg(label, n) AS errors FROM (
        SELECT coalesce(webhook_id, '{SYSTEM_ID}') AS webhook_id, bucket_at, label, count(*) AS n
        FROM made WHERE label <> '{OK_LABEL}'
        GROUP BY GROUPING SETS ((webhook_id, bucket_at, label), (bucket_at, label))
    ) AS e GROUP BY webhook_id, bucket_at
), counts AS (
    SELECT coalesce(webhook_id, '{SYSTEM_ID}') AS webhook_id, bucket_at, count(*) AS attempts,
           count(*) FILTER (WHERE label <> '{OK_LABEL}') AS failures,
           coalesce(sum(latency_ms) FILTER (WHERE label = '{OK_LABEL}'), 0) AS latency_sum_ms
    FROM made GROUP BY GROUPING SETS ((webhook_id, bucket_at), (bucket_at))
)
INSERT INTO rollups_minute (webhook_id, bucket_at, attempts, failures, latency_sum_ms, errors)
SELECT webhook_id, bucket_at, attempts, failures, latency_sum_ms, coalesce(errors, '{{}}')
FROM counts LEFT JOIN errors USING (webhook_id, bucket_at)
"""

HISTOGRAMS = f"""
INSERT INTO histograms_minute (webhook_id, bucket_at, indexes, counts)
SELECT webhook_id, bucket_at, array_agg(bucket ORDER BY bucket), array_agg(n ORDER BY bucket) FROM (
    SELECT coalesce(webhook_id, '{SYSTEM_ID}') AS webhook_id, bucket_at, bucket, count(*) AS n
    FROM made WHERE label = '{OK_LABEL}'
    GROUP BY GROUPING SETS ((webhook_id, bucket_at, bucket), (bucket_at, bucket))
) AS b GROUP BY webhook_id, bucket_at
"""


class Filled(msgspec.Struct, frozen=True):
    """The webhooks, oldest first, and how many seconds each step took."""

    webhook_ids: list[UUID]
    took_s: dict[str, float]


async def fill(dsn: str, webhooks: int, attempts: int, *, raw: bool = False) -> Filled:
    """
    Fill a migrated database.

    Args:
        attempts: of all webhooks together in the last 24 hours, evenly spread.
        raw: store the attempts, too, not only what they add up to.
    """
    took_s: dict[str, float] = {}
    async with Container(settings_of(environment(dsn))) as parts:
        connection = await parts.database.connect()
        try:
            started = time.perf_counter()
            ids = await register_all(parts, webhooks)
            took_s["webhooks"] = time.perf_counter() - started
            took_s |= await _make(connection, ids, attempts, raw=raw)
            started = time.perf_counter()
            await _fold(connection, RollupCompactor(parts.database))
            took_s["fold"] = time.perf_counter() - started
            started = time.perf_counter()
            await connection.execute("VACUUM ANALYZE")
            took_s["vacuum"] = time.perf_counter() - started
        finally:
            await connection.close()
    return Filled(ids, {step: round(s, 2) for step, s in took_s.items()})


async def register_all(parts: Container, count: int) -> list[UUID]:
    """Register webhooks whose lanes look as if they had just made their last attempts."""
    ids: list[UUID] = []
    dice = random.Random(count)
    while len(ids) < count:
        async with parts.unit_of_work() as uow:
            lanes = []
            for i in range(len(ids), min(len(ids) + LANES_PER_COMMIT, count)):
                spec = WebhookSpec(name=f"history {i}", url=f"http://127.0.0.1:9/{i}", event_types=[f"history.{i}"])
                webhook = register(spec, parts.clock.new_id(), spec.url, uow.now)
                await uow.webhooks.add(webhook, {}, bytes(32))
                lanes.append(_lane(parts, webhook.id, FAILURE_RATIOS[i % len(FAILURE_RATIOS)], uow.now, dice))
            await uow.queue.save_lanes(lanes)
            await uow.commit()
            ids += [lane.webhook_id for lane in lanes]
    return ids


def _lane(parts: Container, webhook_id: UUID, failure_ratio: float, now: datetime, dice: random.Random) -> Lane:
    lane = Lane(webhook_id=webhook_id)
    for ago in range(parts.policy.health.window, 0, -1):
        failed = dice.random() < failure_ratio
        outcome = Outcome(latency_ms=50, status_code=503 if failed else 200, error=ErrorKind.STATUS if failed else None)
        at = now - timedelta(seconds=ago)
        lane = record_attempt(lane, outcome, at, at, parts.policy)
    return lane


async def _make(connection: asyncpg.Connection, ids: list[UUID], attempts: int, *, raw: bool) -> dict[str, float]:
    """Make the attempts hour by hour, so that no step needs more than an hour's memory."""
    took_s: dict[str, float] = {}
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    begin, every_s = end - timedelta(hours=HOURS), HOURS * 3600 / attempts
    await connection.execute("SET work_mem = '256MB'; SET synchronous_commit = off; SELECT setseed(0.5)")
    await connection.execute(MADE)
    for hour in range(HOURS):
        first, last = (math.ceil(attempts * n / HOURS) for n in (hour, hour + 1))
        async with connection.transaction():
            await connection.execute("TRUNCATE made")
            for name, statement, arguments in (
                ("make", MAKE, (ids, begin, first, last - 1, every_s, FAILURE_RATIOS)),
                ("counts", COUNTS, ()),
                ("histograms", HISTOGRAMS, ()),
                *([("attempts", ATTEMPTS, ())] if raw else []),
            ):
                started = time.perf_counter()
                await connection.execute(statement, *arguments)
                took_s[name] = took_s.get(name, 0) + time.perf_counter() - started
        print(f"\rhistory: {hour + 1} of {HOURS} hours", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return took_s


async def _fold(connection: asyncpg.Connection, folder: RollupCompactor) -> None:
    """Tick until nothing is left to fold."""
    before = None
    while (now := await connection.fetch("TABLE rollup_progress")) != before or now == []:
        before = now
        await folder.compact()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history", description="Fill a migrated database with a day of made-up history."
    )
    parser.add_argument("--dsn", required=True, help="the database, migrated and best empty")
    parser.add_argument("--webhooks", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--attempts", type=int, default=1_000_000, help="in the last 24 hours (default: a million)")
    parser.add_argument("--raw", action="store_true", help="store the attempts themselves, too")
    options = parser.parse_args(arguments)
    filled = asyncio.run(fill(options.dsn, options.webhooks, options.attempts, raw=options.raw))
    for step, s in filled.took_s.items():
        print(f"{step:12} {s:8.2f} s")


if __name__ == "__main__":
    main()
