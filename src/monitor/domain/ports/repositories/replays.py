"""Replays and their progress."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.replay import Replay


class ReplayRepository(Protocol):
    """Replays of finished deliveries, worked off in batches."""

    async def add(self, replay: Replay) -> None:
        """Insert *replay*."""
        ...

    async def get(self, replay_id: UUID) -> Replay:
        """Return a replay. Raises ``NotFound``."""
        ...

    async def take(self) -> Replay | None:
        """Lock and return the oldest unfinished replay, skipping locked ones."""
        ...

    async def save(self, replay: Replay) -> None:
        """Update *replay*, which this transaction has locked."""
        ...
