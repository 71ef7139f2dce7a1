"""``SilenceRepository`` on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import msgspec

from monitor.domain.alerts.silences import Silence
from monitor.domain.errors import NotFound

NO_SILENCE = "There is no silence with this id."


class PostgresSilenceRepository:
    """See :class:`monitor.domain.ports.repositories.silences.SilenceRepository`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def active(self) -> list[Silence]:
        rows = await self._connection.fetch("SELECT * FROM silences WHERE ends_at > now()")
        return [_silence(row) for row in rows]

    async def add(self, silence: Silence) -> None:
        await self._connection.execute(
            "INSERT INTO silences (id, created_by, created_at, reason, ends_at, webhook_id, label, kind)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            *msgspec.structs.astuple(silence),
        )

    async def end(self, silence_id: UUID) -> bool:
        row = await self._connection.fetchrow(
            "UPDATE silences s SET ends_at = least(s.ends_at, now()) FROM silences old"
            " WHERE s.id = $1 AND old.id = s.id RETURNING old.ends_at > now() AS was_active",
            silence_id,
        )
        if row is None:
            raise NotFound(NO_SILENCE)
        was_active: bool = row["was_active"]
        return was_active


def _silence(row: asyncpg.Record) -> Silence:
    return msgspec.convert(dict(row.items()), Silence)
