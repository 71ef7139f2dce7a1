"""One transaction as a unit of work: a SQLAlchemy session, and SQL on its asyncpg connection (ADR 0002)."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Self

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.bulk import PostgresBulkQueue
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.outages import READ_ONLY, driver_error, outage
from monitor.adapters.postgres.pooler import waiting_until
from monitor.adapters.postgres.queue import PostgresDeliveryQueue
from monitor.adapters.postgres.repositories.alerts import PostgresAlertRepository
from monitor.adapters.postgres.repositories.attempts import PostgresAttemptLog
from monitor.adapters.postgres.repositories.audit import PostgresAuditLog
from monitor.adapters.postgres.repositories.backfills import PostgresBackfillStore
from monitor.adapters.postgres.repositories.detection import PostgresDetectionStore
from monitor.adapters.postgres.repositories.event_outbox import append_events
from monitor.adapters.postgres.repositories.events import PostgresEventLog
from monitor.adapters.postgres.repositories.fan_outs import PostgresFanOutQueue
from monitor.adapters.postgres.repositories.idempotency import PostgresIdempotencyStore
from monitor.adapters.postgres.repositories.jobs import PostgresJobRepository
from monitor.adapters.postgres.repositories.notifications import PostgresAlertNotificationQueue
from monitor.adapters.postgres.repositories.reminders import PostgresReminderStore
from monitor.adapters.postgres.repositories.revocations import PostgresRevocationStore
from monitor.adapters.postgres.repositories.silences import PostgresSilenceRepository
from monitor.adapters.postgres.repositories.used_links import PostgresUsedLinkStore
from monitor.adapters.postgres.repositories.webhooks import PostgresWebhookRepository
from monitor.adapters.secret_box import SecretBox
from monitor.domain.errors import Unavailable, UnknownOutcome
from monitor.domain.events import DomainEvent
from monitor.domain.ports.bulk import BulkQueue
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import DeliveryQueue
from monitor.domain.ports.repositories.alerts import AlertRepository
from monitor.domain.ports.repositories.attempts import AttemptLog
from monitor.domain.ports.repositories.audit import AuditLog
from monitor.domain.ports.repositories.backfills import BackfillStore
from monitor.domain.ports.repositories.detection import DetectionStore
from monitor.domain.ports.repositories.event_outbox import EventHandler, StoredEvent
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

COMMIT_UNANSWERED = (
    "The database did not answer the commit, so the change may have been made."
    " Repeat the call with its Idempotency-Key, or read before you repeat it."
)


class PostgresUnitOfWork:
    """
    See :class:`monitor.domain.ports.unit_of_work.UnitOfWork`. Used once and from one task.

    Args:
        dispatch: called with the recorded domain events once committed; commit returns when it does.
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

    def __init__(
        self, database: Database, secret_box: SecretBox, clock: Clock, dispatch: EventHandler | None = None
    ) -> None:
        self._session = AsyncSession(database.engine, expire_on_commit=False, autoflush=False)
        self._database = database
        self._rows = database.rows
        self._secret_box = secret_box
        self._clock = clock
        self._dispatch = dispatch
        self._recorded: list[DomainEvent] = []

    async def __aenter__(self) -> Self:
        try:
            with self._database.translating():
                raw = await self._begin()
        except BaseException:
            # Also when cancelled: ``__aexit__`` does not run for a block that was not entered.
            await self._session.close()
            raise
        self._raw_connection = raw
        self.events = PostgresEventLog(raw, self.now, self._rows)
        self.fan_outs = PostgresFanOutQueue(raw, self._rows)
        self.queue = PostgresDeliveryQueue(raw, self._rows)
        self.attempts = PostgresAttemptLog(raw)
        self.idempotency = PostgresIdempotencyStore(raw, self._secret_box)
        self.audit = PostgresAuditLog(raw, self._clock)
        self.revocations = PostgresRevocationStore(raw)
        self.detection = PostgresDetectionStore(raw, self._rows)
        self.alerts = PostgresAlertRepository(raw, self._rows)
        self.notifications = PostgresAlertNotificationQueue(raw, self._clock, self._rows)
        self.reminders = PostgresReminderStore(raw)
        self.used_links = PostgresUsedLinkStore(raw)
        self.backfills = PostgresBackfillStore(raw, self._rows)
        self.bulk = PostgresBulkQueue(raw, self.queue)
        return self

    # Made when first used: a repository of advanced-alchemy costs as much as a small statement.

    @cached_property
    def webhooks(self) -> WebhookRepository:
        return PostgresWebhookRepository(
            self._session, self._raw_connection, self._secret_box, self._clock, self.now, self._rows
        )

    @cached_property
    def silences(self) -> SilenceRepository:
        return PostgresSilenceRepository(self._session, self.now, self._rows)

    @cached_property
    def jobs(self) -> JobRepository:
        return PostgresJobRepository(self._session, self._rows)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception) and outage(driver_error(error)) == READ_ONLY:
                # After a failover the next connection may be one to the new primary.
                await self._session.invalidate()
            await self._session.close()
        except Exception as lost:
            # The transaction ended with its connection; the error that ended the block is the cause.
            if error is None:
                with self._database.translating():
                    raise lost from None
        if error is not None:
            with self._database.translating():
                raise error

    def record(self, *events: DomainEvent) -> None:
        self._recorded.extend(events)

    async def commit(self) -> None:
        stored = [StoredEvent(self._clock.new_id(), event) for event in self._recorded]
        with self._database.translating():
            if stored:
                await append_events(self._raw_connection, stored)
        try:
            with self._database.translating():
                await self._session.commit()
        except Unavailable as error:
            if _is_rolled_back(error.__cause__):
                raise
            raise UnknownOutcome(COMMIT_UNANSWERED) from error
        if stored and self._dispatch is not None:
            await self._dispatch(stored)

    async def _begin(self) -> asyncpg.Connection:
        deadline = asyncio.get_running_loop().time() + self._database.config.acquire_timeout_s
        raw = await self._raw()
        with waiting_until(deadline, raw) if self._database.is_pooled else nullcontext():
            # SQLAlchemy begins the transaction with its first statement.
            self.now = (await self._session.scalars(self._database.first_statement)).one()
        return raw

    async def _raw(self) -> asyncpg.Connection:
        connection = await self._session.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection)
        return driver


def _is_rolled_back(error: BaseException | None) -> bool:
    """Whether the server itself answered the commit with an error, so that nothing was committed."""
    cause = getattr(getattr(error, "orig", error), "__cause__", None)
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, asyncpg.PostgresConnectionError)
