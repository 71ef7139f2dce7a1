"""Revocation of a token. Apart from `token`, which needs no database to make one."""

from __future__ import annotations

import asyncio

from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.cli.doors import database_errors


def revoke(dsn: str, jti: str, keep_s: float) -> None:
    """Refuse *jti* for *keep_s*. Safe to repeat. Raises :class:`CommandError` if the database refuses or is away."""
    with database_errors(dsn):
        asyncio.run(_insert(dsn, jti, keep_s))


async def _insert(dsn: str, jti: str, keep_s: float) -> None:
    async with Database(DatabaseConfig(dsn=dsn)) as database:
        await database.fetch(
            "INSERT INTO revoked_tokens (jti, revoked_at, expires_at)"
            " VALUES ($1, now(), now() + make_interval(secs => $2)) ON CONFLICT (jti) DO NOTHING",
            jti,
            keep_s,
        )
