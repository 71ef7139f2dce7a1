"""One database, one receiver and any number of delivery workers, all in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from structlog.typing import EventDict

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery
from monitor.domain.vocab import DeliveryState
from monitor.worker.config import DeliveryConfig
from monitor.worker.delivery_loop import DeliveryWorker
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.repositories.events import FakeWakeups
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork

QUIET = DeliveryConfig(poll_s=3_600.0, renew_s=3_600.0, retry_s=0.001, drain_s=5.0)
"""Nothing happens by the clock; a failed step is tried again at once."""


class Site:
    """One database, one receiver, any number of workers."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.sender = FakeWebhookSender()
        self.logged: list[tuple[SentDelivery, bool]] = []
        """Each attempt that was reported, and whether its delivery was lost to another worker."""

    def unit_of_work(self) -> FakeUnitOfWork:
        return FakeUnitOfWork(self.database)

    def deliverer(self) -> Deliverer:
        return Deliverer(
            self.unit_of_work,
            FakeQueries(self.database),
            self.sender,
            self.clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig("worker-1"),
        )

    def worker(self, config: DeliveryConfig = QUIET, deliverer: Deliverer | None = None) -> DeliveryWorker:
        return DeliveryWorker(
            deliverer or self.deliverer(),
            FakeWakeups(self.database),
            config,
            log_attempts=self.log,
            monotonic=self.clock.monotonic,
        )

    def log(self, batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
        self.logged += [(sent, sent.delivery.id in lost) for sent in batch]

    async def webhook(self, deliveries: int = 0, **changes: object) -> UUID:
        made = await samples.add_webhook(self.unit_of_work, self.clock, **changes)
        if deliveries:
            await self.publish(made.id, deliveries)
        return made.id

    async def publish(self, webhook_id: UUID, count: int = 1) -> None:
        await samples.add_deliveries(self.unit_of_work, self.clock, webhook_id, count)

    @property
    def delivered(self) -> int:
        return sum(done.state is DeliveryState.DELIVERED for done in self.database.tables.finished.values())


@asynccontextmanager
async def running(worker: DeliveryWorker) -> AsyncIterator[asyncio.Task[None]]:
    """Run *worker* with its loops under supervision, and drain it at the end."""
    async with Supervisor(sleep=at_once).running(worker.loops()):
        task = asyncio.create_task(worker.run())
        yield task
        worker.stop()
        async with asyncio.timeout(20):
            await task


async def at_once(_seconds: float) -> None:
    """Wait no longer than it takes others to have their turn."""
    await asyncio.sleep(0)


def events(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs]
