"""Facts that are committed and may not have been heard: whoever recorded them may have died in between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.engine import Database
from monitor.domain.events import DomainEvent
from monitor.domain.ids import id_floor
from monitor.domain.ports.repositories.event_outbox import Fact

_decode = msgspec.msgpack.Decoder(DomainEvent).decode


async def note(connection: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Store *facts* in the transaction of *connection*."""
    await connection.execute(
        "INSERT INTO facts (id, fact) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
        [fact.id for fact in facts],
        [msgspec.msgpack.encode(fact.event) for fact in facts],
    )


class PostgresFactLog:
    """See :class:`monitor.domain.events.FactLog`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def forget(self, ids: Collection[UUID]) -> None:
        await self._db.fetch("DELETE FROM facts WHERE id = ANY($1)", list(ids))

    async def overdue(self, before: datetime, limit: int) -> list[Fact]:
        rows = await self._db.fetch(
            "SELECT id, fact FROM facts WHERE id < $1 ORDER BY id LIMIT $2", id_floor(before), limit
        )
        return [Fact(row["id"], _decode(row["fact"])) for row in rows]
