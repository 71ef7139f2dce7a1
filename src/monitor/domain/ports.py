"""
Every boundary that the services cross, each with what happens when the other side is away.

All but the sender raise :class:`monitor.domain.errors.Unavailable` when the database cannot be reached; nothing was
changed then, and the call may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

import msgspec

from monitor.domain.delivery import Outcome
from monitor.domain.events import DomainEvent
from monitor.domain.lanes import Lane
from monitor.domain.metrics import Rollup
from monitor.domain.replays import Replay
from monitor.domain.views import (
    AttemptView,
    AuditView,
    DeliveryView,
    EventView,
    MetricsView,
    WebhookView,
)
from monitor.domain.vocab import Actor, BodyFormat, DeliveryState, HealthStatus, SignatureScheme
from monitor.domain.watch_ports import AlertRepository, Outbox, SilenceRepository, WatchLog
from monitor.domain.webhooks import Webhook

# What crosses the boundary -------------------------------------------------------------------------------------


class NewEvent(msgspec.Struct, frozen=True):
    """One event to store. ``payload`` is kept byte for byte."""

    id: UUID
    type: str
    payload: bytes
    labels: dict[str, str]
    occurred_at: datetime


class NewDelivery(msgspec.Struct, frozen=True):
    id: UUID
    event_id: UUID
    webhook_id: UUID


class Subscription(msgspec.Struct, frozen=True):
    """What decides whether a webhook gets an event."""

    webhook_id: UUID
    event_types: list[str]
    labels: dict[str, str]


class Destination(msgspec.Struct, frozen=True):
    """Where and how to send: secrets and header values decrypted. Never logged."""

    url: str
    timeout_s: float
    headers: tuple[tuple[str, str], ...]
    signature: SignatureScheme
    keys: tuple[bytes, ...]
    body_format: BodyFormat = BodyFormat.STANDARD

    def __repr__(self) -> str:
        return "Destination(…)"


class Claimed(msgspec.Struct, frozen=True):
    """A delivery under lease. ``attempts`` were made before."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    epoch: int
    attempts: int
    event_type: str
    payload: bytes


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to store; its id carries when it started."""

    id: UUID
    webhook_id: UUID
    outcome: Outcome
    kind: str = "delivery"
    delivery_id: UUID | None = None
    event_id: UUID | None = None
    event_type: str | None = None
    number: int = 1


class Finish(msgspec.Struct, frozen=True):
    """A delivery that leaves the queue, after ``made`` (0 or 1) more attempts. Null keeps what is stored."""

    delivery_id: UUID
    state: DeliveryState
    status_code: int | None = None
    error: str | None = None
    made: int = 0


class Postpone(msgspec.Struct, frozen=True):
    """A delivery that waits until ``due_at`` after one more attempt."""

    delivery_id: UUID
    due_at: datetime
    status_code: int | None
    error: str | None


class Minute(msgspec.Struct, frozen=True):
    """What the attempts of one webhook in one minute add up to."""

    webhook_id: UUID
    at: datetime
    rollup: Rollup


# Inside one unit of work ---------------------------------------------------------------------------------------


class WebhookRepository(Protocol):
    async def add(self, webhook: Webhook, headers: Mapping[str, str], secret: bytes) -> None: ...

    async def get(self, webhook_id: UUID) -> Webhook:
        """Lock and return it. Raises ``NotFound``."""
        ...

    async def save(self, webhook: Webhook, headers: Mapping[str, str | None] | None) -> None:
        """Replace what a person configured. *headers* of ``None`` keeps all values, a value of ``None`` that one."""
        ...

    async def remove(self, webhook_id: UUID) -> int:
        """Delete it, cancel what waits for it, and return how many deliveries that were. Raises ``NotFound``."""
        ...

    async def rotate_secret(self, webhook_id: UUID, secret: bytes, *, overlap_s: float) -> datetime | None:
        """Make *secret* the current one; return until when the one before signs too."""
        ...

    async def disable(self, webhook_ids: Collection[UUID], reason: str) -> None: ...

    async def set_paused(self, webhook_id: UUID, paused: bool) -> None: ...


class EventLog(Protocol):
    async def subscriptions(self, event_types: Collection[str]) -> list[Subscription]:
        """Return enabled webhooks with a pattern for any of the types; they cannot be deleted until commit."""
        ...

    async def add(self, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        """Store them and wake the workers at commit."""
        ...


class DeliveryQueue(Protocol):
    """The hot table. Every time here is the database's."""

    async def lock_lanes(self, webhook_ids: Collection[UUID]) -> dict[UUID, Lane]:
        """Lock these lanes, waiting, in an order that cannot deadlock."""
        ...

    async def lock_ready_lanes(self, hints: Collection[UUID] | None, limit: int) -> dict[UUID, Lane]:
        """Lock lanes with something due, skipping locked ones. *hints* narrows the search; ``None`` looks at all."""
        ...

    async def take(
        self, rooms: Mapping[UUID, int], ordered: Collection[UUID], *, worker: str, lease_s: float
    ) -> list[Claimed]:
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

    async def spread(self, webhook_id: UUID, *, per_s: float) -> int:
        """Re-schedule what is due so that it goes out at *per_s*; return how many deliveries that are."""
        ...


