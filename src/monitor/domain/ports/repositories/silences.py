"""Silences."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from monitor.domain.alerts.silences import Silence


class SilenceRepository(Protocol):
    async def active(self) -> list[Silence]: ...

    async def add(self, silence: Silence) -> None: ...

    async def end(self, silence_id: UUID) -> bool:
        """End it now; ``False`` if it had ended. Raises ``NotFound``."""
        ...
