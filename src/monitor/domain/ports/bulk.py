"""Deliveries that match a filter: found and counted in bounded looks, and changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.bulk import BulkAction, BulkCount, BulkLook, BulkResult
from monitor.domain.delivery.job import Chunk
from monitor.domain.delivery.selection import DeliveryFilter


class BulkQueue(Protocol):
    """Part of one unit of work. A delivery of a deleted webhook never matches, nor does one of an event past its
    retention, unless it is to be cancelled."""

    async def count(self, action: BulkAction, chosen: DeliveryFilter) -> BulkCount:
        """Count what *action* would change among the first ``COUNTED_MAX`` rows. Locks nothing."""
        ...

    async def look(self, action: BulkAction, chosen: DeliveryFilter, *, after: UUID | None, limit: int) -> BulkLook:
        """Find the next *limit* deliveries behind *after*, in the order of ids, in a bounded number of rows. Locks
        nothing."""
        ...

    async def look_again(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID]
    ) -> tuple[tuple[UUID, UUID], ...]:
        """Return those of *ids* that match now, each with its webhook. Locks nothing."""
        ...

    async def hasten(self, webhook_id: UUID, *, after: UUID | None, limit: int, per_s: float) -> Chunk:
        """
        Make up to *limit* deliveries of a webhook behind *after* due that wait for a later attempt, each with its whole
        retry schedule, in a bounded number of rows. Those under way keep their lease, and what was spread over time
        before keeps its place. This locks the lane, and wakes a worker at commit.

        Args:
            per_s: deliveries that fall due in a second, after what was spread so before.
        """
        ...

    async def change(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID], *, per_s: float
    ) -> BulkResult:
        """
        Do *action* to those of *ids* that still match. This transaction has locked their lanes.

        Pending ones that are retried fall due sooner or as before, with their whole retry schedule; those under way
        keep their lease. Finished ones come back with their whole retry schedule, as replayed ones. A cancelled one
        leaves the queue; an attempt that is under way goes on.

        Args:
            per_s: deliveries of one webhook that fall due in a second, after what was spread so before.
        """
        ...
