"""Silences."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.alerts.silences import Silence


class SilenceRepository(Protocol):
    """Silences, including ended ones."""

    async def active(self, since: datetime | None = None) -> list[Silence]:
        """Return the silences that have not ended, scheduled ones too; with *since*, also those that ended after it."""
        ...

    async def holding(self) -> int:
        """Return how many silences that hold deliveries have not ended."""
        ...

    async def lock(self, silence_id: UUID) -> Silence:
        """Return a silence under lock. Raises ``NotFound``, and ``UnreadableRow``."""
        ...

    async def due(self, limit: int) -> list[Silence]:
        """Return up to *limit* silences whose state changes by now, under lock, without those that others have."""
        ...

    async def save(self, silence: Silence) -> None:
        """Store *silence*, which is under lock."""
        ...

    async def add(self, silence: Silence) -> None:
        """Insert *silence*."""
        ...

    async def end(self, silence_id: UUID) -> bool:
        """End a silence now; return ``False`` if it had ended before. Raises ``NotFound``."""
        ...
