"""The delivery queue: claims under lease, settled behind a fencing token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.delivery.lane import Lane
from monitor.domain.vocab import DeliveryState


class ClaimedDelivery(msgspec.Struct, frozen=True):
    """A delivery under lease. ``attempts`` were made before."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    fencing_token: int
    attempts: int
    event_type: str
    payload: bytes


class Finish(msgspec.Struct, frozen=True):
    """A delivery that leaves the queue, after ``made`` (0 or 1) more attempts. Null keeps what is stored."""

    delivery_id: UUID
    state: DeliveryState
    status_code: int | None = None
    error: str | None = None
    new_attempts: int = 0


class Postpone(msgspec.Struct, frozen=True):
    """A delivery that waits until ``due_at`` after one more attempt."""

    delivery_id: UUID
    due_at: datetime
    status_code: int | None
    error: str | None


class DeliveryQueue(Protocol):
    """The hot table. Every time here is the database's."""

    async def lock_lanes(self, webhook_ids: Collection[UUID]) -> dict[UUID, Lane]:
        """Lock these lanes, waiting, in an order that cannot deadlock."""
        ...

    async def lock_ready_lanes(self, hints: Collection[UUID] | None, limit: int) -> dict[UUID, Lane]:
        """Lock lanes with something due, skipping locked ones. *hints* narrows the search; ``None`` looks at all."""
        ...

    async def lease(
        self, capacities: Mapping[UUID, int], ordered: Collection[UUID], *, worker: str, lease_s: float
    ) -> list[ClaimedDelivery]:
        """Lease at most ``rooms[webhook_id]`` due deliveries each, quarantining those that keep killing workers."""
        ...

    async def save_lanes(self, lanes: Sequence[Lane]) -> None: ...

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> set[UUID]:
        """Lock deliveries and return those whose ``(id, epoch)`` is still ours; the others were taken over."""
        ...

    async def renew(self, leases: Sequence[tuple[UUID, int]], *, lease_s: float) -> None: ...

    async def release(self, leases: Sequence[tuple[UUID, int]], *, after_s: float = 0.0) -> None:
        """Give unsent deliveries back, due in *after_s*, as if never claimed."""
        ...

    async def finish(self, finished: Sequence[Finish]) -> None: ...

    async def postpone(self, postponed: Sequence[Postpone]) -> None: ...

    async def get(self, delivery_id: UUID) -> tuple[DeliveryState, UUID]:
        """Lock it; return its state and webhook. Raises ``NotFound``."""
        ...

    async def requeue(self, delivery_id: UUID) -> None:
        """Make it due now, finished or not, and wake a worker."""
        ...

    async def reschedule(self, webhook_id: UUID, *, per_s: float) -> int:
        """Re-schedule what is due so that it goes out at *per_s*; return how many deliveries that are."""
        ...
