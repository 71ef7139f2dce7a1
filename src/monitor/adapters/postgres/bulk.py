"""Bulk work on deliveries: bounded looks in the order of ids, and the changes of what matched (``BulkQueue``)."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.queue import _KEPT as KEPT
from monitor.adapters.postgres.queue import FIRST_ID
from monitor.adapters.postgres.selection import LOOKED_AT, Side, all_conditions, finished_sides, pending_side
from monitor.adapters.postgres.sql import Where
from monitor.domain.delivery.bulk import COUNTED_MAX, BulkAction, BulkCount, BulkLook, BulkResult, states_of
from monitor.domain.delivery.job import Chunk
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.ports.queue import DeliveryQueue, Finish
from monitor.domain.vocab import DeliveryState

_WEBHOOK = "EXISTS (SELECT FROM webhooks v WHERE v.id = d.webhook_id AND v.deleted_at IS NULL)"
_EVENT = "EXISTS (SELECT FROM events v WHERE v.id = d.event_id)"
_WAITS = "(d.leased_by IS NULL OR d.due_at <= now())"
"""A delivery under way keeps its lease, and its outcome decides."""

_LOOK = """
WITH examined AS MATERIALIZED (
    SELECT * FROM ({parts}) AS both_tables ORDER BY id LIMIT {looked_at}
), found AS MATERIALIZED (
    SELECT d.id, d.webhook_id FROM examined d {where} ORDER BY d.id LIMIT {limit}
)
SELECT (SELECT count(*) FROM examined) AS examined, (SELECT id FROM examined ORDER BY id DESC LIMIT 1) AS last, {result}
"""

_IDS = "ARRAY(SELECT id FROM found ORDER BY id) AS ids, ARRAY(SELECT webhook_id FROM found ORDER BY id) AS webhook_ids"
_COUNT = "(SELECT count(*) FROM found) AS count"

_PENDING = """
(SELECT d.id, d.event_id, d.webhook_id, 'pending' AS state, d.last_status_code, d.last_error, d.leased_by, d.due_at
 FROM deliveries d {where} ORDER BY d.id LIMIT {looked_at})
"""

_FINISHED = """
(SELECT d.id, d.event_id, d.webhook_id, d.state, d.last_status_code, d.last_error,
        NULL::text AS leased_by, d.finished_at AS due_at
 FROM deliveries_finished d {where} ORDER BY d.id LIMIT {looked_at})
"""

_LOCK = "SELECT d.id FROM deliveries d {where} ORDER BY d.id FOR UPDATE OF d SKIP LOCKED"

PACED = """
SELECT webhook_id FROM webhook_lanes WHERE webhook_id = ANY($1) AND coalesce(paced_until <= now(), true)
"""

# In sequence behind what was spread before.
_SPREAD = """
SELECT r.id, greatest(l.paced_until, now()) + make_interval(secs => (r.place - 1) / {per_s}::float8) AS due_at
FROM (SELECT id, webhook_id, row_number() OVER (PARTITION BY webhook_id ORDER BY id) AS place FROM {rows}) AS r
JOIN webhook_lanes l ON l.webhook_id = r.webhook_id
"""

_PACE = """
UPDATE webhook_lanes l
SET paced_until = greatest(l.paced_until, now()) + make_interval(secs => n.rows / {per_s}::float8)
FROM (SELECT webhook_id, count(*) AS rows FROM {rows} GROUP BY webhook_id) AS n WHERE l.webhook_id = n.webhook_id
"""

# What is due already takes no place in the sequence.
HURRY = f"""
WITH later AS MATERIALIZED (
    SELECT id, webhook_id FROM deliveries WHERE id = ANY($1) AND due_at > now()
), spread AS ({_SPREAD.format(per_s="$2", rows="later")}
), paced AS ({_PACE.format(per_s="$2", rows="later")})
UPDATE deliveries d SET schedule_from = d.attempts, due_at = least(d.due_at, (
    SELECT s.due_at FROM spread s WHERE s.id = d.id))
WHERE d.id = ANY($1) RETURNING d.webhook_id
"""

# What is due before the end of the sequence has its place in it, or would not be due earlier by one.
LATER = """
WITH examined AS MATERIALIZED (
    SELECT id, due_at, leased_by FROM deliveries
    WHERE webhook_id BETWEEN $1 AND $1 AND id > $2 ORDER BY webhook_id, id LIMIT $3
), later AS MATERIALIZED (
    SELECT e.id FROM examined e
    WHERE e.leased_by IS NULL AND e.due_at > (
        SELECT greatest(l.paced_until, now()) FROM webhook_lanes l WHERE l.webhook_id = $1)
    ORDER BY e.id LIMIT $4
)
SELECT (SELECT count(*) FROM examined) AS examined, (SELECT id FROM examined ORDER BY id DESC LIMIT 1) AS last,
    ARRAY(SELECT id FROM later ORDER BY id) AS ids
