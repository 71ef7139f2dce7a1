"""``RevocationStore`` on PostgreSQL."""

from __future__ import annotations

import asyncpg

from monitor.adapters.postgres.codec import from_row
from monitor.domain.views.tokens import Revocation

# One that has run out is taken for none: another token of that name may have been issued since.
_ADD = """
INSERT INTO revoked_tokens AS r (jti, revoked_at, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (jti) DO UPDATE SET revoked_at = excluded.revoked_at, expires_at = excluded.expires_at
WHERE r.expires_at <= excluded.revoked_at
"""


class PostgresRevocationStore:
    """See :class:`monitor.domain.ports.repositories.revocations.RevocationStore`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, revocation: Revocation) -> Revocation:
        await self._connection.execute(_ADD, revocation.jti, revocation.revoked_at, revocation.expires_at)
        row = await self._connection.fetchrow(
            "SELECT jti, revoked_at, expires_at FROM revoked_tokens WHERE jti = $1", revocation.jti
        )
        return from_row(row, Revocation)
