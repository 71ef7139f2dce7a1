"""Queued alert notifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.alerts.notification import AlertNotification


class AlertNotificationQueue(Protocol):
    """Alert notifications, stored in the transaction that changed the alert."""

    async def add(self, notifications: Sequence[AlertNotification]) -> None:
        """Append *notifications* to the queue."""
        ...

    async def take(self, limit: int) -> list[AlertNotification]:
        """
        Remove and return up to *limit* notifications, oldest first; unreadable ones stay.

        One transaction at a time may hold some, so that publishing keeps the order; meanwhile others get none.
        """
        ...
