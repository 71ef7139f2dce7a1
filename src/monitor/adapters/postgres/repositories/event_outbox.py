"""``EventOutbox`` on PostgreSQL: committed events whose dispatch may not have happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.engine import Database
from monitor.domain.events import DomainEvent
from monitor.domain.ids import id_floor
from monitor.domain.ports.repositories.event_outbox import StoredEvent

_decode = msgspec.msgpack.Decoder(DomainEvent).decode


async def append_events(connection: asyncpg.Connection, events: Sequence[StoredEvent]) -> None:
    """Store *events* in the transaction of *connection*."""
    await connection.execute(
        "INSERT INTO event_outbox (id, event) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
        [stored.id for stored in events],
        [msgspec.msgpack.encode(stored.event) for stored in events],
    )


class PostgresEventOutbox:
    """See :class:`monitor.domain.ports.repositories.event_outbox.EventOutbox`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def delete(self, ids: Collection[UUID]) -> None:
        await self._db.fetch("DELETE FROM event_outbox WHERE id = ANY($1)", list(ids), reserved=True)

    async def undispatched(self, before: datetime, limit: int) -> list[StoredEvent]:
        async def fetch(skipped: list[UUID]) -> list[asyncpg.Record]:
            return await self._db.fetch(
                "SELECT id, event FROM event_outbox WHERE id < $1 AND id <> ALL($3::uuid[]) ORDER BY id LIMIT $2",
                id_floor(before),
                limit,
                skipped,
                reserved=True,
            )

        events = await self._db.rows.page(fetch, _stored_event, "event_outbox", limit)
        return list(events.values())


def _stored_event(row: asyncpg.Record) -> StoredEvent:
    return StoredEvent(row["id"], _decode(row["event"]))
