"""``FakeUnitOfWork``: works on a copy that commit puts in place."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

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
from tests.fakes.postgres.bulk import FakeBulkQueue
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queue import FakeDeliveryQueue
from tests.fakes.postgres.repositories.alerts import (
    FakeAlertNotificationQueue,
    FakeAlertRepository,
    FakeSilenceRepository,
)
from tests.fakes.postgres.repositories.attempts import FakeAttemptLog
from tests.fakes.postgres.repositories.backfills import FakeBackfillStore
from tests.fakes.postgres.repositories.detection import FakeDetectionStore
from tests.fakes.postgres.repositories.events import FakeEventLog
from tests.fakes.postgres.repositories.fan_outs import FakeFanOutQueue
from tests.fakes.postgres.repositories.idempotency import FakeAuditLog, FakeIdempotencyStore
from tests.fakes.postgres.repositories.jobs import FakeJobRepository
from tests.fakes.postgres.repositories.reminders import FakeReminderStore
from tests.fakes.postgres.repositories.revocations import FakeRevocationStore
from tests.fakes.postgres.repositories.used_links import FakeUsedLinkStore
from tests.fakes.postgres.repositories.webhooks import FakeWebhookRepository


class FakeUnitOfWork:
    """Used once. Without :meth:`commit` the copy is dropped: nothing changed and no worker was woken."""

    now: datetime
    webhooks: WebhookRepository
    events: EventLog
    fan_outs: FanOutQueue
    queue: DeliveryQueue
    attempts: AttemptLog
    idempotency: IdempotencyStore
    audit: AuditLog
    revocations: RevocationStore
    detection: DetectionStore
    alerts: AlertRepository
    silences: SilenceRepository
    notifications: AlertNotificationQueue
    reminders: ReminderStore
    used_links: UsedLinkStore
    jobs: JobRepository
    backfills: BackfillStore
    bulk: BulkQueue

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self._woken: set[UUID] = set()
        self._recorded: list[DomainEvent] = []

    async def __aenter__(self) -> Self:
        await self._database.turn.acquire()
        try:
            self._database.require_up()
        except BaseException:
            self._database.turn.release()
            raise
        clock = self._database.clock
        self.now = clock.now()
        self._tables = tables = self._database.tables.copy()
        self.webhooks = FakeWebhookRepository(tables, self.now)
        self.events = FakeEventLog(tables, self.now, self._woken)
        self.fan_outs = FakeFanOutQueue(tables, self.now)
        self.queue = FakeDeliveryQueue(tables, clock, self._woken, self._database.locked, self._database.locked_once)
        self.attempts = FakeAttemptLog(tables)
        self.idempotency = FakeIdempotencyStore(tables, self.now)
        self.audit = FakeAuditLog(tables, clock, self.now)
        self.revocations = FakeRevocationStore(tables)
        self.detection = FakeDetectionStore(tables, self.now)
        self.alerts = FakeAlertRepository(tables, self.now)
        self.silences = FakeSilenceRepository(tables, self.now)
        self.notifications = FakeAlertNotificationQueue(tables)
        self.reminders = FakeReminderStore(tables, self.now)
        self.used_links = FakeUsedLinkStore(tables)
        self.jobs = FakeJobRepository(tables, self.now)
        self.backfills = FakeBackfillStore(tables, self.now, self._woken)
        self.bulk = FakeBulkQueue(tables, self.now, self.queue)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.turn.release()

    def record(self, *events: DomainEvent) -> None:
        self._recorded.extend(events)

    async def commit(self) -> None:
        self._database.commit(self._tables, self._woken, self._recorded)
