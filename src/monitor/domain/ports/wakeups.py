"""Wake-ups of delivery workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

DueWebhooks = list[UUID] | None
"""Webhooks that have something due; ``None`` when it may be any."""


class Wakeups(Protocol):
    """Tells that deliveries fell due. May lose a message; who listens must also poll."""

    async def listen(self, on_wake: Callable[[DueWebhooks], None]) -> None:
        """Call *on_wake* until cancelled, through every outage. The first call, after each (re)connect, is ``None``."""
        ...
