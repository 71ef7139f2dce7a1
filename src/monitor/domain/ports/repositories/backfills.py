"""Deliveries of stored events, made or sent again outside of a fan-out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.fan_out import EventPage, FanOutEvent, NewDelivery, Subscription
from monitor.domain.webhooks.webhook import Webhook


class BackfillStore(Protocol):
    """
    Stored events, and which webhooks have deliveries of these.

    A pair of event and webhook stays unique if the lane of the webhook is locked from :meth:`existing` to the commit,
    and no fan-out may yet make its delivery.
    """

    async def examine(self, patterns: Collection[str], *, after: UUID, before: UUID, limit: int) -> EventPage:
        """Return the next events between two ids, both exclusive; without those that match none of *patterns* where an
        index excludes these. Looks at *limit* events, or so many for each of *patterns*."""
        ...

    async def first_unreached(self, webhook: Webhook) -> UUID | None:
        """Return the first event with a fan-out yet to reach *webhook*, going by types alone; ``None`` if there is
        none."""
        ...

    async def existing(self, deliveries: Collection[NewDelivery]) -> set[tuple[UUID, UUID]]:
        """Return the event and webhook of those that have a delivery, waiting or finished."""
        ...

    async def add(self, deliveries: Sequence[NewDelivery], waits_s: Sequence[float]) -> None:
        """Insert *deliveries* as replayed, each due after so many seconds; wake the workers at commit."""
        ...

    async def event(self, event_id: UUID) -> FanOutEvent:
        """
        Return a stored event.

        Raises:
            NotFound.
            Conflict: it is past retention, or its fan-out is not done.
        """
        ...

    async def subscriptions(self, webhook_ids: Collection[UUID]) -> list[Subscription]:
        """Return what these webhooks subscribe to, without deleted ones; a disabled one subscribes to nothing."""
        ...

    async def requeue(self, event_id: UUID, webhook_ids: Collection[UUID]) -> set[UUID]:
        """Make the finished deliveries of an event to these webhooks due now, as replayed, each with its whole retry
        schedule, and wake the workers at commit; return the webhooks that had one."""
        ...
