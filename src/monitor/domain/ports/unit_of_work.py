"""
The unit of work: one transaction over all repositories.

Every method of the repositories raises :class:`monitor.domain.errors.Unavailable` when the database cannot be reached
or refuses its service; nothing was changed then, and the transaction may be repeated. :class:`DataRejected` is raised
for values that it never takes.
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from monitor.domain.events import DomainEvent
from monitor.domain.ports.bulk import BulkQueue
from monitor.domain.ports.queue import DeliveryQueue
from monitor.domain.ports.repositories.alerts import AlertRepository
from monitor.domain.ports.repositories.attempts import AttemptLog
from monitor.domain.ports.repositories.audit import AuditLog
from monitor.domain.ports.repositories.backfills import BackfillStore
from monitor.domain.ports.repositories.detection import DetectionStore
from monitor.domain.ports.repositories.events import EventLog
from monitor.domain.ports.repositories.fan_outs import FanOutQueue
from monitor.domain.ports.repositories.idempotency import IdempotencyStore
from monitor.domain.ports.repositories.jobs import JobRepository
from monitor.domain.ports.repositories.notifications import AlertNotificationQueue
from monitor.domain.ports.repositories.reminders import ReminderStore
from monitor.domain.ports.repositories.revocations import RevocationStore
from monitor.domain.ports.repositories.silences import SilenceRepository
from monitor.domain.ports.repositories.used_links import UsedLinkStore
from monitor.domain.ports.repositories.webhooks import WebhookRepository


class DataRejected(Exception):
    """The database refuses a value: out of range, a duplicate, a missing reference. Repeating does not help."""


class UnitOfWork(Protocol):
    """One transaction. Leaving the block without :meth:`commit` rolls back.

    ``now`` is the database's time at its start, aware UTC; decisions about deliveries use no other clock.
    """

    now: datetime
    events: EventLog
    fan_outs: FanOutQueue
    queue: DeliveryQueue
    attempts: AttemptLog
    idempotency: IdempotencyStore
    audit: AuditLog
    revocations: RevocationStore
    detection: DetectionStore
    alerts: AlertRepository
    notifications: AlertNotificationQueue
    reminders: ReminderStore
    used_links: UsedLinkStore
    backfills: BackfillStore
    bulk: BulkQueue

    # Read alone, so that an adapter may make each on first use.

    @property
    def webhooks(self) -> WebhookRepository: ...

    @property
    def silences(self) -> SilenceRepository: ...

    @property
    def jobs(self) -> JobRepository: ...

    async def __aenter__(self) -> Self:
        """Begin the transaction and set ``now``."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back unless committed, and release the connection."""
        ...

    def record(self, *events: DomainEvent) -> None:
        """Store *events* with the commit, for dispatch after it."""
        ...

    async def commit(self) -> None:
        """
        Commit.

        Raises:
            UnknownOutcome: the answer was lost, so it may have been made.
            Unavailable: nothing was changed.
        """
        ...


class UnitOfWorkFactory(Protocol):
    """Creates a unit of work for each transaction."""

    def __call__(self) -> UnitOfWork:
        """Return a unit of work that is not begun."""
        ...
