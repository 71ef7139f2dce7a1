"""Published events and their deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from monitor.domain.delivery.fan_out import NewDelivery, NewEvent, Subscription


class EventLog(Protocol):
    """Published events, and the subscriptions that receive these."""

    async def subscriptions(self, event_types: Collection[str], *, limit: int) -> list[Subscription] | None:
        """Return enabled webhooks with a pattern for any of the types, in the order of their ids; ``None`` if there are
        more than *limit*, and then none is read. Nothing is locked."""
        ...

    async def add(self, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        """Insert *events* and *deliveries*, and wake the workers at commit."""
        ...
