"""``IdempotencyStore`` on PostgreSQL."""

from __future__ import annotations

import hashlib

import asyncpg

from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.errors import IdempotencyMismatch, UnreadableRow

KEPT = "24 hours"


class PostgresIdempotencyStore:
    """Responses are encrypted: that of a created webhook holds its secret."""

    def __init__(self, connection: asyncpg.Connection, secret_box: SecretBox) -> None:
        self._connection = connection
        self._secret_box = secret_box

    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        body_hash = hashlib.sha256(body).digest()
        # The insert waits for another transaction that holds the same key, so only one of two calls does the work.
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
        try:
            return self._secret_box.open(row["answer_sealed"] or b"", context=answer_context(scope, key))
        except SecretBoxError as error:
            raise UnreadableRow(
                "The first call with this Idempotency-Key was made, but its response cannot be opened here:"
                f" {error}. Read what it made before you repeat it with another key."
            ) from None

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        await self._connection.execute(
            "UPDATE idempotency_keys SET answer_sealed = $3 WHERE scope = $1 AND key = $2",
            scope,
            key,
            self._secret_box.seal(answer, context=answer_context(scope, key)),
        )


def answer_context(scope: str, key: str) -> str:
    """Bind a sealed response to the call that it answers."""
    return f"idempotency:{scope}:{key}"
