"""``FanOutQueue`` on PostgreSQL, and the NOTIFY that wakes the workers of fan-outs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.repositories.events import FAN_OUT_EVENT, fan_out_event, subscription_of
from monitor.domain.delivery.fan_out import FanOut, FanOutEvent, SubscriptionPage, patterns_of
from monitor.domain.errors import NotFound

FAN_OUT_CHANNEL = "monitor_fan_out"

_ADD = f"""
WITH added AS (
    INSERT INTO fan_outs (id, event_ids, except_webhook_ids, event_types, accepted_at, stepped_at, done)
    VALUES ($1, $2, $3, $4, now(), now(), 0)
)
SELECT pg_notify('{FAN_OUT_CHANNEL}', '')
"""

# The next one of an order by steps, so that many progress side by side. Those of jobs are found one by one, by the key:
# as a join, the planner may read all jobs.
_TAKE = """
SELECT id FROM fan_outs f WHERE (SELECT j.id FROM jobs j WHERE j.id = f.id) IS NULL
ORDER BY stepped_at, id LIMIT 1 FOR UPDATE OF f SKIP LOCKED
"""

_GET = "SELECT * FROM fan_outs WHERE id = $1 FOR UPDATE"

# By the key, whose order the fan-out follows: a page ends the scan, and the next one begins there. All times are the
# database's.
_SUBSCRIPTIONS = """
SELECT id, event_types, labels, reminders, body_format FROM webhooks
WHERE id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid) AND event_types && $1
    AND (enabled OR coalesce(disabled_at > $3, false)) AND deleted_at IS NULL AND created_at <= $3
ORDER BY id LIMIT $4
"""

_SAVE = "UPDATE fan_outs SET after = $2, done = $3, stepped_at = clock_timestamp() WHERE id = $1"


class _Stored(NamedTuple):
    fan_out: asyncpg.Record
    events: list[asyncpg.Record]


class PostgresFanOutQueue:
    """See :class:`monitor.domain.ports.repositories.fan_outs.FanOutQueue`."""

    def __init__(self, connection: asyncpg.Connection, rows: RowReader) -> None:
        self._connection = connection
        self._rows = rows

    async def add(self, events: Sequence[FanOutEvent]) -> None:
        await self._connection.execute(
            _ADD,
            events[0].id,
            [event.id for event in events],
            [event.except_webhook for event in events],
            patterns_of(events),
        )

    async def take(self) -> UUID | None:
        taken: UUID | None = await self._connection.fetchval(_TAKE)
        return taken

    async def get(self, fan_out_id: UUID) -> FanOut:
        row = await self._connection.fetchrow(_GET, fan_out_id)
        if row is None:
            raise NotFound("There is no unfinished fan-out with this id.")
        stored = _Stored(row, await self._events(row["event_ids"]))
        return self._rows.one(stored, _fan_out, "fan_outs", lambda stored: stored.fan_out["id"])

    async def _events(self, event_ids: list[UUID]) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self._connection.fetch(
            f"SELECT {FAN_OUT_EVENT} FROM events WHERE id = ANY($1) ORDER BY id", event_ids
        )
        return found

    async def subscriptions(self, fan_out: FanOut, limit: int) -> SubscriptionPage:
        rows = await self._connection.fetch(
            _SUBSCRIPTIONS, patterns_of(fan_out.events), fan_out.after, fan_out.accepted_at, limit
        )
        found = self._rows.readable(rows, subscription_of, "webhooks")
        return SubscriptionPage(list(found.values()), rows[-1]["id"] if len(rows) == limit else None)

    async def save(self, fan_out: FanOut) -> None:
        await self._connection.execute(_SAVE, fan_out.id, fan_out.after, fan_out.done)

    async def remove(self, fan_out_id: UUID) -> None:
        await self._connection.execute("DELETE FROM fan_outs WHERE id = $1", fan_out_id)


def _fan_out(stored: _Stored) -> FanOut:
    row = stored.fan_out
    excepted = dict(zip(row["event_ids"], row["except_webhook_ids"], strict=True))
    events = [replace(fan_out_event(event), except_webhook=excepted[event["id"]]) for event in stored.events]
    if len(events) < len(excepted):
        raise ValueError("events of the fan-out are missing")
    return FanOut(
        id=row["id"], events=tuple(events), accepted_at=row["accepted_at"], after=row["after"], done=row["done"]
    )
