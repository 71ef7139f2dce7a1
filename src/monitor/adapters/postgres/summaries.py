"""Measures the figures that the list of webhooks is sorted by: a chunk of webhooks at a time, in rounds."""

from __future__ import annotations

from uuid import UUID

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.metrics import LAST_HOURS, hour_of
from monitor.domain.views.dashboard import WAITING_COUNT_CAP

CHUNK = 200
"""Webhooks of one step: up to 60 minutes and ``WAITING_COUNT_CAP`` entries of an index are read of each."""

STEP_S = 1.0
"""Between two steps, over all processes: 10,000 webhooks are measured in 50 seconds."""

ROUND_S = 10.0
"""Between the beginnings of two rounds, at least."""

FIRST = UUID(int=0)

BEGIN = "INSERT INTO summary_progress VALUES (1, $1, '-infinity', '-infinity') ON CONFLICT (id) DO NOTHING"

# No process waits for the row: one that finds it locked leaves the step to the other.
TAKE = """
SELECT after FROM summary_progress WHERE id = 1
  AND (stepped_at < now() - make_interval(secs => $2) OR stepped_at > now())
  AND (after <> $1 OR round_at < now() - make_interval(secs => $3) OR round_at > now())
FOR UPDATE SKIP LOCKED
"""

NEXT = f"SELECT webhook_id FROM webhook_summaries WHERE webhook_id > $1 ORDER BY webhook_id LIMIT {CHUNK}"

WAITING = f"""
SELECT n.id, (
    SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.webhook_id = n.id LIMIT {WAITING_COUNT_CAP}) AS d
)::float8 AS waiting
FROM unnest($1::uuid[]) AS n (id)
"""

# Rows that others change at the moment are left to the next round: waiting while holding some may deadlock.
SAVE = """
WITH free AS MATERIALIZED (
    SELECT webhook_id FROM webhook_summaries WHERE webhook_id = ANY($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE webhook_summaries s SET attempts = n.attempts, failure_ratio = n.failure_ratio, p95_ms = n.p95_ms,
    waiting = n.waiting, failure_probability = l.failure_probability
FROM free JOIN unnest($1::uuid[], $2::float8[], $3::float8[], $4::float8[], $5::float8[])
    AS n (id, attempts, failure_ratio, p95_ms, waiting) ON n.id = free.webhook_id
JOIN webhook_lanes l ON l.webhook_id = n.id
WHERE s.webhook_id = n.id AND (s.attempts, s.failure_ratio, s.p95_ms, s.waiting, s.failure_probability)
    IS DISTINCT FROM (n.attempts, n.failure_ratio, n.p95_ms, n.waiting, l.failure_probability)
"""

ADVANCE = """
UPDATE summary_progress SET after = $1, stepped_at = now(), round_at = CASE WHEN $2 THEN now() ELSE round_at END
WHERE id = 1
"""


class SummaryMeasuring:
    """Any number of processes may run it; of two at the same moment one does nothing."""

    def __init__(self, database: Database, *, step_s: float = STEP_S, round_s: float = ROUND_S) -> None:
        self._database = database
        self._step_s = step_s
        self._round_s = round_s

    async def step(self) -> int:
        """
        Measure the next :data:`CHUNK` webhooks, unless a step was done just now; return their number.

        Safe to repeat, and to stop at any moment. Raises ``Unavailable``.
        """
        with self._database.translating():
            async with self._database.connection() as connection, connection.transaction():
                await connection.execute(BEGIN, FIRST)
                after = await connection.fetchval(TAKE, FIRST, self._step_s, self._round_s)
                if after is None:
                    return 0
                ids = [row["webhook_id"] for row in await connection.fetch(NEXT, after)]
                if ids:
                    hours = {row["id"]: hour_of(row) for row in await connection.fetch(LAST_HOURS, ids)}
                    waiting = {row["id"]: row["waiting"] for row in await connection.fetch(WAITING, ids)}
                    ratios = [hours[id_].success_ratio for id_ in ids]
                    latencies = [hours[id_].p95_ms for id_ in ids]
                    await connection.execute(
                        SAVE,
                        ids,
                        [float(hours[id_].attempts) for id_ in ids],
                        [-1.0 if ratio is None else round(1 - ratio, 6) for ratio in ratios],
                        [-1.0 if latency is None else latency for latency in latencies],
                        [waiting[id_] for id_ in ids],
                    )
                following = ids[-1] if len(ids) == CHUNK else FIRST
                await connection.execute(ADVANCE, following, after == FIRST)
                return len(ids)
