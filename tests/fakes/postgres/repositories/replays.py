"""``FakeReplayRepository``."""

from __future__ import annotations

from uuid import UUID

from monitor.domain.delivery.replay import Replay
from monitor.domain.errors import NotFound
from tests.fakes.postgres.database import Tables


class FakeReplayRepository:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, replay: Replay) -> None:
        self._tables.replays[replay.id] = replay

    async def get(self, replay_id: UUID) -> Replay:
        if replay_id not in self._tables.replays:
            raise NotFound("There is no replay with this id.")
        return self._tables.replays[replay_id]

    async def take(self) -> Replay | None:
        running = (replay for _, replay in sorted(self._tables.replays.items()) if replay.finished_at is None)
        return next(running, None)

    async def save(self, replay: Replay) -> None:
        self._tables.replays[replay.id] = replay