class ReplayRepository(Protocol):
    async def count(
        self, webhook_id: UUID, from_at: datetime, to_at: datetime, states: Collection[DeliveryState]
    ) -> int:
        """Count finished deliveries accepted in that range that ended so, up to ``COUNTED_MAX``."""
        ...

    async def add(self, replay: Replay) -> None: ...

    async def get(self, replay_id: UUID) -> Replay:
        """Raises ``NotFound``."""
        ...

    async def take(self) -> Replay | None:
        """Lock and return the oldest that is not finished, skipping those that others carry on."""
        ...

    async def save(self, replay: Replay) -> None: ...

    async def requeue(self, replay: Replay, *, limit: int, per_s: float, after_s: float) -> tuple[int, UUID | None]:
        """Make the next *limit* due, the first in *after_s*, then at *per_s*; return how many, and the last one."""
        ...


class AttemptLog(Protocol):
    async def add(self, attempts: Sequence[AttemptRecord]) -> None: ...

    async def add_minutes(self, minutes: Sequence[Minute]) -> None:
        """Merge these into the stored minutes, and into those of the whole system."""
        ...


class IdempotencyStore(Protocol):
    async def begin(self, scope: str, key: str, body: bytes) -> bytes | None:
        """Claim *key*, waiting for a call that holds it.

        Returns:
            The stored answer if the call was done before, else ``None``.

        Raises:
            IdempotencyMismatch: it was used with another body in the last 24 h.
        """
        ...

    async def finish(self, scope: str, key: str, answer: bytes) -> None: ...


class AuditLog(Protocol):
    async def add(
        self, actor: Actor, action: str, target: str, *, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None: ...


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without :meth:`commit` rolls back.

    ``now`` is the database's time at its start, aware UTC: the only clock that decides anything about deliveries.
    """

    now: datetime
    webhooks: WebhookRepository
    events: EventLog
    queue: DeliveryQueue
    attempts: AttemptLog
    idempotency: IdempotencyStore
    audit: AuditLog
    watch: WatchLog
    alerts: AlertRepository
    silences: SilenceRepository
    outbox: Outbox
    replays: ReplayRepository

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def record(self, *facts: DomainEvent) -> None:
        """Note what happened, for whoever listens once it is committed."""
        ...

    async def commit(self) -> None:
        """Make it so. Raises if the database did not."""
        ...


class UnitOfWorkFactory(Protocol):
    def __call__(self) -> UnitOfWork: ...


# Reads ---------------------------------------------------------------------------------------------------------


class WebhookFilter(msgspec.Struct, frozen=True):
    status: HealthStatus | None = None
    enabled: bool | None = None
    event_type: str | None = None
    label: str | None = None
    q: str | None = None


class DeliveryFilter(msgspec.Struct, frozen=True):
    webhook_id: UUID | None = None
    state: DeliveryState | None = None
    event_id: UUID | None = None
    error: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class AttemptFilter(msgspec.Struct, frozen=True):
    ok: bool | None = None
    error: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class Queries(Protocol):
    """Reads outside any unit of work. Pages are newest first; ``after`` is the last id of the page before."""

    async def webhook(self, webhook_id: UUID) -> WebhookView:
        """Raises ``NotFound``."""
        ...

    async def webhooks(self, where: WebhookFilter, *, after: UUID | None, limit: int) -> list[WebhookView]: ...

    async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
        """Return version and destination of each; deleted ones, and those whose secrets do not open, are left out."""
        ...

    async def event(self, event_id: UUID) -> EventView:
        """Raises ``NotFound``."""
        ...

    async def events(
        self,
        *,
        event_type: str | None,
        from_at: datetime | None,
        to_at: datetime | None,
        after: UUID | None,
        limit: int,
    ) -> list[EventView]: ...

    async def delivery(self, delivery_id: UUID) -> DeliveryView:
        """Raises ``NotFound``."""
        ...

    async def deliveries(self, where: DeliveryFilter, *, after: UUID | None, limit: int) -> list[DeliveryView]: ...

    async def attempts(
        self, webhook_id: UUID, where: AttemptFilter, *, after: UUID | None, limit: int
    ) -> list[AttemptView]:
        """Raises ``NotFound``."""
        ...

    async def metrics(self, webhook_id: UUID, from_at: datetime, to_at: datetime, step_s: int) -> MetricsView: ...

    async def now(self) -> datetime:
        """Return the database's time."""
        ...

    async def audit_log(self, *, after: UUID | None, limit: int) -> list[AuditView]: ...


Woken = list[UUID] | None
"""Webhooks that have something due; ``None`` when it may be any."""


class Wakeups(Protocol):
    """Tells that deliveries fell due. May lose a message; who listens must also poll."""

    async def listen(self, on_wake: Callable[[Woken], None]) -> None:
        """Call *on_wake* until cancelled, through every outage. The first call, after each (re)connect, is ``None``."""
        ...
