"""Replays and the deliveries they make due again."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.replay import Replay
from monitor.domain.vocab import DeliveryState


class ReplayRepository(Protocol):
    async def count(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> int:
        """Count finished deliveries accepted in that range that ended so, up to ``COUNTED_MAX``."""
        ...

    async def add(self, replay: Replay) -> None: ...

    async def get(self, replay_id: UUID) -> Replay:
        """Raises ``NotFound``."""
        ...

    async def take(self) -> Replay | None:
        """Lock and return the oldest that is not finished, skipping those that others carry on."""
        ...

    async def save(self, replay: Replay) -> None: ...

    async def requeue(self, replay: Replay, *, limit: int, per_s: float, after_s: float) -> tuple[int, UUID | None]:
        """Make the next *limit* due, the first in *after_s*, then at *per_s*; return how many, and the last one."""
        ...
