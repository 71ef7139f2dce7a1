"""Deletion of what is past retention, and the last step of a key rotation. Any number of processes may run it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.maintenance.partitions import Retention, maintain
from monitor.adapters.postgres.repositories.replays import Replays
from monitor.adapters.postgres.repositories.silences import Silences
from monitor.adapters.postgres.repositories.webhooks import Secrets, Webhooks, headers_context, secret_context
from monitor.adapters.postgres.tables import ReplayRow, SecretRow, SilenceRow
from monitor.adapters.secret_box import SecretBox, SecretBoxError

log = structlog.get_logger(__name__)

RESEAL_BATCH = 500

PURGES = (
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '25 hours'",
    "DELETE FROM revoked_tokens WHERE expires_at < now()",
)

AUDITED = "DELETE FROM audit_log WHERE at < now() - make_interval(days => $1)"

AGED = (
    # With its history.
    "DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < now() - make_interval(days => $1)",
    "DELETE FROM anomalies WHERE closed_at < now() - make_interval(days => $1)",
)

_SEALED_BEFORE = "substring({0} from 1 for length($1::bytea)) <> $1 ORDER BY id LIMIT " + str(RESEAL_BATCH)


class PostgresHousekeeping:
    """Partitions, purges and resealing; each step is safe to repeat and raises ``Unavailable``."""

    def __init__(
        self, database: Database, secret_box: SecretBox, retention: Retention, *, audit_d: int, alerts_d: int
    ) -> None:
        """*audit_d* and *alerts_d* are days: for audit rows, and for alerts, anomalies, silences and replays."""
        self._secret_box = secret_box
        self._database = database
        self._retention = retention
        self._audit_d = audit_d
        self._alerts_d = alerts_d

    async def maintain_partitions(self) -> None:
        """Make the partitions of the coming days, drop those past retention."""
        connection = await self._database.connect()
        try:
            with self._database.translating():
                await maintain(connection, self._retention)
        finally:
            connection.terminate()

    async def purge(self) -> None:
        """Delete what has expired."""
        for statement in PURGES:
            await self._database.fetch(statement)
        await self._database.fetch(AUDITED, self._audit_d)
        for statement in AGED:
            await self._database.fetch(statement, self._alerts_d)
        aged_at = sa.func.now() - timedelta(days=self._alerts_d)
        async with self._transaction() as session:
            expired_at = sa.func.now() - timedelta(hours=1)
            await Secrets(session=session, wrap_exceptions=False).delete_where(SecretRow.expires_at < expired_at)
            await Silences(session=session, wrap_exceptions=False).delete_where(SilenceRow.ends_at < aged_at)
            await Replays(session=session, wrap_exceptions=False).delete_where(ReplayRow.finished_at < aged_at)

    async def reseal(self) -> None:
        """
        Seal with the newest key what an older one sealed, so that the older one can be retired.

        A value that does not open is logged and left alone.
        """
        head = self._secret_box.current_head
        where = _SEALED_BEFORE.format("sealed")
        for row in await self._database.fetch(f"SELECT id FROM webhook_secrets WHERE {where}", head):
            async with self._transaction() as session:
                secrets = Secrets(session=session, wrap_exceptions=False)
                if secret := await secrets.get_one_or_none(id=row["id"], with_for_update=True):
                    secret.sealed = self._resealed(secret.sealed, secret_context(secret.id, secret.webhook_id))
        where = _SEALED_BEFORE.format("headers_sealed")
        for row in await self._database.fetch(f"SELECT id FROM webhooks WHERE {where}", head):
            async with self._transaction() as session:
                webhooks = Webhooks(session=session, wrap_exceptions=False)
                webhook = await webhooks.get_one_or_none(id=row["id"], with_for_update=True)
                if webhook is not None and webhook.headers_sealed is not None:
                    webhook.headers_sealed = self._resealed(webhook.headers_sealed, headers_context(webhook.id))

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
