"""
The delivery queue: lanes, leases and fences.

A lease is ``due_at`` in the future with ``leased_by`` set, so the rows of a dead worker fall due by themselves. The
lane's lock makes the limits of a webhook (concurrency, rate, order, the breaker's one probe) exact across workers.
The lane is locked first everywhere, before its webhook and its deliveries, which excludes deadlocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.lanes import FIRST, PostgresLanes
from monitor.adapters.postgres.repositories.events import wake
from monitor.domain.delivery.quarantine import end_without_attempt
from monitor.domain.delivery.replay import COUNTED_MAX, Replay, ReplaySpec
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.ports.queue import ClaimedDelivery, Finish, LeaseState, Postpone
from monitor.domain.vocab import DeliveryState

NO_DELIVERY = "There is no delivery with this id."

_LEASE = """
UPDATE deliveries d
SET due_at = now() + $3, fencing_token = d.fencing_token + 1, leased_by = $4, leased_at = now(),
    crashes = d.crashes + (d.leased_by IS NOT NULL)::int
FROM picked WHERE d.id = picked.id
RETURNING d.id, d.event_id, d.webhook_id, d.fencing_token, d.attempts, d.schedule_from,
    d.crashes
"""

LEASE_DUE = f"""
WITH picked AS MATERIALIZED (
    SELECT due.id FROM unnest($1::uuid[], $2::int[]) AS lane (webhook_id, capacity), LATERAL (
        SELECT d.id FROM deliveries d
        WHERE d.webhook_id = lane.webhook_id AND d.due_at <= now() AND d.id <> ALL($5::uuid[])
        ORDER BY d.due_at LIMIT lane.capacity FOR UPDATE SKIP LOCKED
    ) AS due
) {_LEASE}
"""

# The head of an ordered lane is waited for, not skipped: skipping it would overtake it.
LEASE_HEADS = f"""
WITH picked AS MATERIALIZED (
    SELECT head.id FROM unnest($1::uuid[], $2::int[]) AS lane (webhook_id, capacity)
    JOIN webhooks w ON w.id = lane.webhook_id, LATERAL (
        SELECT d.id, d.due_at FROM deliveries d WHERE d.webhook_id = lane.webhook_id
        ORDER BY d.id LIMIT 1 FOR UPDATE
    ) AS head WHERE head.due_at <= now() AND head.id <> ALL($5::uuid[]) AND {FIRST.format(delivery_id="head.id")}
) {_LEASE}
"""

_KEPT = "id, event_id, webhook_id, fencing_token, attempts, last_status_code, last_error"
"""Columns that a delivery keeps when it moves between the queue and the finished ones."""

FINISH = f"""
WITH gone AS (
    DELETE FROM deliveries d
    USING unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::int[])
        AS f (id, state, status_code, error, made)
    WHERE d.id = f.id
    RETURNING d.id, d.event_id, d.webhook_id, f.state, d.attempts + f.made AS attempts, d.fencing_token,
              CASE WHEN f.made > 0 THEN f.status_code ELSE d.last_status_code END AS last_status_code,
              CASE WHEN f.made > 0 THEN f.error ELSE d.last_error END AS last_error
)
INSERT INTO deliveries_finished ({_KEPT}, state, finished_at) SELECT {_KEPT}, state, now() FROM gone
"""

CANCEL_ALL = f"""
WITH gone AS (DELETE FROM deliveries WHERE webhook_id = $1 RETURNING *)
INSERT INTO deliveries_finished ({_KEPT}, state, finished_at) SELECT {_KEPT}, 'cancelled', now() FROM gone
"""

REQUEUE = f"""
WITH back AS (DELETE FROM deliveries_finished WHERE id = $1 RETURNING *)
INSERT INTO deliveries ({_KEPT}, due_at) SELECT {_KEPT}, now() FROM back
"""

# One that is being sent right now keeps its lease; its outcome decides.
REQUEUE_FIRST = """
UPDATE deliveries d SET schedule_from = attempts, due_at = CASE
    -- One that is being sent right now keeps its lease; its outcome decides.
    WHEN d.leased_by IS NOT NULL AND d.due_at > now() THEN d.due_at
    ELSE least(now(), (
        SELECT min(other.due_at) - interval '1 microsecond' FROM deliveries other
        WHERE other.webhook_id = d.webhook_id AND other.id <> d.id)) END
