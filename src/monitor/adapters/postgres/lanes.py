"""Lanes as rows: what a claim may lease from, and the state that settles store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import TypeVar
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import RowReader, from_jsonb, health_of
from monitor.adapters.postgres.repositories.detection import decode_tally, encode_tally
from monitor.adapters.postgres.silenced import HELD_UNTIL, HOLD_ENDED_AT, UNCOUNTED
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import BY_KEY, Order
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.monitoring.health import Health

T = TypeVar("T", RateLimit, RetryPolicy)

LANE_COLUMNS = f"""
    l.*, w.version, w.max_concurrency, w.rate_limit::text, w.ordered, w.order_by_key,
    w.skip_after, w.retry::text, w.deleted_at IS NOT NULL AS deleted, {HELD_UNTIL} AS held_until,
    {HOLD_ENDED_AT} AS hold_ended_at, {UNCOUNTED} AS uncounted
"""

LOCK_LANES = """
SELECT webhook_id FROM webhook_lanes WHERE webhook_id = ANY($1) ORDER BY webhook_id FOR NO KEY UPDATE
"""

LOCKED_ELSEWHERE = f"""
WITH free AS ({LOCK_LANES} SKIP LOCKED)
SELECT webhook_id FROM webhook_lanes WHERE webhook_id = ANY($1) AND webhook_id NOT IN (SELECT webhook_id FROM free)
"""

# A separate statement, after the locks: a statement that waits for a lane sees the configuration from before the wait.
READ_LANES = f"""
SELECT {LANE_COLUMNS}, 0 AS in_flight
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id WHERE l.webhook_id = ANY($1)
"""

# The rule of domain.delivery.fan_out.precedes. The table is nearly always empty.
PRECEDING = """
    SELECT FROM fan_outs f
    WHERE f.id < {delivery_id} AND coalesce(f.after < w.id, true) AND f.event_types && w.event_types"""

FIRST = f"NOT EXISTS ({PRECEDING})"

# The rule of domain.delivery.ready. Lanes without capacity are left out, or enough of these would fill the limit and
# hide others. A probe is sent even from a full lane. Those with nothing in flight go first: while the attempts of a
# lane hang, its latest one stays as old as it is, so one free slot after the other would go to it.
# Earliest rows by LIMIT where EXISTS would read better: the planner may turn that into a join, which reads the backlog.
LOCK_READY_LANES = f"""
SELECT {LANE_COLUMNS}, 0 AS in_flight
FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id
WHERE w.enabled AND w.paused_at IS NULL AND w.deleted_at IS NULL
  AND (l.breaker_state = 'closed' OR coalesce(l.breaker_until <= now(), true))
  AND coalesce(l.throttled_until <= now(), true) AND {HELD_UNTIL} IS NULL
  AND ($1::uuid[] IS NULL OR l.webhook_id = ANY($1)) AND l.webhook_id <> ALL($3::uuid[])
  AND (SELECT d.due_at FROM deliveries d WHERE d.webhook_id = l.webhook_id ORDER BY d.due_at LIMIT 1) <= now()
  AND (NOT w.order_by_key OR now() >= (
      SELECT d.due_at FROM deliveries d
      WHERE d.webhook_id = l.webhook_id AND d.behind <= false ORDER BY d.behind, d.due_at LIMIT 1))
  AND (l.breaker_state <> 'closed' OR CASE WHEN w.ordered AND NOT w.order_by_key THEN 1 ELSE w.max_concurrency END > (
      SELECT count(*) FROM deliveries d
      WHERE d.webhook_id = l.webhook_id AND d.leased_by IS NOT NULL AND d.due_at > now()))
  AND (w.rate_limit IS NULL OR coalesce(
      l.tokens + extract(epoch FROM greatest(now(), l.tokens_at) - l.tokens_at)
          * CASE jsonb_typeof(w.rate_limit -> 'per_s') WHEN 'number' THEN (w.rate_limit ->> 'per_s')::float8 END >= 1,
      true))
  AND (NOT w.ordered OR w.order_by_key
      OR (SELECT d.due_at <= now() AND {FIRST.format(delivery_id="d.id")} FROM deliveries d
          WHERE d.webhook_id = l.webhook_id AND d.replayed <= false AND NOT d.aside
          ORDER BY d.replayed, d.id LIMIT 1)
      OR (SELECT d.due_at <= now() AND {FIRST.format(delivery_id="d.id")} FROM deliveries d
          WHERE d.webhook_id = l.webhook_id AND d.replayed >= true AND NOT d.aside
          ORDER BY d.replayed, d.id LIMIT 1)
      OR (SELECT d.due_at FROM deliveries d
          WHERE d.webhook_id = l.webhook_id AND d.aside ORDER BY d.due_at LIMIT 1) <= now())
