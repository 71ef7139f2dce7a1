"""Silences."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from monitor.domain.alerts.silences import Silence


class SilenceRepository(Protocol):
    """Silences, including ended ones."""

    async def active(self) -> list[Silence]:
        """Return the silences that are active now."""
        ...

    async def add(self, silence: Silence) -> None:
        """Insert *silence*."""
        ...

    async def end(self, silence_id: UUID) -> bool:
        """End a silence now; return ``False`` if it had ended before. Raises ``NotFound``."""
        ...
