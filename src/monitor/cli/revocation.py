"""Revocation of a token. Apart from `token`, which needs no database to make one."""

from __future__ import annotations

import asyncio

from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.cli.common import CommandError
from monitor.domain.errors import Unavailable


def revoke(dsn: str, jti: str, keep_s: float) -> None:
    """Refuse *jti* for *keep_s*. Safe to repeat. Raises :class:`CommandError` if the database does not answer."""
    try:
        asyncio.run(_insert(dsn, jti, keep_s))
    except Unavailable as error:
        raise CommandError(error.detail) from None


async def _insert(dsn: str, jti: str, keep_s: float) -> None:
    async with Database(DatabaseConfig(dsn=dsn)) as database:
        await database.fetch(
            "INSERT INTO revoked_tokens (jti, revoked_at, expires_at)"
            " VALUES ($1, now(), now() + make_interval(secs => $2)) ON CONFLICT (jti) DO NOTHING",
            jti,
            keep_s,
        )
