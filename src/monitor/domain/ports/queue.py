"""The delivery queue: deliveries under lease, settled with a fencing token."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

import msgspec

from monitor.domain.delivery.job import Chunk, ReplayParameters
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import Order
from monitor.domain.vocab import DeliveryState


class ClaimedDelivery(msgspec.Struct, frozen=True):
    """A delivery under lease. ``attempts`` counts those before, ``schedule_from`` those of them that do not count in
    its retry schedule: made before it last started over, or uncounted. ``probe``: it is the one that the breaker of
    its webhook admits. ``traceparent`` is that of its event."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    fencing_token: int
    attempts: int
    event_type: str
    payload: bytes
    schedule_from: int = 0
    probe: bool = False
    traceparent: str | None = None


class Finish(msgspec.Struct, frozen=True):
    """A delivery that leaves the queue after ``new_attempts`` (0 or 1). Without an attempt or an error of its own, it
    keeps the status code and error of the last attempt."""

    delivery_id: UUID
    state: DeliveryState
    status_code: int | None = None
    error: str | None = None
    new_attempts: int = 0


class Postpone(msgspec.Struct, frozen=True):
    """A delivery that is due again at ``due_at`` after one more attempt; ``aside`` lets those behind it overtake it. An
    ``uncounted`` attempt takes nothing of its retry schedule."""

    delivery_id: UUID
    due_at: datetime
    status_code: int | None
    error: str | None
    aside: bool = False
    uncounted: bool = False


class LeaseState(msgspec.Struct, frozen=True):
    """
    State of a lease that is still held.

    ``renewed`` is false while another transaction has its row; ``allowed`` is false while its webhook is paused,
    disabled or deleted.
    """

    renewed: bool
    allowed: bool


class DeliveryQueue(Protocol):
    """The table of unfinished deliveries. All times are those of the database."""

    async def clock(self) -> datetime:
        """Return the time at this moment, later than that of the transaction, which is the time of its start."""
        ...

    async def lock_lanes(self, webhook_ids: Collection[UUID], *, wait: bool = True) -> dict[UUID, Lane]:
        """
        Lock these lanes in a fixed order that avoids deadlocks. Left out are those that do not exist or that this
        version cannot read.

        Args:
            wait: for other transactions; otherwise the lanes held by these are left out.
        """
        ...

    async def locked_elsewhere(self, webhook_ids: Collection[UUID]) -> set[UUID]:
        """Return those of these lanes that another transaction has locked, and lock the others."""
        ...

    async def lock_ready_lanes(
        self, hints: Collection[UUID] | None, limit: int, *, without: Collection[UUID] = ()
    ) -> dict[UUID, Lane]:
        """Lock up to *limit* ready lanes, skipping locked and unreadable ones and those of *without*; *hints* restricts
        the search, ``None`` searches all. Those with nothing in flight come first, then those with the oldest latest
        attempt."""
        ...

    async def lease(
        self,
        capacities: Mapping[UUID, int],
        ordered: Mapping[UUID, Order],
        *,
        worker: str,
        lease_s: float,
        held: Collection[UUID] = (),
        since: Mapping[UUID, datetime] = MappingProxyType({}),
    ) -> list[ClaimedDelivery]:
        """
        Lease at most ``capacities[webhook_id]`` due deliveries each, as :func:`~monitor.domain.delivery.order.next_of`
        chooses; finish those that :func:`~monitor.domain.delivery.quarantine.end_without_attempt` ends. Messages about
        alerts take :func:`~monitor.domain.delivery.order.turns`. The lanes are locked by this transaction.

        Args:
            ordered: how the deliveries of these webhooks are ordered; those of others are not.
            held: deliveries to leave out, still held by the worker from leases that ran out.
            since: of these lanes, none ordered, only what fell due after these times.
        """
        ...

    async def save_lanes(self, lanes: Sequence[Lane]) -> None:
        """Store *lanes*, which this transaction has locked."""
        ...

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
        """Lock deliveries by ``(id, fencing_token)``; return those still leased so, each with its ``schedule_from``,
        which a retry by hand raises under way. The others were taken over."""
        ...

    async def renew(self, leases: Sequence[tuple[UUID, int]], *, lease_s: float) -> dict[tuple[UUID, int], LeaseState]:
        """Extend leases to *lease_s* from now, and return those that are still held. Waits for no other transaction."""
        ...

    async def release(self, leases: Sequence[tuple[UUID, int]], *, after_s: float = 0.0) -> None:
        """Return unsent deliveries to the queue, due in *after_s*, as if never claimed."""
        ...

    async def finish(self, finished: Sequence[Finish]) -> None:
        """Move deliveries out of the queue. The newest message about the same alert may go at once."""
        ...

    async def postpone(self, postponed: Sequence[Postpone]) -> None:
        """Count one attempt of each and set its next due time; of messages about alerts, the newest replaces them."""
        ...

    async def replace_older(self, event_ids: Sequence[UUID]) -> None:
        """Finish the messages that those of these new events replace, as far as their lanes are free: a claim does the
        rest. Called in the publishing transaction."""
        ...

    async def get(self, delivery_id: UUID) -> tuple[DeliveryState, UUID]:
        """Lock a delivery; return its state and webhook. Raises ``NotFound``."""
        ...

    async def has_event(self, delivery_id: UUID) -> bool:
        """Whether the event of a delivery is still stored."""
        ...

    async def requeue(self, delivery_id: UUID) -> None:
        """
        Make a delivery due now, before those that wait already, finished or not, with its whole retry schedule; wake a
        worker at commit.
        """
        ...

    async def step_aside(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        """Look at up to *limit* deliveries behind *after*, in the order of their ids; let what waits and has failed as
        often as its webhook skips after step aside, as if the last attempt was made now."""
        ...

    async def wake(self, webhook_ids: Collection[UUID]) -> None:
        """Wake a worker at commit for what is due of these webhooks."""
        ...

    async def released(self, lanes: Collection[Lane]) -> set[UUID]:
        """Return those of *lanes*, all resumed, with nothing left that was due at the resumption."""
        ...

    async def cancel_waiting(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        """Finish up to *limit* deliveries of a webhook as cancelled, leased ones included: those behind *after*, in the
        order of their ids."""
        ...

    async def left_behind(self, limit: int) -> list[UUID]:
        """Return up to *limit* deleted webhooks that deliveries still wait for."""
        ...

    async def count_finished(self, chosen: ReplayParameters) -> int:
        """Count the finished deliveries that are *chosen*, among the first ``COUNTED_MAX`` of the range; 0 for an
        unknown webhook. Locks nothing."""
        ...

    async def requeue_finished(
        self, chosen: ReplayParameters, *, after: UUID | None, limit: int, per_s: float, after_s: float
    ) -> Chunk:
        """
        Make the *chosen* deliveries among the next *limit* finished ones behind *after* due again, in the order of
        their ids, each with its whole retry schedule. None of a deleted webhook. At an ordered webhook, other
        deliveries do not wait for these.

        Args:
            after_s: when the first one is due, in seconds from now; the others follow at *per_s*.
        """
        ...
