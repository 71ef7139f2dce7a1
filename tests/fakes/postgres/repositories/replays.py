"""``FakeReplayRepository``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from monitor.domain.delivery.replay import Replay
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.vocab import DeliveryState
from tests.fakes.postgres.database import FinishedDelivery, StoredDelivery, Tables


class FakeReplayRepository:
    def __init__(self, tables: Tables, now: datetime, woken: set[UUID]) -> None:
        self._tables = tables
        self._now = now
        self._woken = woken

    async def count(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> int:
        return len(self._chosen(webhook_id, from_at, to_at, states))

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

    async def requeue(self, replay: Replay, *, limit: int, per_s: float, after_s: float) -> tuple[int, UUID | None]:
        if self._tables.webhooks[replay.webhook_id].deleted_at is not None:
            return 0, None
        found = self._chosen(replay.webhook_id, replay.from_at, replay.to_at, replay.states)
        rest = [done for done in found if replay.cursor is None or done.id > replay.cursor][:limit]
        for position, done in enumerate(rest):
            del self._tables.finished[done.id]
            self._tables.deliveries[done.id] = StoredDelivery(
                id=done.id,
                event_id=done.event_id,
                webhook_id=done.webhook_id,
                due_at=self._now + timedelta(seconds=after_s + position / per_s),
                fencing_token=done.fencing_token,
                attempts=done.attempts,
                last_status_code=done.last_status_code,
                last_error=done.last_error,
            )
        self._woken.add(replay.webhook_id)
        return len(rest), rest[-1].id if rest else None

    def _chosen(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> list[FinishedDelivery]:
        lower, upper = id_floor(from_at), id_floor(to_at)
        finished = (done for _, done in sorted(self._tables.finished.items()))
        return [d for d in finished if d.webhook_id == webhook_id and lower <= d.id < upper and d.state in states]
