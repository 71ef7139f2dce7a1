"""
The delivery queue: lanes, leases and fences.

A lease is ``due_at`` in the future with ``leased_by`` set, so the rows of a dead worker fall due by themselves. The
lane's lock makes the limits of a webhook (concurrency, rate, order, the breaker's one probe) exact across workers.
The lane is locked first everywhere, before its webhook and its deliveries, which excludes deadlocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.claims import advance_lines, lease_rows
from monitor.adapters.postgres.lanes import PostgresLanes
from monitor.adapters.postgres.repositories.events import wake
from monitor.adapters.postgres.silenced import HELD_UNTIL
from monitor.adapters.postgres.turns import end_turns, replace_older, take_turns
from monitor.domain.delivery.job import Chunk, ReplayParameters
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import Order
from monitor.domain.delivery.quarantine import end_without_attempt
from monitor.domain.delivery.replay import COUNTED_MAX
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.ports.queue import ClaimedDelivery, Finish, LeaseState, Postpone
from monitor.domain.vocab import DeliveryState

NO_DELIVERY = "There is no delivery with this id."

_KEPT = "id, event_id, webhook_id, fencing_token, attempts, last_status_code, last_error, order_key"
"""Columns that a delivery keeps when it moves between the queue and the finished ones."""

FINISH = f"""
WITH gone AS (
    DELETE FROM deliveries d
    USING unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::int[])
        AS f (id, state, status_code, error, made)
    WHERE d.id = f.id
    RETURNING d.id, d.event_id, d.webhook_id, d.order_key, d.replayed, d.aside, f.state,
              d.attempts + f.made AS attempts, d.fencing_token,
              CASE WHEN f.made > 0 OR f.error IS NOT NULL THEN f.status_code ELSE d.last_status_code END
                  AS last_status_code,
              CASE WHEN f.made > 0 OR f.error IS NOT NULL THEN f.error ELSE d.last_error END AS last_error
), moved AS (
    INSERT INTO deliveries_finished ({_KEPT}, state, finished_at) SELECT {_KEPT}, state, now() FROM gone
)
SELECT DISTINCT webhook_id, order_key, replayed, aside FROM gone WHERE order_key IS NOT NULL
"""

# By a range and an order that one index alone has, as in `claims`: for an equality, the planner may walk the key of the
# table past the rows of other webhooks, if most are of this one.
_WAITING = "SELECT id FROM deliveries WHERE webhook_id BETWEEN $1 AND $1 AND id > $2 ORDER BY webhook_id, id LIMIT $3"

CANCEL_WAITING = f"""
WITH chosen AS MATERIALIZED (
    {_WAITING} FOR UPDATE
), gone AS (
    -- As an array: for a join, the planner may read the whole table.
    DELETE FROM deliveries WHERE id = ANY(ARRAY(SELECT id FROM chosen)) RETURNING *
), cancelled AS (
    INSERT INTO deliveries_finished ({_KEPT}, state, finished_at) SELECT {_KEPT}, 'cancelled', now() FROM gone
)
SELECT count(*) AS rows, (SELECT id FROM chosen ORDER BY id DESC LIMIT 1) AS last FROM chosen
"""

# One probe of an index for each deleted webhook. An EXISTS may become a join, which reads the backlog.
LEFT_BEHIND = """
SELECT id FROM webhooks w WHERE deleted_at IS NOT NULL
    AND (SELECT d.id FROM deliveries d WHERE d.webhook_id = w.id ORDER BY d.id LIMIT 1) IS NOT NULL LIMIT $1
"""

# One step in the index for each lane, for the same reason.
RELEASED = """
SELECT lane.webhook_id FROM unnest($1::uuid[], $2::timestamptz[]) AS lane (webhook_id, resumed_at)
WHERE coalesce((
    SELECT d.due_at FROM deliveries d WHERE d.webhook_id = lane.webhook_id ORDER BY d.due_at LIMIT 1
) > lane.resumed_at, true)
"""

REQUEUE = f"""
WITH back AS (DELETE FROM deliveries_finished WHERE id = $1 RETURNING *)
INSERT INTO deliveries ({_KEPT}, due_at) SELECT {_KEPT}, now() FROM back
"""

# One that is being sent right now keeps its lease; its outcome decides.
REQUEUE_FIRST = """
UPDATE deliveries d SET schedule_from = attempts, due_at = CASE
    WHEN d.leased_by IS NOT NULL AND d.due_at > now() THEN d.due_at
    ELSE least(now(), (
        SELECT min(other.due_at) - interval '1 microsecond' FROM deliveries other
        WHERE other.webhook_id = d.webhook_id AND other.id <> d.id)) END
