"""One transaction as a unit of work: SQLAlchemy where a person waits, its asyncpg connection where a machine does."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Self

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.engine import Database, translating
from monitor.adapters.postgres.queue import PostgresDeliveryQueue
from monitor.adapters.postgres.repositories.alerts import PostgresAlertRepository
from monitor.adapters.postgres.repositories.attempts import PostgresAttemptLog
from monitor.adapters.postgres.repositories.audit import PostgresAuditLog
from monitor.adapters.postgres.repositories.detection import PostgresWatchLog
from monitor.adapters.postgres.repositories.event_outbox import note
from monitor.adapters.postgres.repositories.events import PostgresEventLog
from monitor.adapters.postgres.repositories.idempotency import PostgresIdempotencyStore
from monitor.adapters.postgres.repositories.notifications import PostgresOutbox
from monitor.adapters.postgres.repositories.replays import PostgresReplayRepository
from monitor.adapters.postgres.repositories.silences import PostgresSilenceRepository
from monitor.adapters.postgres.repositories.webhooks import PostgresWebhookRepository
from monitor.adapters.secret_box import KeyVault
from monitor.domain.events import DomainEvent
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import DeliveryQueue
from monitor.domain.ports.repositories.alerts import AlertRepository
from monitor.domain.ports.repositories.attempts import AttemptLog
from monitor.domain.ports.repositories.audit import AuditLog
from monitor.domain.ports.repositories.detection import WatchLog
from monitor.domain.ports.repositories.event_outbox import Fact, Hear
from monitor.domain.ports.repositories.events import EventLog
from monitor.domain.ports.repositories.idempotency import IdempotencyStore
from monitor.domain.ports.repositories.notifications import Outbox
from monitor.domain.ports.repositories.replays import ReplayRepository
from monitor.domain.ports.repositories.silences import SilenceRepository
from monitor.domain.ports.repositories.webhooks import WebhookRepository


class PostgresUnitOfWork:
    """
    See :class:`monitor.domain.ports.unit_of_work.UnitOfWork`. Used once and from one task.

    Args:
        hear: told, once they are committed, of the facts that were recorded; commit returns when it does.
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

    def __init__(self, database: Database, vault: KeyVault, clock: Clock, hear: Hear | None = None) -> None:
        self._session = AsyncSession(database.engine, expire_on_commit=False, autoflush=False)
        self._vault = vault
        self._clock = clock
        self._hear = hear
        self._facts: list[DomainEvent] = []

    async def __aenter__(self) -> Self:
        try:
            with translating():
                # SQLAlchemy begins the transaction with its first statement; asking for the time is ours.
                self.now = (await self._session.scalars(sa.select(sa.func.now()))).one()
                raw = await self._raw()
        except BaseException:
            # Also when cancelled: nobody will leave a block that was never entered.
            await self._session.close()
            raise
        self._raw_connection = raw
        self.webhooks = PostgresWebhookRepository(self._session, raw, self._vault, self._clock, self.now)
        self.events = PostgresEventLog(raw, self.now)
        self.queue = PostgresDeliveryQueue(raw)
        self.attempts = PostgresAttemptLog(raw)
        self.idempotency = PostgresIdempotencyStore(raw, self._vault)
        self.audit = PostgresAuditLog(raw, self._clock)
        self.watch = PostgresWatchLog(raw)
        self.alerts = PostgresAlertRepository(raw)
        self.silences = PostgresSilenceRepository(raw)
        self.outbox = PostgresOutbox(raw, self._clock)
        self.replays = PostgresReplayRepository(raw)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._session.close()
        except Exception as lost:
            # The transaction is gone with its connection; the error that ended the block tells more.
            if error is None:
                with translating():
                    raise lost from None
        if error is not None:
            with translating():
                raise error

    def record(self, *facts: DomainEvent) -> None:
        self._facts.extend(facts)

    async def commit(self) -> None:
        noted = [Fact(self._clock.new_id(), fact) for fact in self._facts]
        with translating():
            if noted:
                await note(self._raw_connection, noted)
            await self._session.commit()
        if noted and self._hear is not None:
            await self._hear(noted)

    async def _raw(self) -> asyncpg.Connection:
        connection = await self._session.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection)
        return driver
