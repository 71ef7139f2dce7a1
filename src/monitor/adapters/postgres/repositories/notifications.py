"""The queue of alert notifications on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.ports.clock import Clock


class PostgresAlertNotificationQueue:
    """See :class:`monitor.domain.ports.repositories.notifications.AlertNotificationQueue`."""

    def __init__(self, connection: asyncpg.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def add(self, notifications: Sequence[AlertNotification]) -> None:
        await self._connection.executemany(
            "INSERT INTO alert_notifications (id, notification) VALUES ($1, $2)",
            [(self._clock.new_id(), msgspec.msgpack.encode(notification)) for notification in notifications],
        )

    async def take(self, limit: int) -> list[AlertNotification]:
        rows = await self._connection.fetch(
            "WITH taken AS (DELETE FROM alert_notifications WHERE id IN"
            " (SELECT id FROM alert_notifications ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING *)"
            " SELECT notification FROM taken ORDER BY id",
            limit,
        )
        return [msgspec.msgpack.decode(row["notification"], type=AlertNotification) for row in rows]
