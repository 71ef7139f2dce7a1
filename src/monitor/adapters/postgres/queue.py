"""
The delivery queue: lanes, leases and fences.

A lease is ``due_at`` in the future with ``leased_by`` set, so the rows of a dead worker fall due by themselves. The
lane's lock makes the limits of a webhook (concurrency, rate, order, the breaker's one probe) exact across workers.
Locks are taken in one order everywhere, lane, webhook, delivery, which excludes deadlocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_jsonb, health_of
from monitor.adapters.postgres.repositories.detection import decode_tally, encode_tally
from monitor.adapters.postgres.repositories.events import wake
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.quarantine import end_without_attempt
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import NotFound
from monitor.domain.monitoring.health import Health
from monitor.domain.ports.queue import ClaimedDelivery, Finish, Postpone
from monitor.domain.vocab import DeliveryState

T = TypeVar("T", RateLimit, RetryPolicy)

NO_DELIVERY = "There is no delivery with this id."

_LANE_COLUMNS = """
    l.*, w.version, w.max_concurrency, w.rate_limit::text, w.ordered, w.retry::text, w.deleted_at IS NOT NULL AS deleted
"""

LOCK_LANES = f"""
SELECT {_LANE_COLUMNS}, 0 AS in_flight
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id
WHERE l.webhook_id = ANY($1) ORDER BY l.webhook_id FOR UPDATE OF l
"""

# The rule of domain.delivery.ready. Lanes without capacity stay out, or enough of them would fill the limit and hide
# the others. A probe goes out even from a full lane: what still hangs is what it is to judge.
LOCK_READY_LANES = f"""
SELECT {_LANE_COLUMNS}, 0 AS in_flight
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id
WHERE w.enabled AND w.paused_at IS NULL AND w.deleted_at IS NULL
  AND (l.breaker_state = 'closed' OR coalesce(l.breaker_until <= now(), true))
  AND ($1::uuid[] IS NULL OR l.webhook_id = ANY($1))
  AND EXISTS (SELECT FROM deliveries d WHERE d.webhook_id = l.webhook_id AND d.due_at <= now())
  AND (l.breaker_state <> 'closed' OR CASE WHEN w.ordered THEN 1 ELSE w.max_concurrency END > (
      SELECT count(*) FROM deliveries d
      WHERE d.webhook_id = l.webhook_id AND d.leased_by IS NOT NULL AND d.due_at > now()))
  AND (w.rate_limit IS NULL OR coalesce(
      l.tokens + extract(epoch FROM greatest(now(), l.tokens_at) - l.tokens_at)
          * (w.rate_limit ->> 'per_s')::float8 >= 1, true))
  AND (NOT w.ordered OR now() >= (
      SELECT d.due_at FROM deliveries d WHERE d.webhook_id = l.webhook_id ORDER BY d.id LIMIT 1))
ORDER BY l.last_attempt_at NULLS FIRST
LIMIT $2
FOR UPDATE OF l SKIP LOCKED
"""

# A statement of its own, after the locks: in the snapshot of the locking one, what another worker leased just before
# it let go of a lane could be missing.
IN_FLIGHT = """
SELECT webhook_id, count(*) AS in_flight FROM deliveries
WHERE webhook_id = ANY($1) AND leased_by IS NOT NULL AND due_at > now() GROUP BY webhook_id
"""

_LEASE = """
UPDATE deliveries d
SET due_at = now() + $3, fencing_token = d.fencing_token + 1, leased_by = $4, leased_at = now(),
    crashes = d.crashes + (d.leased_by IS NOT NULL)::int