WHERE d.id = $1 RETURNING d.webhook_id
"""

# However few rows are chosen among however many, a statement looks at a limited number.
_EXAMINED = """
WITH examined AS MATERIALIZED (
    SELECT id, state FROM deliveries_finished
    WHERE webhook_id BETWEEN $1 AND $1 AND id >= $2 AND id < $3 AND id > $5 {undelivered}
    ORDER BY webhook_id, id LIMIT $6
)"""

COUNT_CHUNK = f"""
{_EXAMINED}
SELECT count(*) AS examined, count(*) FILTER (WHERE state = ANY($4)) AS found,
    (SELECT id FROM examined ORDER BY id DESC LIMIT 1) AS last
FROM examined
"""

REQUEUE_CHUNK = f"""
{_EXAMINED}, back AS (
    DELETE FROM deliveries_finished d
    WHERE d.id = ANY(ARRAY(SELECT id FROM examined)) AND d.state = ANY($4) AND d.id >= $2 AND d.id < $3
    RETURNING d.*
), queued AS (
    INSERT INTO deliveries ({_KEPT}, replayed, schedule_from, due_at)
    SELECT {_KEPT}, true, attempts,
        now() + make_interval(secs => $8 + (row_number() OVER (ORDER BY id) - 1) / $7::float8)
    FROM back RETURNING id
)
SELECT count(*) AS examined, (SELECT count(*) FROM queued) AS rows,
    (SELECT id FROM examined ORDER BY id DESC LIMIT 1) AS last
FROM examined
"""

COUNT_CHUNK_ROWS = 10_000
"""Rows that one statement of a count looks at."""

FIRST_ID = UUID(int=0)

POSTPONE = """
UPDATE deliveries d
SET due_at = p.due_at, leased_by = NULL, attempts = d.attempts + 1, crashes = 0,
    schedule_from = d.schedule_from + p.uncounted::int,
    last_status_code = p.status_code, last_error = p.error,
    aside = d.aside OR p.aside, behind = d.behind AND NOT p.aside
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[], $5::bool[], $6::bool[])
    AS p (id, due_at, status_code, error, aside, uncounted)
WHERE d.id = p.id
RETURNING d.webhook_id, d.order_key, d.replayed, d.aside
"""

# As the webhook is configured now, not when the job began.
STEP_ASIDE = f"""
WITH examined AS MATERIALIZED (
    {_WAITING}
), gone AS (
    UPDATE deliveries d SET aside = true, behind = false FROM webhooks w
    WHERE d.id = ANY(ARRAY(SELECT id FROM examined)) AND w.id = $1 AND w.ordered AND NOT d.aside
      AND d.attempts - d.schedule_from >= w.skip_after AND (d.leased_by IS NULL OR d.due_at <= now())
    RETURNING d.webhook_id, d.order_key, d.replayed, d.aside
)
SELECT seen.*, gone.* FROM (
    SELECT count(*) AS examined, (SELECT id FROM examined ORDER BY id DESC LIMIT 1) AS last FROM examined
) AS seen LEFT JOIN gone ON true
"""

RENEW = f"""
WITH lease AS (
    SELECT * FROM unnest($1::uuid[], $2::int[]) AS given (id, fencing_token)
), free AS MATERIALIZED (
    SELECT d.id FROM deliveries d JOIN lease ON lease.id = d.id
    WHERE d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL
    FOR NO KEY UPDATE OF d SKIP LOCKED
), renewed AS (
    UPDATE deliveries d SET due_at = now() + $3 FROM free WHERE d.id = free.id RETURNING d.id
)
SELECT d.id, d.fencing_token, renewed.id IS NOT NULL AS renewed,
       w.enabled AND w.paused_at IS NULL AND w.deleted_at IS NULL
           AND {HELD_UNTIL} IS NULL AS allowed