WHERE d.id = $1 RETURNING d.webhook_id
"""

_CHOSEN = "webhook_id = $1 AND id >= $2 AND id < $3 AND state = ANY($4)"

COUNT_FINISHED = f"SELECT count(*) FROM (SELECT FROM deliveries_finished WHERE {_CHOSEN} LIMIT {COUNTED_MAX}) AS found"

REQUEUE_FINISHED = f"""
WITH chosen AS MATERIALIZED (
    SELECT f.id, row_number() OVER (ORDER BY f.id) - 1 AS position FROM (
        SELECT id FROM deliveries_finished WHERE {_CHOSEN} AND ($5::uuid IS NULL OR id > $5)
        ORDER BY id LIMIT $6 FOR UPDATE
    ) AS f
), back AS (
    DELETE FROM deliveries_finished d USING chosen WHERE d.id = chosen.id AND d.webhook_id = $1
    RETURNING d.*, chosen.position
), queued AS (
    INSERT INTO deliveries ({_KEPT}, schedule_from, due_at)
    SELECT {_KEPT}, attempts, now() + make_interval(secs => $8 + position / $7::float8) FROM back
    RETURNING id
)
SELECT count(*) AS moved, (SELECT id FROM queued ORDER BY id DESC LIMIT 1) AS last FROM queued
"""

POSTPONE = """
UPDATE deliveries d
SET due_at = p.due_at, leased_by = NULL, attempts = d.attempts + 1, crashes = 0,
    last_status_code = p.status_code, last_error = p.error
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[]) AS p (id, due_at, status_code, error)
WHERE d.id = p.id
"""

RENEW = """
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
       w.enabled AND w.paused_at IS NULL AND w.deleted_at IS NULL AS allowed
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
        ordered: Collection[UUID],
        *,
        worker: str,
        lease_s: float,
        held: Collection[UUID] = (),
    ) -> list[ClaimedDelivery]:
        lease = timedelta(seconds=lease_s)
        leased: list[asyncpg.Record] = []
        for sql, lanes in (
            (LEASE_DUE, capacities.keys() - set(ordered)),
            (LEASE_HEADS, capacities.keys() & set(ordered)),
        ):
            if lanes:
                ids = list(lanes)
                room = [capacities[id_] for id_ in ids]
                leased += await self._connection.fetch(sql, ids, room, lease, worker, list(held))
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
                schedule_from=row["schedule_from"],
            )
            for row in leased
            if ends[row["id"]] is None
        ]

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> set[UUID]:
        rows = await self._connection.fetch(
            "SELECT d.id FROM deliveries d JOIN unnest($1::uuid[], $2::int[]) AS lease (id, fencing_token)"
            " ON d.id = lease.id AND d.fencing_token = lease.fencing_token AND d.leased_by IS NOT NULL FOR UPDATE OF d",
            *_columns(leases),
        )
        return {row["id"] for row in rows}

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
        return DeliveryState(row["state"]), row["webhook_id"]

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

    async def reschedule(self, webhook_id: UUID, *, per_s: float) -> int:
        # Nothing is claimed from the lane meanwhile, so no live lease can be rewritten.
        await self._lock_lane(webhook_id)
        released: str = await self._connection.execute(
            "UPDATE deliveries d SET due_at = now() + make_interval(secs => waiting.position / $2::float8)"
            " FROM (SELECT id, row_number() OVER (ORDER BY due_at, id) - 1 AS position FROM deliveries"
            "       WHERE webhook_id = $1 AND leased_by IS NULL AND due_at <= now()) AS waiting"
            " WHERE d.id = waiting.id AND d.leased_by IS NULL AND d.due_at <= now()",
            webhook_id,
            per_s,
        )
        await wake(self._connection, [webhook_id])
        return _row_count(released)

    async def cancel_all(self, webhook_id: UUID) -> int:
        return _row_count(await self._connection.execute(CANCEL_ALL, webhook_id))

    async def count_finished(self, webhook_id: UUID, spec: ReplaySpec) -> int:
        found: int = await self._connection.fetchval(
            COUNT_FINISHED, webhook_id, id_floor(spec.from_at), id_floor(spec.to_at), spec.states
        )
        return found

    async def requeue_finished(
        self, replay: Replay, *, limit: int, per_s: float, after_s: float
    ) -> tuple[int, UUID | None]:
        # No claim may see a part of what comes back.
        await self._lock_lane(replay.webhook_id)
        if not await self._connection.fetchval(
            "SELECT 1 FROM webhooks WHERE id = $1 AND deleted_at IS NULL", replay.webhook_id
        ):
            return 0, None
        row = await self._connection.fetchrow(
            REQUEUE_FINISHED,
            replay.webhook_id,
            id_floor(replay.from_at),
            id_floor(replay.to_at),
            replay.states,
            replay.cursor,
            limit,
            per_s,
            after_s,
        )
        await wake(self._connection, [replay.webhook_id])
        return row["moved"], row["last"]

    async def _lock_lane(self, webhook_id: UUID) -> None:
        lock = "SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR NO KEY UPDATE"
        await self._connection.execute(lock, webhook_id)


def _columns(leases: Sequence[tuple[UUID, int]]) -> tuple[list[UUID], list[int]]:
    return [id_ for id_, _ in leases], [fencing_token for _, fencing_token in leases]


def _row_count(status: str) -> int:
    """Return how many rows a statement changed, by the status that it ended with: ``UPDATE 3``."""
    return int(status.rsplit(" ", 1)[-1])
