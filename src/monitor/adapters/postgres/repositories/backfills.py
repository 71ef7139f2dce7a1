"""``BackfillStore`` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.repositories.events import FAN_OUT_EVENT, fan_out_event, subscription_of, wake
from monitor.domain.delivery.event_types import is_event_type
from monitor.domain.delivery.fan_out import EventPage, FanOutEvent, NewDelivery, Subscription
from monitor.domain.errors import Conflict, NotFound
from monitor.domain.ids import id_floor, id_time
from monitor.domain.webhooks.webhook import Webhook

CLOCKS_APART = timedelta(days=1)
"""How much earlier the id of a delivery may be than that of its event, since two processes give the ids."""

_EXAMINE = f"SELECT {FAN_OUT_EVENT} FROM events WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3"

# Sorted by the index of each type, and merged.
_EXAMINE_TYPES = f"""
WITH found AS MATERIALIZED (
    SELECT one.id FROM unnest($4::text[]) AS wanted (type), LATERAL (
        SELECT e.id FROM events e WHERE e.type = wanted.type AND e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3
    ) AS one ORDER BY one.id LIMIT $3
)
SELECT {FAN_OUT_EVENT} FROM events WHERE id = ANY(ARRAY(SELECT id FROM found)) AND id > $1 AND id < $2 ORDER BY id
"""

# The table is nearly always empty. Events of a fan-out come after its id.
_FIRST_UNREACHED = """
SELECT id FROM fan_outs WHERE coalesce(after < $1, true) AND event_types && $2 AND accepted_at >= $3
ORDER BY id LIMIT 1
"""

# One step in the index for each pair: as a join, the planner may read the tables.
_EXISTING = """
SELECT pair.event_id, pair.webhook_id FROM unnest($1::uuid[], $2::uuid[]) AS pair (event_id, webhook_id)
WHERE (SELECT true FROM deliveries d
       WHERE d.event_id = pair.event_id AND d.webhook_id = pair.webhook_id LIMIT 1)
   OR (SELECT true FROM deliveries_finished d
       WHERE d.event_id = pair.event_id AND d.webhook_id = pair.webhook_id AND d.id > $3 LIMIT 1)
"""

_ADD = """
INSERT INTO deliveries (id, event_id, webhook_id, order_key, replayed, due_at)
SELECT id, event_id, webhook_id, order_key, true, now() + make_interval(secs => wait_s)
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::float8[])
    AS d (id, event_id, webhook_id, order_key, wait_s)
"""

_KEPT = "id, event_id, webhook_id, fencing_token, attempts, last_status_code, last_error, order_key"

_REQUEUE = f"""
WITH chosen AS MATERIALIZED (
    SELECT one.id FROM unnest($2::uuid[]) AS wanted (webhook_id), LATERAL (
        SELECT d.id FROM deliveries_finished d
        WHERE d.event_id = $1 AND d.webhook_id = wanted.webhook_id AND d.id > $3 LIMIT 1
    ) AS one
), back AS (
    -- As an array: for a join, the planner may read the whole table.
    DELETE FROM deliveries_finished WHERE id = ANY(ARRAY(SELECT id FROM chosen)) AND id > $3 RETURNING *
)
INSERT INTO deliveries ({_KEPT}, replayed, schedule_from, due_at) SELECT {_KEPT}, true, attempts, now() FROM back
RETURNING webhook_id
"""

_HAD_DELIVERY = """
SELECT EXISTS (SELECT FROM deliveries WHERE event_id = $1) OR EXISTS (
    SELECT FROM deliveries_finished WHERE event_id = $1)
"""

_SUBSCRIPTIONS = """
SELECT id, CASE WHEN enabled THEN event_types ELSE '{}' END AS event_types, labels, reminders, body_format
FROM webhooks
WHERE id = ANY($1) AND deleted_at IS NULL
"""


class PostgresBackfillStore:
    """See :class:`monitor.domain.ports.repositories.backfills.BackfillStore`."""

    def __init__(self, connection: asyncpg.Connection, rows: RowReader) -> None:
        self._connection = connection
        self._rows = rows

    async def examine(self, patterns: Collection[str], *, after: UUID, before: UUID, limit: int) -> EventPage:
        if all(map(is_event_type, patterns)):
            rows = await self._connection.fetch(_EXAMINE_TYPES, after, before, limit, list(patterns))
        else:
            rows = await self._connection.fetch(_EXAMINE, after, before, limit)
        found = self._rows.readable(rows, fan_out_event, "events")
        return EventPage(list(found.values()), rows[-1]["id"] if len(rows) == limit else None)

    async def first_unreached(self, webhook: Webhook) -> UUID | None:
        found: UUID | None = await self._connection.fetchval(
            _FIRST_UNREACHED, webhook.id, list(webhook.event_types), webhook.created_at
        )
        return found

    async def existing(self, deliveries: Collection[NewDelivery]) -> set[tuple[UUID, UUID]]:
        if not deliveries:
            return set()
        events = [one.event_id for one in deliveries]
        rows = await self._connection.fetch(
            _EXISTING, events, [one.webhook_id for one in deliveries], _floor(min(events))
        )
        return {(row["event_id"], row["webhook_id"]) for row in rows}

    async def add(self, deliveries: Sequence[NewDelivery], waits_s: Sequence[float]) -> None:
        await self._connection.execute(
            _ADD,
            [one.id for one in deliveries],
            [one.event_id for one in deliveries],
            [one.webhook_id for one in deliveries],
            [one.order_key for one in deliveries],
            list(waits_s),
        )
        await wake(self._connection, {one.webhook_id for one in deliveries})

    async def event(self, event_id: UUID) -> FanOutEvent:
        row = await self._connection.fetchrow(f"SELECT {FAN_OUT_EVENT} FROM events WHERE id = $1", event_id)
        if row is None:
            if await self._connection.fetchval(_HAD_DELIVERY, event_id):
                raise Conflict("This event is past its retention; there is nothing left to send.")
            raise NotFound("There is no event with this id.")
        if await self._connection.fetchval("SELECT 1 FROM fan_outs WHERE $1 = ANY(event_ids) LIMIT 1", event_id):
            raise Conflict("The deliveries of this event are still being made; send it again when its fan-out is done.")
        return self._rows.one(row, fan_out_event, "events")

    async def subscriptions(self, webhook_ids: Collection[UUID]) -> list[Subscription]:
        rows = await self._connection.fetch(_SUBSCRIPTIONS, list(webhook_ids))
        return list(self._rows.readable(rows, subscription_of, "webhooks").values())

    async def requeue(self, event_id: UUID, webhook_ids: Collection[UUID]) -> set[UUID]:
        rows = await self._connection.fetch(_REQUEUE, event_id, list(webhook_ids), _floor(event_id))
        requeued = {row["webhook_id"] for row in rows}
        await wake(self._connection, requeued)
        return requeued


def _floor(event_id: UUID) -> UUID:
    """Return a bound below the ids of all deliveries of the event, so that earlier partitions are left alone."""
    return id_floor(id_time(event_id) - CLOCKS_APART)
