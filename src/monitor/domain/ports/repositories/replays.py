"""Replays, and the deliveries that become due again by replaying."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.replay import Replay
from monitor.domain.vocab import DeliveryState


class ReplayRepository(Protocol):
    """Replays of finished deliveries, worked off in batches."""

    async def count(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> int:
        """Count finished deliveries in *states* that were accepted in that range, up to ``COUNTED_MAX``."""
        ...

    async def add(self, replay: Replay) -> None:
        """Insert *replay*."""
        ...

    async def get(self, replay_id: UUID) -> Replay:
        """Lock and return a replay. Raises ``NotFound``."""
        ...

    async def take(self) -> Replay | None:
        """Lock and return the oldest unfinished replay, skipping locked ones."""
        ...

    async def save(self, replay: Replay) -> None:
        """Update *replay*, which this transaction has locked."""
        ...

    async def requeue(self, replay: Replay, *, limit: int, per_s: float, after_s: float) -> tuple[int, UUID | None]:
        """Make the next *limit* due, the first in *after_s*, then at *per_s*; return their number and the last id."""
        ...
