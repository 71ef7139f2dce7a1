"""Wake-ups of delivery workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

DueWebhooks = list[UUID] | None
"""Webhooks with due deliveries; ``None`` if unknown."""


class Wakeups(Protocol):
    """Notifies workers of due deliveries. Messages may be lost, so workers must also poll."""

    async def listen(self, on_wake: Callable[[DueWebhooks], None]) -> None:
        """Call *on_wake* until cancelled, through all outages. The first call after each connect has ``None``."""
        ...
