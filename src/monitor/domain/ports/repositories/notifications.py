"""Notifications of alerts, stored with the change that caused them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.alerts.notification import AlertNotification


class AlertNotificationQueue(Protocol):
    """What must be told, stored with the change that it tells of."""

    async def add(self, announcements: Sequence[AlertNotification]) -> None: ...

    async def take(self, limit: int) -> list[AlertNotification]:
        """Remove and return the oldest, skipping those that another transaction is taking."""
        ...
