"""Posted events and their deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from monitor.domain.delivery.fan_out import NewDelivery, NewEvent, Subscription


class EventLog(Protocol):
    async def subscriptions(self, event_types: Collection[str]) -> list[Subscription]:
        """Return enabled webhooks with a pattern for any of the types; they cannot be deleted until commit."""
        ...

    async def add(self, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        """Store them and wake the workers at commit."""
        ...
