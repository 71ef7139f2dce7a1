"""Fan-outs that a request left to workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.fan_out import FanOut, FanOutEvent, SubscriptionPage


class FanOutQueue(Protocol):
    """Unfinished fan-outs. A job carries on those of which a chunk failed; its id is theirs."""

    async def add(self, events: Sequence[FanOutEvent]) -> None:
        """Insert the fan-out of *events*, accepted now, and wake the workers at commit."""
        ...

    async def take(self) -> UUID | None:
        """Lock the fan-out with the oldest last step until the end of the transaction, without those that others
        have and those of jobs; ``None`` if there is none."""
        ...

    async def get(self, fan_out_id: UUID) -> FanOut:
        """Lock and return a fan-out. Raises ``NotFound`` if it is finished, ``UnreadableRow``."""
        ...

    async def subscriptions(self, fan_out: FanOut, limit: int) -> SubscriptionPage:
        """Return the next page of webhooks that match, were created before *fan_out* was accepted, and are enabled or
        were disabled since: for those its deliveries wait, as those do that a request made."""
        ...

    async def save(self, fan_out: FanOut) -> None:
        """Store the progress of *fan_out*: others have their turn first."""
        ...

    async def remove(self, fan_out_id: UUID) -> None:
        """Delete a fan-out that is finished or given up, if it is there."""
        ...