ORDER BY EXISTS (
    SELECT FROM deliveries d WHERE d.webhook_id = l.webhook_id AND d.leased_by IS NOT NULL AND d.due_at > now()
), l.last_attempt_at NULLS FIRST
LIMIT $2
FOR NO KEY UPDATE OF l SKIP LOCKED
"""

# A separate statement, after the locks: the snapshot of the locking one may lack leases that were committed just before
# the lane was released.
IN_FLIGHT = """
SELECT webhook_id, count(*) AS in_flight FROM deliveries
WHERE webhook_id = ANY($1) AND leased_by IS NOT NULL AND due_at > now() GROUP BY webhook_id
"""

SAVE_LANES = """
UPDATE webhook_lanes l
SET recent = string_to_array(n.recent, ' '), last_attempt_at = n.last_attempt_at, failing_since = n.failing_since,
    health_status = n.health_status, health_reason = n.health_reason, failure_probability = n.failure_probability,
    health_changed_at = n.health_changed_at, breaker_state = n.breaker_state, breaker_until = n.breaker_until,
    breaker_trips = n.breaker_trips, breaker_since = n.breaker_since, tokens = n.tokens, tokens_at = n.tokens_at,
    unevaluated = n.unevaluated, evaluate_at = n.evaluate_at,
    throttled_until = n.throttled_until, resumed_at = n.resumed_at, release_at = n.release_at,
    hold_seen_at = n.hold_seen_at,
    breaker_cause = n.breaker_cause, breaker_cause_at = n.breaker_cause_at,
    recent_ends_s = string_to_array(n.recent_ends_s, ' ')::float8[]
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::float8[],
            $8::timestamptz[], $9::text[], $10::timestamptz[], $11::int[], $12::int[], $13::float8[],
            $14::timestamptz[], $15::bytea[], $16::timestamptz[], $17::text[], $18::timestamptz[],
            $19::timestamptz[], $20::timestamptz[], $21::text[], $22::timestamptz[], $23::timestamptz[])
    AS n (webhook_id, recent, last_attempt_at, failing_since, health_status, health_reason, failure_probability,
          health_changed_at, breaker_state, breaker_until, breaker_trips, breaker_since, tokens, tokens_at,
          unevaluated, evaluate_at, recent_ends_s, throttled_until, resumed_at, release_at,
          breaker_cause, breaker_cause_at, hold_seen_at)
