"""The queue of alert notifications on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from monitor.domain.alerts.notification import Announcement
from monitor.domain.ports.clock import Clock


class PostgresOutbox:
    """See :class:`monitor.domain.ports.repositories.notifications.Outbox`."""

    def __init__(self, connection: asyncpg.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        await self._connection.executemany(
            "INSERT INTO outbox (id, announcement) VALUES ($1, $2)",
            [(self._clock.new_id(), msgspec.msgpack.encode(announcement)) for announcement in announcements],
        )

    async def take(self, limit: int) -> list[Announcement]:
        rows = await self._connection.fetch(
            "WITH taken AS (DELETE FROM outbox WHERE id IN"
            " (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING *)"
            " SELECT announcement FROM taken ORDER BY id",
            limit,
        )
        return [msgspec.msgpack.decode(row["announcement"], type=Announcement) for row in rows]
