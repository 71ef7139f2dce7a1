"""Notifications of alerts, stored with the change that caused them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.alerts.notification import Announcement


class Outbox(Protocol):
    """What must be told, stored with the change that it tells of."""

    async def announce(self, announcements: Sequence[Announcement]) -> None: ...

    async def take(self, limit: int) -> list[Announcement]:
        """Remove and return the oldest, skipping those that another transaction is taking."""
        ...