FROM lease JOIN deliveries d ON d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL
JOIN webhooks w ON w.id = d.webhook_id LEFT JOIN renewed ON renewed.id = d.id
"""
"""A row that another transaction has, such as a cancellation that is not committed, is not waited for."""

_HELD = (
    "FROM unnest($1::uuid[], $2::int[]) AS lease (id, fencing_token)"
    " WHERE d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL"
)


class PostgresDeliveryQueue(PostgresLanes):
    """See :class:`monitor.domain.ports.queue.DeliveryQueue`."""

    async def lease(
        self,
        capacities: Mapping[UUID, int],
        ordered: Mapping[UUID, Order],
        *,
        worker: str,
        lease_s: float,
        held: Collection[UUID] = (),
        since: Mapping[UUID, datetime] = MappingProxyType({}),
    ) -> list[ClaimedDelivery]:
        lease = timedelta(seconds=lease_s)
        leased = await lease_rows(self._connection, capacities, ordered, lease, worker, held, since)
        leased = await take_turns(self._connection, leased)
        if not leased:
            return []
        rows = await self._connection.fetch(
            "SELECT id, type, payload, traceparent FROM events WHERE id = ANY($1)",
            list({row["event_id"] for row in leased}),
        )
        events = {row["id"]: row for row in rows}
        ends = {
            row["id"]: end_without_attempt(row["crashes"], event_stored=row["event_id"] in events) for row in leased
        }
        if unsent := [Finish(id_, end[0], error=end[1]) for id_, end in ends.items() if end is not None]:
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
                schedule_from=row["schedule_from"],
                traceparent=events[row["event_id"]]["traceparent"],
            )
            for row in leased
            if ends[row["id"]] is None
        ]

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
        rows = await self._connection.fetch(
            "SELECT d.id, d.schedule_from FROM deliveries d"
            " JOIN unnest($1::uuid[], $2::int[]) AS lease (id, fencing_token)"
            " ON d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL FOR UPDATE OF d",
            *_columns(leases),
        )
        return {row["id"]: row["schedule_from"] for row in rows}

    async def renew(self, leases: Sequence[tuple[UUID, int]], *, lease_s: float) -> dict[tuple[UUID, int], LeaseState]:
        rows = await self._connection.fetch(RENEW, *_columns(leases), timedelta(seconds=lease_s))
        return {(row["id"], row["fencing_token"]): LeaseState(row["renewed"], row["allowed"]) for row in rows}

    async def release(self, leases: Sequence[tuple[UUID, int]], *, after_s: float = 0.0) -> None:
        rows = await self._connection.fetch(
            f"UPDATE deliveries d SET due_at = now() + $3, leased_by = NULL {_HELD} RETURNING d.webhook_id",
            *_columns(leases),
            timedelta(seconds=after_s),
        )
        if not after_s:
            await wake(self._connection, (row["webhook_id"] for row in rows))

    async def finish(self, finished: Sequence[Finish]) -> None:
        lines = await self._connection.fetch(
            FINISH,
            [f.delivery_id for f in finished],
            [f.state for f in finished],
            [f.status_code for f in finished],
            [f.error for f in finished],
            [f.new_attempts for f in finished],
        )
        await advance_lines(self._connection, [line for line in lines if not line["aside"]])
        await end_turns(self._connection, lines)

    async def postpone(self, postponed: Sequence[Postpone]) -> None:
        rows = await self._connection.fetch(
            POSTPONE,
            [p.delivery_id for p in postponed],
            [p.due_at for p in postponed],
            [p.status_code for p in postponed],
            [p.error for p in postponed],
            [p.aside for p in postponed],
            [p.uncounted for p in postponed],
        )
        await self._advance(rows)
        await end_turns(self._connection, rows, replace=True)

    async def replace_older(self, event_ids: Sequence[UUID]) -> None:
        await replace_older(self._connection, event_ids)

    async def get(self, delivery_id: UUID) -> tuple[DeliveryState, UUID]:
        # The lane first, as everywhere; the webhook of a delivery never changes.
        await self._connection.execute(
            "SELECT 1 FROM webhook_lanes WHERE webhook_id = (SELECT webhook_id FROM deliveries WHERE id = $1"
            " UNION ALL SELECT webhook_id FROM deliveries_finished WHERE id = $1 LIMIT 1) FOR NO KEY UPDATE",
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
        state = self._rows.one(
            row, lambda row: DeliveryState(row["state"]), "deliveries_finished", lambda _: delivery_id
        )
        return state, row["webhook_id"]

    async def has_event(self, delivery_id: UUID) -> bool:
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT FROM events WHERE id = ("
            " SELECT event_id FROM deliveries WHERE id = $1"
            " UNION ALL SELECT event_id FROM deliveries_finished WHERE id = $1 LIMIT 1))",
            delivery_id,
        )
        return found

    async def requeue(self, delivery_id: UUID) -> None:
        await self._connection.execute(REQUEUE, delivery_id)
        webhook_id = await self._connection.fetchval(REQUEUE_FIRST, delivery_id)
        if webhook_id is not None:
            await wake(self._connection, [webhook_id])

    async def wake(self, webhook_ids: Collection[UUID]) -> None:
        await wake(self._connection, webhook_ids)

    async def released(self, lanes: Collection[Lane]) -> set[UUID]:
        ids, resumed_at = [lane.webhook_id for lane in lanes], [lane.resumed_at for lane in lanes]
        return {row["webhook_id"] for row in await self._connection.fetch(RELEASED, ids, resumed_at)}

    async def cancel_waiting(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        await self._lock_lane(webhook_id)
        row = await self._connection.fetchrow(CANCEL_WAITING, webhook_id, after or FIRST_ID, limit)
        return Chunk(row["rows"], row["last"], row["rows"] == limit)

    async def step_aside(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        await self._lock_lane(webhook_id)
        rows = await self._connection.fetch(STEP_ASIDE, webhook_id, after or FIRST_ID, limit)
        gone = [row for row in rows if row["webhook_id"] is not None]
        await self._advance(gone)
        if gone:
            await wake(self._connection, [webhook_id])
        return Chunk(len(gone), rows[0]["last"] or after, rows[0]["examined"] == limit)

    async def left_behind(self, limit: int) -> list[UUID]:
        return [row["id"] for row in await self._connection.fetch(LEFT_BEHIND, limit)]

    async def count_finished(self, chosen: ReplayParameters) -> int:
        sql, range_ = _of_range(COUNT_CHUNK, chosen)
        found, cursor = 0, FIRST_ID
        for _ in range(COUNTED_MAX // COUNT_CHUNK_ROWS):
            row = await self._connection.fetchrow(sql, *range_, cursor, COUNT_CHUNK_ROWS)
            found += row["found"]
            if row["examined"] < COUNT_CHUNK_ROWS:
                break
            cursor = row["last"]
        return found

    async def requeue_finished(
        self, chosen: ReplayParameters, *, after: UUID | None, limit: int, per_s: float, after_s: float
    ) -> Chunk:
        # No claim may see a part of what comes back.
        await self._lock_lane(chosen.webhook_id)
        if not await self._connection.fetchval(
            "SELECT 1 FROM webhooks WHERE id = $1 AND deleted_at IS NULL", chosen.webhook_id
        ):
            return Chunk(0, after, more=False)
        sql, range_ = _of_range(REQUEUE_CHUNK, chosen)
        row = await self._connection.fetchrow(sql, *range_, after or FIRST_ID, limit, per_s, after_s)
        await wake(self._connection, [chosen.webhook_id])
        return Chunk(row["rows"], row["last"] or after, row["examined"] == limit)

    async def _advance(self, rows: Sequence[asyncpg.Record]) -> None:
        """Let the next ones of those of *rows* go that stepped aside."""
        lines = {(row["webhook_id"], row["order_key"], row["replayed"]): row for row in rows if row["aside"]}
        await advance_lines(self._connection, [row for row in lines.values() if row["order_key"] is not None])

    async def _lock_lane(self, webhook_id: UUID) -> None:
        lock = "SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR NO KEY UPDATE"
        await self._connection.execute(lock, webhook_id)


def _columns(leases: Sequence[tuple[UUID, int]]) -> tuple[list[UUID], list[int]]:
    return [id_ for id_, _ in leases], [fencing_token for _, fencing_token in leases]


def _state(row: asyncpg.Record) -> DeliveryState:
    return DeliveryState(row["state"])


def _of_range(sql: str, chosen: ReplayParameters) -> tuple[str, tuple[object, ...]]:
    """Return *sql* and its first parameters. Without delivered ones it reads an index that leaves them out."""
    undelivered = "" if DeliveryState.DELIVERED in chosen.states else "AND state <> 'delivered'"
    range_ = (chosen.webhook_id, id_floor(chosen.from_at), id_floor(chosen.to_at), list(chosen.states))
    return sql.format(undelivered=undelivered), range_
