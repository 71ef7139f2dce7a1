"""Replays: their progress, and the rows that they bring back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from monitor.adapters.postgres.codec import from_row
from monitor.adapters.postgres.repositories.events import wake
from monitor.domain.delivery.replay import COUNTED_MAX, Replay
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.vocab import DeliveryState

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Replay))

INSERT = f"""
INSERT INTO replays ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${i}" for i in range(1, len(COLUMNS) + 1))})
"""

COUNT = f"""
SELECT count(*) FROM (
    SELECT FROM deliveries_finished
    WHERE webhook_id = $1 AND id >= $2 AND id < $3 AND state = ANY($4) LIMIT {COUNTED_MAX}
) AS found
"""

# The lane is locked, so that nothing is claimed while its deliveries come back.
REQUEUE = """
WITH chosen AS MATERIALIZED (
    SELECT f.id, row_number() OVER (ORDER BY f.id) - 1 AS position FROM (
        SELECT id FROM deliveries_finished
        WHERE webhook_id = $1 AND id >= $2 AND id < $3 AND state = ANY($4) AND ($5::uuid IS NULL OR id > $5)
        ORDER BY id LIMIT $6 FOR UPDATE
    ) AS f
), back AS (
    DELETE FROM deliveries_finished d USING chosen WHERE d.id = chosen.id AND d.webhook_id = $1
    RETURNING d.*, chosen.position
), queued AS (
    INSERT INTO deliveries (id, event_id, webhook_id, due_at, fencing_token, attempts, last_status_code, last_error)
    SELECT id, event_id, webhook_id, now() + make_interval(secs => $8 + position / $7::float8), fencing_token, attempts,
           last_status_code, last_error
    FROM back
    RETURNING id
)
SELECT count(*) AS moved, (SELECT id FROM queued ORDER BY id DESC LIMIT 1) AS last FROM queued
"""


class PostgresReplayRepository:
    """See :class:`monitor.domain.ports.repositories.replays.ReplayRepository`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def count(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> int:
        found: int = await self._connection.fetchval(
            COUNT, webhook_id, id_floor(from_at), id_floor(to_at), list(states)
        )
        return found

    async def add(self, replay: Replay) -> None:
        await self._connection.execute(INSERT, *(getattr(replay, name) for name in COLUMNS))

    async def get(self, replay_id: UUID) -> Replay:
        row = await self._connection.fetchrow("SELECT * FROM replays WHERE id = $1", replay_id)
        if row is None:
            raise NotFound("There is no replay with this id.")
        return from_row(row, Replay)

    async def take(self) -> Replay | None:
        row = await self._connection.fetchrow(
            "SELECT * FROM replays WHERE finished_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        return None if row is None else from_row(row, Replay)

    async def save(self, replay: Replay) -> None:
        await self._connection.execute(
            "UPDATE replays SET queued = $2, cursor = $3, finished_at = $4 WHERE id = $1",
            replay.id,
            replay.queued,
            replay.cursor,
            replay.finished_at,
        )

    async def requeue(self, replay: Replay, *, limit: int, per_s: float, after_s: float) -> tuple[int, UUID | None]:
        await self._connection.execute(
            "SELECT 1 FROM webhook_lanes WHERE webhook_id = $1 FOR UPDATE", replay.webhook_id
        )
        alive = await self._connection.fetchval(
            "SELECT 1 FROM webhooks WHERE id = $1 AND deleted_at IS NULL", replay.webhook_id
        )
        if alive is None:
            return 0, None
        row = await self._connection.fetchrow(
            REQUEUE,
            replay.webhook_id,
            id_floor(replay.from_at),
            id_floor(replay.to_at),
            list(replay.states),
            replay.cursor,
            limit,
            per_s,
            after_s,
        )
        await wake(self._connection, [replay.webhook_id])
        return row["moved"], row["last"]
