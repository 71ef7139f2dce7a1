"""Deletion of what is past retention, and the last step of a key rotation. Any number of processes may run it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.claims import advance_all_lines
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.maintenance.partitions import OWNS_TABLES, Retention, maintain, missing
from monitor.adapters.postgres.repositories.webhooks import Secrets, Webhooks, headers_context, secret_context
from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.ids import id_floor

log = structlog.get_logger(__name__)

RESEAL_BATCH = 500

CHUNK = 1_000
CHUNKS_PER_RUN = 100
"""Rows that one statement deletes, far below the statement timeout, and statements of one run."""

OVERDUE_D = 7
"""Days after which a queued notification or domain event that no version could read is given up."""

MAY_PURGE_AUDIT_LOG = "SELECT has_table_privilege('audit_log', 'DELETE') AS allowed, now() AS now"

_SEALED_BEFORE = """
SELECT id FROM {table} WHERE id > $2 AND substring({column} FROM 1 FOR length($1::bytea)) <> $1 ORDER BY id LIMIT $3
"""


class PostgresHousekeeping:
    """Partitions, purges and resealing; each step is safe to repeat and raises ``Unavailable``."""

    def __init__(
        self, database: Database, secret_box: SecretBox, retention: Retention, *, audit_d: int, alerts_d: int
    ) -> None:
        """*audit_d* and *alerts_d* are days: for audit rows, and for alerts, anomalies, silences and jobs."""
        self._secret_box = secret_box
        self._database = database
        self._retention = retention
        self._audit_d = audit_d
        self._alerts_d = alerts_d

    async def maintain_partitions(self) -> bool:
        """
        Make the partitions of the coming days, drop those past retention.

        Returns:
            ``False`` if the role does not own the tables. Then `monitor maintain`, as the owner, is the one to do it,
            and a warning says which partitions it has not made.
        """
        connection = await self._database.connect()
        try:
            with self._database.translating():
                owns: bool = await connection.fetchval(OWNS_TABLES)
                if owns:
                    await maintain(connection, self._retention)
                elif names := await missing(connection, self._retention):
                    log.warning("partitions_missing", partitions=names)
        finally:
            connection.terminate()
        return owns

    async def purge(self) -> None:
        """Delete what has expired, chunk by chunk; what one run does not reach is left to the next."""
        now = (await self._database.fetch("SELECT now() AS at"))[0]["at"]
        aged_at = now - timedelta(days=self._alerts_d)
        overdue = id_floor(now - timedelta(days=OVERDUE_D))
        await self._delete("idempotency_keys", "created_at < $1", now - timedelta(hours=25))
        await self._delete("revoked_tokens", "expires_at < $1", now)
        await self._delete("webhook_secrets", "expires_at < $1", now - timedelta(hours=1))
        await self.purge_audit_log()
        await self._delete_alerts(aged_at)
        await self._delete("anomalies", "closed_at < $1", aged_at)
        await self._delete("silences", "ends_at < $1", aged_at)
        await self._delete("jobs", "finished_at < $1", aged_at)
        await self._delete("alert_notifications", "id < $1", overdue)
        await self._delete("event_outbox", "id < $1", overdue)

    async def purge_audit_log(self) -> None:
        """Delete audit rows past retention, unless the role may only add rows; see :meth:`maintain_partitions`."""
        (row,) = await self._database.fetch(MAY_PURGE_AUDIT_LOG)
        if row["allowed"]:
            await self._delete("audit_log", "at < $1", row["now"] - timedelta(days=self._audit_d))

    async def advance_lines(self) -> None:
        """Let claims look at heads that an older version left marked as behind another."""
        await advance_all_lines(self._database, CHUNK)

    async def _delete(self, table: str, condition: str, before: object) -> None:
        """Delete the rows of *table* under *condition*, whose ``$1`` is *before*."""
        for _ in range(CHUNKS_PER_RUN):
            if await self._delete_chunk(table, condition, before) < CHUNK:
                break

    async def _delete_alerts(self, before: object) -> None:
        """Delete the alerts that were resolved *before*; the history of a chunk of them first, chunk by chunk."""
        aged = f"SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < $1 ORDER BY resolved_at LIMIT {CHUNK}"
        for _ in range(CHUNKS_PER_RUN):
            if await self._delete_chunk("alert_history", f"alert_id = ANY(ARRAY({aged}))", before) == CHUNK:
                continue
            if await self._delete_chunk("alerts", f"id = ANY(ARRAY({aged}))", before) < CHUNK:
                break

    async def _delete_chunk(self, table: str, condition: str, before: object) -> int:
        chunk = f"SELECT ctid FROM {table} WHERE {condition} LIMIT {CHUNK}"
        gone = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({chunk})) RETURNING 1"
        (row,) = await self._database.fetch(f"WITH gone AS ({gone}) SELECT count(*) AS n FROM gone", before)
        count: int = row["n"]
        return count

    async def reseal(self) -> None:
        """
        Seal with the newest key what an older one sealed, so that the older one can be retired.

        A value that does not open is logged and left alone.
        """
        async for id_ in self._sealed_before("webhook_secrets", "sealed"):
            async with self._transaction() as session:
                secrets = Secrets(session=session, wrap_exceptions=False)
                if secret := await secrets.get_one_or_none(id=id_, with_for_update=True):
                    secret.sealed = self._resealed(secret.sealed, secret_context(secret.id, secret.webhook_id))
        async for id_ in self._sealed_before("webhooks", "headers_sealed"):
            async with self._transaction() as session:
                webhooks = Webhooks(session=session, wrap_exceptions=False)
                webhook = await webhooks.get_one_or_none(id=id_, with_for_update=True)
                if webhook is not None and webhook.headers_sealed is not None:
                    webhook.headers_sealed = self._resealed(webhook.headers_sealed, headers_context(webhook.id))

    async def _sealed_before(self, table: str, column: str) -> AsyncIterator[UUID]:
        """Yield the ids of values that an older key sealed, each once: those that do not open hide no others."""
        sql, after = _SEALED_BEFORE.format(table=table, column=column), UUID(int=0)
        while rows := await self._database.fetch(sql, self._secret_box.current_head, after, RESEAL_BATCH):
            for row in rows:
                after = row["id"]
                yield after

    def _resealed(self, sealed: bytes, context: str) -> bytes:
        try:
            return self._secret_box.reseal(sealed, context=context)
        except SecretBoxError as error:
            log.error("reseal_failed", context=context, error=str(error))  # noqa: TRY400 - the text says all
            return sealed

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        with self._database.translating():
            async with AsyncSession(self._database.engine) as session, session.begin():
                yield session