FROM picked WHERE d.id = picked.id
RETURNING d.id, d.event_id, d.webhook_id, d.fencing_token, d.attempts, d.crashes
"""

TAKE = f"""
WITH picked AS MATERIALIZED (
    SELECT due.id FROM unnest($1::uuid[], $2::int[]) AS lane (webhook_id, capacity), LATERAL (
        SELECT d.id FROM deliveries d WHERE d.webhook_id = lane.webhook_id AND d.due_at <= now()
        ORDER BY d.due_at LIMIT lane.capacity FOR UPDATE SKIP LOCKED
    ) AS due
) {_LEASE}
"""

# The head of an ordered lane is waited for, not skipped: skipping it would overtake it.
TAKE_HEADS = f"""
WITH picked AS MATERIALIZED (
    SELECT head.id FROM unnest($1::uuid[], $2::int[]) AS lane (webhook_id, capacity), LATERAL (
        SELECT d.id, d.due_at FROM deliveries d WHERE d.webhook_id = lane.webhook_id
        ORDER BY d.id LIMIT 1 FOR UPDATE
    ) AS head WHERE head.due_at <= now()
) {_LEASE}
"""

SAVE_LANES = """
UPDATE webhook_lanes l
SET recent = string_to_array(n.recent, ' '), last_attempt_at = n.last_attempt_at, failing_since = n.failing_since,
    health_status = n.health_status, health_reason = n.health_reason, failure_probability = n.failure_probability,
    health_changed_at = n.health_changed_at, breaker_state = n.breaker_state, breaker_until = n.breaker_until,
    breaker_trips = n.breaker_trips, breaker_since = n.breaker_since, tokens = n.tokens, tokens_at = n.tokens_at,
    unevaluated = n.unevaluated, evaluate_at = n.evaluate_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::float8[],
            $8::timestamptz[], $9::text[], $10::timestamptz[], $11::int[], $12::int[], $13::float8[],
            $14::timestamptz[], $15::bytea[], $16::timestamptz[])
    AS n (webhook_id, recent, last_attempt_at, failing_since, health_status, health_reason, failure_probability,
          health_changed_at, breaker_state, breaker_until, breaker_trips, breaker_since, tokens, tokens_at,
          unevaluated, evaluate_at)
WHERE l.webhook_id = n.webhook_id
"""

FINISH = """
WITH gone AS (
    DELETE FROM deliveries d
    USING unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::int[])
        AS f (id, state, status_code, error, made)
    WHERE d.id = f.id
    RETURNING d.id, d.event_id, d.webhook_id, f.state, d.attempts + f.made AS attempts, d.fencing_token,
              CASE WHEN f.made > 0 THEN f.status_code ELSE d.last_status_code END AS last_status_code,
              CASE WHEN f.made > 0 THEN f.error ELSE d.last_error END AS last_error
)
INSERT INTO deliveries_finished (id, event_id, webhook_id, state, attempts, fencing_token, last_status_code, last_error,
                                 finished_at)
