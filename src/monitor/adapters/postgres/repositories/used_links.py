"""``UsedLinkStore`` on PostgreSQL."""

from __future__ import annotations

import asyncpg

from monitor.adapters.postgres.codec import from_row
from monitor.domain.ports.repositories.used_links import UsedLink

GET = "SELECT digest, used_at, used_by, expires_at FROM used_links WHERE digest = $1"

ADD = "INSERT INTO used_links (digest, used_at, used_by, expires_at) VALUES ($1, $2, $3, $4)"


class PostgresUsedLinkStore:
    """See :class:`monitor.domain.ports.repositories.used_links.UsedLinkStore`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def get(self, digest: bytes) -> UsedLink | None:
        row = await self._connection.fetchrow(GET, digest)
        return None if row is None else from_row(row, UsedLink)

    async def add(self, link: UsedLink) -> None:
        await self._connection.execute(ADD, link.digest, link.used_at, link.used_by, link.expires_at)