"""

_BRING_BACK = f"""
WITH back AS (
    DELETE FROM deliveries_finished d {{where}} RETURNING d.*
), spread AS ({_SPREAD.format(per_s="{per_s}", rows="back")}
), paced AS ({_PACE.format(per_s="{per_s}", rows="back")})
INSERT INTO deliveries ({KEPT}, replayed, schedule_from, due_at)
SELECT {", ".join(f"b.{column.strip()}" for column in KEPT.split(","))}, true, b.attempts, s.due_at
FROM back b JOIN spread s USING (id) RETURNING webhook_id
"""


class PostgresBulkQueue:
    """See :class:`monitor.domain.ports.bulk.BulkQueue`."""

    def __init__(self, connection: asyncpg.Connection, queue: DeliveryQueue) -> None:
        self._connection = connection
        self._queue = queue

    async def count(self, action: BulkAction, chosen: DeliveryFilter) -> BulkCount:
        count, cursor = 0, None
        for _ in range(COUNTED_MAX // LOOKED_AT):
            row = await self._look(action, chosen, cursor, LOOKED_AT, result=_COUNT)
            count += row["count"]
            if row["examined"] < LOOKED_AT:
                return BulkCount(count, complete=True)
            cursor = row["last"]
        return BulkCount(count, complete=False)

    async def look(self, action: BulkAction, chosen: DeliveryFilter, *, after: UUID | None, limit: int) -> BulkLook:
        row = await self._look(action, chosen, after, limit)
        found = tuple(zip(row["ids"], row["webhook_ids"], strict=True))
        if len(found) == limit:
            return BulkLook(found, found[-1][0], more=True)
        return BulkLook(found, row["last"] or after, more=row["examined"] == LOOKED_AT)

    async def look_again(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID]
    ) -> tuple[tuple[UUID, UUID], ...]:
        if not ids:
            return ()
        row = await self._look(action, chosen, None, len(ids), ids)
        return tuple(zip(row["ids"], row["webhook_ids"], strict=True))

    async def hasten(self, webhook_id: UUID, *, after: UUID | None, limit: int, per_s: float) -> Chunk:
        await self._queue.lock_lanes([webhook_id])
        row = await self._connection.fetchrow(LATER, webhook_id, after or FIRST_ID, LOOKED_AT, limit)
        if ids := row["ids"]:
            await self._connection.fetch(HURRY, ids, per_s)
        await self._queue.wake([webhook_id])
        if len(ids) == limit:
            return Chunk(len(ids), ids[-1], more=True)
        return Chunk(len(ids), row["last"] or after, row["examined"] == LOOKED_AT)

    async def change(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID], *, per_s: float
    ) -> BulkResult:
        states = states_of(action, chosen)
        changed: list[UUID] = []
        skipped: list[UUID] = []
        if not ids:
            return BulkResult(())
        webhooks = await self._connection.fetch(
            "SELECT DISTINCT webhook_id FROM deliveries WHERE id = ANY($1)"
            " UNION SELECT webhook_id FROM deliveries_finished WHERE id = ANY($1)",
            list(ids),
        )
        paced = await self._connection.fetch(PACED, [row["webhook_id"] for row in webhooks])
        if DeliveryState.PENDING in states:
            locked, skipped = await self._lock(action, chosen, ids)
            if action is BulkAction.CANCEL:
                rows = await self._connection.fetch(
                    "SELECT webhook_id FROM deliveries WHERE id = ANY($1)", list(locked)
                )
                await self._queue.finish([Finish(id_, DeliveryState.CANCELLED) for id_ in locked])
            else:
                rows = await self._connection.fetch(HURRY, locked, per_s)
            changed += [row["webhook_id"] for row in rows]
        if finished := [state for state in states if state is not DeliveryState.PENDING]:
            base = Where()
            where = self._conditions(base, action, chosen).add("d.id = ANY({}::uuid[])", list(ids))
            where.add("d.state = ANY({})", finished)
            base.args.append(per_s)
            rows = await self._connection.fetch(_BRING_BACK.format(where=where, per_s=f"${len(base.args)}"), *base.args)
            changed += [row["webhook_id"] for row in rows]
        return BulkResult(tuple(changed), tuple(skipped), frozenset(row["webhook_id"] for row in paced))

    async def _lock(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID]
    ) -> tuple[list[UUID], list[UUID]]:
        """Lock those of *ids* that are pending and match; return these, and those that another transaction has."""
        where = self._conditions(Where(), action, chosen).add("d.id = ANY({}::uuid[])", list(ids))
        if action is not BulkAction.CANCEL:
            where.require(_WAITS)
        wanted = await self._connection.fetch(f"SELECT d.id FROM deliveries d {where}", *where.args)
        rows = await self._connection.fetch(_LOCK.format(where=where), *where.args)
        locked = [row["id"] for row in rows]
        return locked, sorted({row["id"] for row in wanted} - set(locked))

    async def _look(
        self,
        action: BulkAction,
        chosen: DeliveryFilter,
        after: UUID | None,
        limit: int,
        ids: Collection[UUID] | None = None,
        *,
        result: str = _IDS,
    ) -> asyncpg.Record:
        states = states_of(action, chosen)
        base, unused = Where(), Where()
        sides: list[tuple[str, Side]] = []
        if DeliveryState.PENDING in states:
            sides.append((_PENDING, pending_side(base, chosen, unused)))
        if states != (DeliveryState.PENDING,):
            sides += [(_FINISHED, side) for side in finished_sides(base, chosen, states, unused)]
        parts = []
        for part, side in sides:
            side.first.add_range("d.id", None, chosen.from_at, chosen.to_at)
            side.first.add("d.id > {}", after).add("d.id = ANY({}::uuid[])", None if ids is None else list(ids))
            parts.append(part.format(where=side.first, looked_at=LOOKED_AT))
        where = self._conditions(base, action, chosen).add("d.state = ANY({})", list(states))
        if action is not BulkAction.CANCEL:
            where.require(f"(d.state <> '{DeliveryState.PENDING}' OR {_WAITS})")
        both = " UNION ALL ".join(parts)
        sql = _LOOK.format(parts=both, looked_at=LOOKED_AT, where=where, limit=limit, result=result)
        return await self._connection.fetchrow(sql, *base.args)

    @staticmethod
    def _conditions(base: Where, action: BulkAction, chosen: DeliveryFilter) -> Where:
        where = all_conditions(base, chosen).require(_WEBHOOK)
        return where if action is BulkAction.CANCEL else where.require(_EVENT)
