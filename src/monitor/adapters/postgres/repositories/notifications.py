"""The queue of alert notifications on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import RowReader
from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.ports.clock import Clock

TAKE_LOCK = 0x6D6F6E05


class PostgresAlertNotificationQueue:
    """See :class:`monitor.domain.ports.repositories.notifications.AlertNotificationQueue`."""

    def __init__(self, connection: asyncpg.Connection, clock: Clock, rows: RowReader) -> None:
        self._connection = connection
        self._clock = clock
        self._rows = rows

    async def add(self, notifications: Sequence[AlertNotification]) -> None:
        await self._connection.executemany(
            "INSERT INTO alert_notifications (id, notification) VALUES ($1, $2)",
            [(self._clock.new_id(), msgspec.msgpack.encode(notification)) for notification in notifications],
        )

    async def take(self, limit: int) -> list[AlertNotification]:
        # One process at a time until its commit, or a resolved alert could be sent before it was raised.
        if not await self._connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", TAKE_LOCK):
            return []

        async def fetch(skipped: list[UUID]) -> list[asyncpg.Record]:
            found: list[asyncpg.Record] = await self._connection.fetch(
                "SELECT id, notification FROM alert_notifications WHERE id <> ALL($2::uuid[])"
                " ORDER BY id LIMIT $1 FOR UPDATE",
                limit,
                skipped,
            )
            return found

        taken = await self._rows.page(fetch, _notification, "alert_notifications", limit)
        if taken:
            await self._connection.execute("DELETE FROM alert_notifications WHERE id = ANY($1)", list(taken))
        return list(taken.values())


def _notification(row: asyncpg.Record) -> AlertNotification:
    return msgspec.msgpack.decode(row["notification"], type=AlertNotification)
