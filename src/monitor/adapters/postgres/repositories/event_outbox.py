"""``EventOutbox`` on PostgreSQL: committed events whose dispatch may not have happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.engine import Database
from monitor.domain.events import DomainEvent, WebhookStatusChanged
from monitor.domain.ids import id_floor
from monitor.domain.ports.repositories.event_outbox import StoredEvent

HEALTH_CHANGES = """
INSERT INTO health_changes (id, webhook_id, at, status, reason)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[])
"""

_decode = msgspec.msgpack.Decoder(DomainEvent).decode


async def append_events(connection: asyncpg.Connection, events: Sequence[StoredEvent]) -> None:
    """Store *events* in the transaction of *connection*; changes of health also for as long as attempts are kept."""
    await connection.execute(
        "INSERT INTO event_outbox (id, event) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
        [stored.id for stored in events],
        [msgspec.msgpack.encode(stored.event) for stored in events],
    )
    if changes := [(one.id, one.event) for one in events if isinstance(one.event, WebhookStatusChanged)]:
        await connection.execute(
            HEALTH_CHANGES,
            [id_ for id_, _ in changes],
            [change.webhook_id for _, change in changes],
            [change.at for _, change in changes],
            [change.status for _, change in changes],
            [change.reason for _, change in changes],
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