SELECT id, event_id, webhook_id, state, attempts, fencing_token, last_status_code, last_error, now() FROM gone
"""

POSTPONE = """
UPDATE deliveries d
SET due_at = p.due_at, leased_by = NULL, attempts = d.attempts + 1, crashes = 0,
    last_status_code = p.status_code, last_error = p.error
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[]) AS p (id, due_at, status_code, error)
WHERE d.id = p.id
"""

_HELD = (
    "FROM unnest($1::uuid[], $2::int[]) AS lease (id, fencing_token)"
    " WHERE d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL"
)


class PostgresDeliveryQueue:
    """See :class:`monitor.domain.ports.queue.DeliveryQueue`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def lock_lanes(self, webhook_ids: Collection[UUID]) -> dict[UUID, Lane]:
        rows = await self._connection.fetch(LOCK_LANES, list(webhook_ids))
        return {row["webhook_id"]: _lane(row) for row in rows}

    async def lock_ready_lanes(self, hints: Collection[UUID] | None, limit: int) -> dict[UUID, Lane]:
        rows = await self._connection.fetch(LOCK_READY_LANES, None if hints is None else list(hints), limit)
        lanes = {row["webhook_id"]: _lane(row) for row in rows}
        if lanes:
            for row in await self._connection.fetch(IN_FLIGHT, list(lanes)):
                id_ = row["webhook_id"]
                lanes[id_] = msgspec.structs.replace(lanes[id_], in_flight=row["in_flight"])
        return lanes

    async def lease(
        self, capacities: Mapping[UUID, int], ordered: Collection[UUID], *, worker: str, lease_s: float
    ) -> list[ClaimedDelivery]:
        lease = timedelta(seconds=lease_s)
        leased: list[asyncpg.Record] = []
        for sql, lanes in ((TAKE, capacities.keys() - set(ordered)), (TAKE_HEADS, capacities.keys() & set(ordered))):
            if lanes:
                ids = list(lanes)
                leased += await self._connection.fetch(sql, ids, [capacities[id_] for id_ in ids], lease, worker)
        if not leased:
            return []
        rows = await self._connection.fetch(
            "SELECT id, type, payload FROM events WHERE id = ANY($1)", list({row["event_id"] for row in leased})
        )
        events = {row["id"]: row for row in rows}
        ends = {
            row["id"]: end_without_attempt(row["crashes"], event_stored=row["event_id"] in events) for row in leased
        }
        if unsent := [Finish(id_, state) for id_, state in ends.items() if state is not None]:
            await self.finish(unsent)
        return [
            ClaimedDelivery(
                id=row["id"],
                event_id=row["event_id"],
                webhook_id=row["webhook_id"],
                fencing_token=row["fencing_token"],
                attempts=row["attempts"],
                event_type=events[row["event_id"]]["type"],
                payload=events[row["event_id"]]["payload"],
            )
            for row in leased
            if ends[row["id"]] is None
        ]

    async def save_lanes(self, lanes: Sequence[Lane]) -> None:
        await self._connection.execute(
            SAVE_LANES,
            [lane.webhook_id for lane in lanes],
            # Labels hold no spaces; PostgreSQL has no arrays of arrays of different lengths.
            [" ".join(lane.recent) for lane in lanes],
            [lane.last_attempt_at for lane in lanes],
            [lane.failing_since for lane in lanes],
            [lane.health.status for lane in lanes],
            [lane.health.reason for lane in lanes],
            [lane.health.failure_probability for lane in lanes],
            [lane.health.changed_at for lane in lanes],
            [lane.breaker.state for lane in lanes],
            [lane.breaker.until for lane in lanes],
            [lane.breaker.trips for lane in lanes],
            [lane.breaker.since for lane in lanes],
            [lane.tokens for lane in lanes],
            [lane.tokens_at for lane in lanes],
            [encode_tally(lane.unevaluated) for lane in lanes],
            [lane.evaluate_at for lane in lanes],
        )

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> set[UUID]:
        rows = await self._connection.fetch(
            "SELECT d.id FROM deliveries d JOIN unnest($1::uuid[], $2::int[]) AS lease (id, fencing_token)"
            " ON d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL FOR UPDATE OF d",
            *_columns(leases),
        )
        return {row["id"] for row in rows}

    async def renew(self, leases: Sequence[tuple[UUID, int]], *, lease_s: float) -> None:
        await self._connection.execute(
            f"UPDATE deliveries d SET due_at = now() + $3 {_HELD}",
            *_columns(leases),
            timedelta(seconds=lease_s),
        )

    async def release(self, leases: Sequence[tuple[UUID, int]], *, after_s: float = 0.0) -> None:
        rows = await self._connection.fetch(
            f"UPDATE deliveries d SET due_at = now() + $3, leased_by = NULL {_HELD} RETURNING d.webhook_id",
            *_columns(leases),
            timedelta(seconds=after_s),
        )
        if not after_s:
            await wake(self._connection, (row["webhook_id"] for row in rows))

    async def finish(self, finished: Sequence[Finish]) -> None:
        await self._connection.execute(
            FINISH,
            [f.delivery_id for f in finished],
            [f.state for f in finished],
            [f.status_code for f in finished],
            [f.error for f in finished],
            [f.new_attempts for f in finished],
        )

    async def postpone(self, postponed: Sequence[Postpone]) -> None:
        await self._connection.execute(
            POSTPONE,
            [p.delivery_id for p in postponed],
            [p.due_at for p in postponed],
            [p.status_code for p in postponed],
            [p.error for p in postponed],
        )

    async def get(self, delivery_id: UUID) -> tuple[DeliveryState, UUID]:
        # The lane first, as whoever deletes the webhook does; which one it is never changes.
        await self._connection.execute(
            "SELECT 1 FROM webhook_lanes WHERE webhook_id = (SELECT webhook_id FROM deliveries WHERE id = $1"
            " UNION ALL SELECT webhook_id FROM deliveries_finished WHERE id = $1 LIMIT 1) FOR UPDATE",
            delivery_id,
        )
        row = await self._connection.fetchrow("SELECT webhook_id FROM deliveries WHERE id = $1 FOR UPDATE", delivery_id)
        if row is not None:
            return DeliveryState.PENDING, row["webhook_id"]
        row = await self._connection.fetchrow(
            "SELECT state, webhook_id FROM deliveries_finished WHERE id = $1 FOR UPDATE", delivery_id
        )
        if row is None:
            raise NotFound(NO_DELIVERY)
        return DeliveryState(row["state"]), row["webhook_id"]

    async def requeue(self, delivery_id: UUID) -> None:
        await self._connection.execute(
            "WITH back AS (DELETE FROM deliveries_finished WHERE id = $1 RETURNING *)"
            " INSERT INTO deliveries"
            " (id, event_id, webhook_id, due_at, fencing_token, attempts, last_status_code, last_error)"
            " SELECT id, event_id, webhook_id, now(), fencing_token, attempts, last_status_code, last_error FROM back",
            delivery_id,
        )
        webhook_id = await self._connection.fetchval(
            # One that is being sent right now keeps its lease; its outcome decides.
            "UPDATE deliveries SET due_at = CASE WHEN leased_by IS NULL OR due_at <= now() THEN now() ELSE due_at END"
            " WHERE id = $1 RETURNING webhook_id",
            delivery_id,
        )
        await wake(self._connection, [webhook_id])

    async def reschedule(self, webhook_id: UUID, *, per_s: float) -> int:
        # Nothing is claimed from the lane meanwhile, so no live lease can be rewritten.
        await self._connection.execute("SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR UPDATE", webhook_id)
        released: str = await self._connection.execute(
            "UPDATE deliveries d SET due_at = now() + make_interval(secs => waiting.position / $2::float8)"
            " FROM (SELECT id, row_number() OVER (ORDER BY due_at, id) - 1 AS position FROM deliveries"
            "       WHERE webhook_id = $1 AND leased_by IS NULL AND due_at <= now()) AS waiting"
            " WHERE d.id = waiting.id AND d.leased_by IS NULL AND d.due_at <= now()",
            webhook_id,
            per_s,
        )
        await wake(self._connection, [webhook_id])
        return int(released.rsplit(" ", 1)[-1])


