"""Deletion of what is past retention, and the last step of a key rotation. Any number of processes may run it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.claims import advance_all_lines
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.maintenance.partitions import OWNS_TABLES, Retention, maintain, missing
from monitor.adapters.postgres.repositories.idempotency import answer_context
from monitor.adapters.postgres.repositories.webhooks import Secrets, Webhooks, headers_context, secret_context
from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.ids import id_floor
from monitor.domain.monitoring.uptime import DAYS

log = structlog.get_logger(__name__)

RESEAL_BATCH = 500

ANSWERS_LOOK = 10_000
ANSWERS_PER_RUN = 1_000_000
"""Responses for repeated calls that one statement looks at, and one run: a service may store millions a day."""

ANSWERS_BATCH = 100
"""Responses that one statement reads for sealing again: each may have 100 KB."""

CHUNK = 1_000
CHUNKS_PER_RUN = 100
"""Rows that one statement deletes, far below the statement timeout, and statements of one run."""

OVERDUE_D = 7
"""Days after which a queued notification or domain event that no version could read is given up."""

MAY_PURGE_AUDIT_LOG = "SELECT has_table_privilege('audit_log', 'DELETE') AS allowed, now() AS now"

_SEALED_BEFORE = """
SELECT id FROM {table} WHERE id > $2 AND substring({column} FROM 1 FOR length($1::bytea)) <> $1 ORDER BY id LIMIT $3
"""


# The position of the last row comes too, so that the next look begins behind it.
_ANSWERS_SEALED_BEFORE = """
SELECT scope, key, older FROM (
    SELECT scope, key, older, lead(key) OVER (ORDER BY scope, key) IS NULL AS last FROM (
        SELECT scope, key, coalesce(substring(answer_sealed FROM 1 FOR length($1::bytea)) <> $1, false) AS older
        FROM idempotency_keys WHERE (scope, key) > ($2, $3) ORDER BY scope, key LIMIT $4
    ) AS looked_at
) AS found WHERE older OR last ORDER BY scope, key
"""

_ANSWERS = """
SELECT scope, key, answer_sealed FROM idempotency_keys
WHERE (scope, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND answer_sealed IS NOT NULL
"""

# One that was replaced meanwhile, since its key ran out and was used again, is sealed by the newest key already.
_RESEAL_ANSWERS = """
UPDATE idempotency_keys AS k SET answer_sealed = r.sealed
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS r (scope, key, old, sealed)
WHERE k.scope = r.scope AND k.key = r.key AND k.answer_sealed = r.old
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
        self._answers_after = ("", "")
        """Where the next run looks for responses to seal again, if the last one did not reach the end."""

    async def maintain_partitions(self) -> bool:
        """
        Make the partitions of the coming days, drop those past retention.

        Returns:
            ``False`` if the role does not own the tables. Then `monitor maintain`, as the owner, is the one to do it,
            and a warning names the partitions that were not made.
        """
        connection = await self._database.connect()
        try:
            with self._database.translating():
                owns: bool = await connection.fetchval(OWNS_TABLES)
                if owns:
                    await maintain(connection, self._retention)
                names = [] if owns else await missing(connection, self._retention)
                self._database.partitions_missing = len(names)
                if names:
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
        await self._delete("used_links", "expires_at < $1", now)
        await self._delete("webhook_secrets", "expires_at < $1", now - timedelta(hours=1))
        await self.purge_audit_log()
        await self._delete_alerts(aged_at)
        await self._delete("anomalies", "closed_at < $1", aged_at)
        await self._delete("health_changes", "at < $1", now - timedelta(days=self._retention.attempts_d))
        await self._delete("silences", "ends_at < $1", aged_at)
        await self._delete("silenced_hours", "bucket_at < $1", now - timedelta(days=DAYS + 1))
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
        """Delete the rows of *table* under *condition*, where ``$1`` is *before*."""
        for _ in range(CHUNKS_PER_RUN):
            if await self._delete_chunk(table, condition, before) < CHUNK:
                break

    async def _delete_alerts(self, before: object) -> None:
        """Delete the alerts that were resolved *before*, once no notification is pending; the history of a chunk first,
        chunk by chunk."""
        aged = (
            "SELECT id FROM alerts WHERE state = 'resolved' AND resolved_at < $1 AND NOT pending_notification"
            f" ORDER BY resolved_at LIMIT {CHUNK}"
        )
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
        await self._reseal_answers()

    async def _reseal_answers(self) -> None:
        """Seal the responses for repeated calls again, from where the last run ended."""
        head, unopened = self._secret_box.current_head, 0
        for _ in range(ANSWERS_PER_RUN // ANSWERS_LOOK):
            rows = await self._database.fetch(_ANSWERS_SEALED_BEFORE, head, *self._answers_after, ANSWERS_LOOK)
            older = [(row["scope"], row["key"]) for row in rows if row["older"]]
            for first in range(0, len(older), ANSWERS_BATCH):
                unopened += await self._reseal_batch(older[first : first + ANSWERS_BATCH])
            if not rows:
                self._answers_after = ("", "")
                break
            self._answers_after = rows[-1]["scope"], rows[-1]["key"]
        if unopened:
            # One line for all: these may be millions, and their day ends soon.
            log.error("reseal_failed", context="idempotency", rows=unopened)

    async def _reseal_batch(self, keys: Sequence[tuple[str, str]]) -> int:
        """Seal the responses of *keys* again; return how many do not open."""
        rows = await self._database.fetch(_ANSWERS, [scope for scope, _ in keys], [key for _, key in keys])
        changes, unopened = [], 0
        for scope, key, sealed in rows:
            try:
                resealed = self._secret_box.reseal(sealed, context=answer_context(scope, key))
            except SecretBoxError:
                unopened += 1
            else:
                changes.append((scope, key, sealed, resealed))
        if changes:
            await self._database.fetch(_RESEAL_ANSWERS, *map(list, zip(*changes, strict=True)))
        return unopened

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
            log.error("reseal_failed", context=context, error=str(error))  # noqa: TRY400 - the text is enough
            return sealed

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        with self._database.translating():
            async with AsyncSession(self._database.engine) as session, session.begin():
                yield session
