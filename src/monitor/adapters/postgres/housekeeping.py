"""What keeps the tables small. Any number of processes may run it; each step is safe to repeat."""

from __future__ import annotations

from monitor.adapters.postgres.engine import Database, translating
from monitor.adapters.postgres.partitions import Retention, maintain

PURGES = (
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '25 hours'",
    "DELETE FROM revoked_tokens WHERE expires_at < now()",
    "DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'",
)


class PostgresHousekeeping:
    """Partitions and purges."""

    def __init__(self, database: Database, retention: Retention, audit_d: int) -> None:
        self._database = database
        self._retention = retention
        self._audit_d = audit_d

    async def maintain_partitions(self) -> None:
        """Make the partitions of the coming days, drop those past retention. Raises ``Unavailable``."""
        connection = await self._database.connect()
        try:
            with translating():
                await maintain(connection, self._retention)
        finally:
            connection.terminate()

    async def purge(self) -> None:
        """Delete what has expired. Raises ``Unavailable``."""
        for statement in PURGES:
            await self._database.fetch(statement)
        await self._database.fetch("DELETE FROM audit_log WHERE at < now() - make_interval(days => $1)", self._audit_d)