def _columns(leases: Sequence[tuple[UUID, int]]) -> tuple[list[UUID], list[int]]:
    return [id_ for id_, _ in leases], [fencing_token for _, fencing_token in leases]


def _lane(row: asyncpg.Record) -> Lane:
    """Read a lane member by member: a claim reads hundreds, and ``from_row`` takes twice the time."""
    return Lane(
        webhook_id=row["webhook_id"],
        recent=tuple(row["recent"]),
        last_attempt_at=row["last_attempt_at"],
        failing_since=row["failing_since"],
        health=health_of(row, Health),
        breaker=Breaker(
            BreakerState(row["breaker_state"]), row["breaker_until"], row["breaker_trips"], row["breaker_since"]
        ),
        tokens=row["tokens"],
        tokens_at=row["tokens_at"],
        unevaluated=decode_tally(row["unevaluated"]),
        evaluate_at=row["evaluate_at"],
        version=row["version"],
        max_concurrency=row["max_concurrency"],
        rate_limit=_policy(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
        ordered=row["ordered"],
        retry=_policy(row["retry"], RetryPolicy),
        in_flight=row["in_flight"],
        deleted=row["deleted"],
    )


@lru_cache(maxsize=1024)
def _policy(text: str, type_: type[T]) -> T:
    """Most lanes share a few policies, and a busy worker reads each lane many times a second."""
    return from_jsonb(text, type_)
