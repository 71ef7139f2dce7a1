"""Who did what, and which calls were answered before."""

from __future__ import annotations

import hashlib
from typing import Any

import asyncpg

from monitor.adapters.postgres.codec import jsonb
from monitor.adapters.vault import KeyVault
from monitor.domain.clock import Clock
from monitor.domain.errors import IdempotencyMismatch
from monitor.domain.vocab import Actor

KEPT = "24 hours"


class PostgresIdempotencyStore:
    """See :class:`monitor.domain.ports.IdempotencyStore`. Answers are sealed, since one of them holds a secret."""

    def __init__(self, connection: asyncpg.Connection, vault: KeyVault) -> None:
        self._connection = connection
        self._vault = vault

    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        body_hash = hashlib.sha256(body).digest()
        # The insert waits for another transaction that holds the same key, so two calls never both do the work.
        claimed = await self._connection.fetchval(
            "INSERT INTO idempotency_keys AS k (scope, key, body_hash, created_at) VALUES ($1, $2, $3, now())"
            " ON CONFLICT (scope, key) DO UPDATE"
            " SET body_hash = excluded.body_hash, answer_sealed = NULL, created_at = excluded.created_at"
            f" WHERE k.created_at < now() - interval '{KEPT}' RETURNING 1",
            scope,
            key,
            body_hash,
        )
        if claimed:
            return None
        row = await self._connection.fetchrow(
            "SELECT body_hash, answer_sealed FROM idempotency_keys WHERE scope = $1 AND key = $2", scope, key
        )
        if row["body_hash"] != body_hash:
            raise IdempotencyMismatch(
                "This Idempotency-Key came with another body in the last 24 hours; use a new key for a new request."
            )
        return self._vault.open(row["answer_sealed"], context=_context(scope, key))

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        await self._connection.execute(
            "UPDATE idempotency_keys SET answer_sealed = $3 WHERE scope = $1 AND key = $2",
            scope,
            key,
            self._vault.seal(answer, context=_context(scope, key)),
        )


class PostgresAuditLog:
    """See :class:`monitor.domain.ports.AuditLog`."""

    def __init__(self, connection: asyncpg.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def add(
        self, actor: Actor, action: str, target: str, *, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        await self._connection.execute(
            "INSERT INTO audit_log (id, at, subject, role, request_id, action, target, before, after)"
            " VALUES ($1, now(), $2, $3, $4, $5, $6, $7, $8)",
            self._clock.new_id(),
            actor.subject,
            actor.role,
            actor.request_id,
            action,
            target,
            None if before is None else jsonb(before),
            None if after is None else jsonb(after),
        )


def _context(scope: str, key: str) -> str:
    return f"idempotency:{scope}:{key}"
