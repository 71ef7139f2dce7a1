"""``IdempotencyStore`` on PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from monitor.adapters.secret_box import SecretBox, SecretBoxError
from monitor.domain.errors import IdempotencyMismatch, UnreadableRow
from monitor.domain.ports.repositories.idempotency import KeyedCall

KEPT = "24 hours"

# The insert waits for another transaction that holds the same key, so only one of two calls does the work. In the order
# of the keys, so that two transactions with several keys do not wait for each other.
_BEGIN = f"""
INSERT INTO idempotency_keys AS k (scope, key, body_hash, created_at)
SELECT scope, key, body_hash, now() FROM unnest($1::text[], $2::text[], $3::bytea[]) AS c (scope, key, body_hash)
ORDER BY scope, key
ON CONFLICT (scope, key) DO UPDATE
SET body_hash = excluded.body_hash, answer_sealed = NULL, created_at = excluded.created_at
WHERE k.created_at < now() - interval '{KEPT}' RETURNING scope, key
"""

_STORED = """
SELECT k.scope, k.key, k.body_hash, k.answer_sealed
FROM unnest($1::text[], $2::text[]) AS c (scope, key)
JOIN idempotency_keys k ON k.scope = c.scope AND k.key = c.key
"""

_FINISH = """
UPDATE idempotency_keys k SET answer_sealed = c.answer_sealed
FROM unnest($1::text[], $2::text[], $3::bytea[]) AS c (scope, key, answer_sealed)
WHERE k.scope = c.scope AND k.key = c.key
"""

Begun = bytes | IdempotencyMismatch | UnreadableRow | None


class PostgresIdempotencyStore:
    """Responses are encrypted: that of a created webhook holds its secret."""

    def __init__(self, connection: asyncpg.Connection, secret_box: SecretBox) -> None:
        self._connection = connection
        self._secret_box = secret_box

    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        (begun,) = await self.begin_all([KeyedCall(scope, key, body)])
        if isinstance(begun, Exception):
            raise begun
        return begun

    async def begin_all(self, calls: Sequence[KeyedCall]) -> list[Begun]:
        hashes = {(call.scope, call.key): hashlib.sha256(call.body).digest() for call in calls}
        claimed = await self._connection.fetch(_BEGIN, *_columns(hashes), list(hashes.values()))
        begun: dict[tuple[str, str], Begun] = {(row["scope"], row["key"]): None for row in claimed}
        others = [call for call in hashes if call not in begun]
        if others:
            for row in await self._connection.fetch(_STORED, *_columns(others)):
                call = (row["scope"], row["key"])
                begun[call] = self._response(*call, row) if row["body_hash"] == hashes[call] else _mismatch()
        return [begun[call] for call in hashes]

    def _response(self, scope: str, key: str, row: asyncpg.Record) -> bytes | UnreadableRow:
        try:
            return self._secret_box.open(row["answer_sealed"] or b"", context=answer_context(scope, key))
        except SecretBoxError as error:
            return UnreadableRow(
                "The first call with this Idempotency-Key was made, but its response cannot be opened here:"
                f" {error}. Read what it made before you repeat it with another key."
            )

    async def finish(self, scope: str, key: str, answer: bytes) -> None:
        await self.finish_all({(scope, key): answer})

    async def finish_all(self, answers: Mapping[tuple[str, str], bytes]) -> None:
        sealed = [self._secret_box.seal(answer, context=answer_context(*call)) for call, answer in answers.items()]
        await self._connection.execute(_FINISH, *_columns(answers), sealed)


def _columns(calls: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    pairs = list(calls)
    return [scope for scope, _ in pairs], [key for _, key in pairs]


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch(
        "This Idempotency-Key came with another body in the last 24 hours; use a new key for a new request."
    )


def answer_context(scope: str, key: str) -> str:
    """Bind a sealed response to the call that it answers."""
    return f"idempotency:{scope}:{key}"
