"""When alerts may need reminders."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from monitor.domain.alerts.reminders import ReminderSchedule


class ReminderStore(Protocol):
    """The schedules of reminders, at most one of each alert, written in the transaction that changed the alert."""

    async def save(self, schedule: ReminderSchedule) -> None:
        """Store *schedule* in place of that of its alert, if there is one."""
        ...

    async def remove(self, alert_id: UUID) -> None:
        """Remove the schedule of an alert. Safe to repeat."""
        ...

    async def due(self, limit: int) -> list[ReminderSchedule]:
        """Lock and return up to *limit* schedules that are due, with their alerts, the earliest first; those that
        another transaction has are left to it."""
        ...

    async def steps(self) -> set[int]:
        """Return the steps of all enabled webhooks that subscribe to reminders of critical alerts."""
        ...
