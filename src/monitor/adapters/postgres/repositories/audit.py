"""``AuditLog`` on PostgreSQL."""

from __future__ import annotations

from typing import Any

import asyncpg

from monitor.adapters.postgres.codec import jsonb
from monitor.domain.ports.clock import Clock
from monitor.domain.vocab import Actor


class PostgresAuditLog:
    """See :class:`monitor.domain.ports.repositories.audit.AuditLog`."""

    def __init__(self, connection: asyncpg.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def add(
        self, actor: Actor, action: str, target: str, *, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        await self._connection.execute(
            "INSERT INTO audit_log (id, at, subject, role, request_id, client, action, target, before, after)"
            " VALUES ($1, now(), $2, $3, $4, $5, $6, $7, $8, $9)",
            self._clock.new_id(),
            actor.subject,
            actor.role,
            actor.request_id,
            actor.client,
            action,
            target,
            None if before is None else jsonb(before),
            None if after is None else jsonb(after),
        )