WHERE l.webhook_id = n.webhook_id
"""


_WEBHOOK_ID = itemgetter("webhook_id")


class PostgresLanes:
    """The part of :class:`monitor.domain.ports.queue.DeliveryQueue` about lanes."""

    def __init__(self, connection: asyncpg.Connection, rows: RowReader) -> None:
        self._connection = connection
        self._rows = rows

    async def clock(self) -> datetime:
        at: datetime = await self._connection.fetchval("SELECT clock_timestamp()")
        return at

    async def lock_lanes(self, webhook_ids: Collection[UUID], *, wait: bool = True) -> dict[UUID, Lane]:
        sql = LOCK_LANES if wait else f"{LOCK_LANES} SKIP LOCKED"
        locked = [row["webhook_id"] for row in await self._connection.fetch(sql, list(webhook_ids))]
        rows = await self._connection.fetch(READ_LANES, locked)
        return self._rows.readable(rows, lane_of, "webhook_lanes", _WEBHOOK_ID)

    async def locked_elsewhere(self, webhook_ids: Collection[UUID]) -> set[UUID]:
        rows = await self._connection.fetch(LOCKED_ELSEWHERE, list(webhook_ids))
        return {row["webhook_id"] for row in rows}

    async def lock_ready_lanes(
        self, hints: Collection[UUID] | None, limit: int, *, without: Collection[UUID] = ()
    ) -> dict[UUID, Lane]:
        among = None if hints is None else list(hints)

        async def fetch(skipped: list[UUID]) -> list[asyncpg.Record]:
            found: list[asyncpg.Record] = await self._connection.fetch(
                LOCK_READY_LANES, among, limit, [*skipped, *without]
            )
            return found

        lanes = await self._rows.page(fetch, lane_of, "webhook_lanes", limit, _WEBHOOK_ID)
        if lanes:
            for row in await self._connection.fetch(IN_FLIGHT, list(lanes)):
                id_ = row["webhook_id"]
                lanes[id_] = msgspec.structs.replace(lanes[id_], in_flight=row["in_flight"])
        return lanes

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
            [" ".join(map(repr, lane.recent_ends_s)) for lane in lanes],
            [lane.throttled_until for lane in lanes],
            [lane.resumed_at for lane in lanes],
            [lane.release_at for lane in lanes],
            [lane.breaker.cause for lane in lanes],
            [lane.breaker.cause_at for lane in lanes],
            [lane.hold_seen_at for lane in lanes],
        )


def lane_of(row: asyncpg.Record) -> Lane:
    """Read a lane member by member: a claim reads hundreds, and ``from_row`` takes twice the time."""
    if None in row["recent"]:
        raise ValueError("an outcome label is null")
    return Lane(
        webhook_id=row["webhook_id"],
        recent=tuple(row["recent"]),
        recent_ends_s=tuple(row["recent_ends_s"]),
        last_attempt_at=row["last_attempt_at"],
        failing_since=row["failing_since"],
        health=health_of(row, Health),
        breaker=Breaker(
            BreakerState(row["breaker_state"]),
            row["breaker_until"],
            row["breaker_trips"],
            row["breaker_since"],
            row["breaker_cause"],
            row["breaker_cause_at"],
        ),
        tokens=row["tokens"],
        tokens_at=row["tokens_at"],
        throttled_until=row["throttled_until"],
        resumed_at=row["resumed_at"],
        release_at=row["release_at"],
        held_until=row["held_until"],
        hold_ended_at=row["hold_ended_at"],
        hold_seen_at=row["hold_seen_at"],
        uncounted=row["uncounted"],
        unevaluated=decode_tally(row["unevaluated"]),
        evaluate_at=row["evaluate_at"],
        version=row["version"],
        max_concurrency=row["max_concurrency"],
        rate_limit=_policy(row["rate_limit"], RateLimit) if row["rate_limit"] else None,
        ordered=order_of(row),
        skip_after=row["skip_after"],
        retry=_policy(row["retry"], RetryPolicy),
        in_flight=row["in_flight"],
        deleted=row["deleted"],
    )


def order_of(row: asyncpg.Record) -> Order:
    """Read how a webhook is ordered, which is stored in two columns."""
    return BY_KEY if row["order_by_key"] else row["ordered"]


@lru_cache(maxsize=1024)
def _policy(text: str, type_: type[T]) -> T:
    """Most lanes share a few policies, and a busy worker reads each lane many times a second."""
    return from_jsonb(text, type_)
