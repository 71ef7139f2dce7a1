"""What keeps the tables small. Any number of processes may run it; each step is safe to repeat."""

from __future__ import annotations

import asyncpg
import structlog

from monitor.adapters.postgres.engine import Database, translating
from monitor.adapters.postgres.maintenance.partitions import Retention, maintain
from monitor.adapters.postgres.repositories.webhooks import headers_context, secret_context
from monitor.adapters.secret_box import SecretBox, SecretBoxError

log = structlog.get_logger(__name__)

RESEAL_BATCH = 500

PURGES = (
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '25 hours'",
    "DELETE FROM revoked_tokens WHERE expires_at < now()",
    "DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'",
)


AUDITED = "DELETE FROM audit_log WHERE at < now() - make_interval(days => $1)"

AGED = (
    # With its history.
    "DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < now() - make_interval(days => $1)",
    "DELETE FROM anomalies WHERE closed_at < now() - make_interval(days => $1)",
    "DELETE FROM silences WHERE ends_at < now() - make_interval(days => $1)",
    "DELETE FROM replays WHERE finished_at < now() - make_interval(days => $1)",
)
"""What people may look up for long, and not for ever."""


class PostgresHousekeeping:
    """Partitions, purges and the last step of a key rotation."""

    def __init__(
        self, database: Database, vault: SecretBox, retention: Retention, *, audit_d: int, alerts_d: int
    ) -> None:
        self._vault = vault
        self._database = database
        self._retention = retention
        self._audit_d = audit_d
        self._alerts_d = alerts_d

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
        await self._database.fetch(AUDITED, self._audit_d)
        for statement in AGED:
            await self._database.fetch(statement, self._alerts_d)

    async def reseal(self) -> None:
        """Seal with the newest key what an older one sealed, so that the older one can be retired.

        Raises ``Unavailable``. A value that does not open is logged and left alone.
        """
        old = "substring({0} from 1 for length($1::bytea)) <> $1 ORDER BY id LIMIT " + str(RESEAL_BATCH)
        for row in await self._database.fetch(
            f"SELECT id, webhook_id, sealed FROM webhook_secrets WHERE {old.format('sealed')}", self._vault.current_head
        ):
            context = secret_context(row["id"], row["webhook_id"])
            await self._replace("UPDATE webhook_secrets SET sealed = $3 WHERE id = $1 AND sealed = $2", row, context)
        for row in await self._database.fetch(
            "SELECT id, headers_sealed AS sealed FROM webhooks"
            f" WHERE headers_sealed IS NOT NULL AND {old.format('headers_sealed')}",
            self._vault.current_head,
        ):
            statement = "UPDATE webhooks SET headers_sealed = $3 WHERE id = $1 AND headers_sealed = $2"
            await self._replace(statement, row, headers_context(row["id"]))

    async def _replace(self, statement: str, row: asyncpg.Record, context: str) -> None:
        try:
            sealed = self._vault.reseal(row["sealed"], context=context)
        except SecretBoxError as error:
            log.error("reseal_failed", context=context, error=str(error))  # noqa: TRY400 - the text says all
            return
        await self._database.fetch(statement, row["id"], row["sealed"], sealed)
