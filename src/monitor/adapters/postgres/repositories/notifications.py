"""The queue of alert notifications on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from monitor.domain.alerts.notification import AlertNotification
from monitor.domain.ports.clock import Clock

TAKE_LOCK = 0x6D6F6E05

# One process at a time until its commit, or a resolved alert could be sent before it was raised.
TAKE = """
WITH own AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($2) AS held), taken AS (
    DELETE FROM alert_notifications WHERE id IN (
        SELECT id FROM alert_notifications WHERE (SELECT held FROM own) ORDER BY id LIMIT $1 FOR UPDATE)
    RETURNING *)
SELECT notification FROM taken ORDER BY id
"""


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
        rows = await self._connection.fetch(TAKE, limit, TAKE_LOCK)
        return [msgspec.msgpack.decode(row["notification"], type=AlertNotification) for row in rows]
