"""One worker's deliverer and everything around it, in memory."""

from __future__ import annotations

from uuid import UUID

from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries


class Bench:
    """One worker's deliverer and everything around it."""

    def __init__(
        self, database: FakeDatabase, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
    ) -> None:
        self.database = database
        self.unit_of_work = unit_of_work
        self.sender = sender
        self.clock = clock
        self.deliverer = self.another("worker-1")

    def another(self, worker: str, lease_s: float = 30.0) -> Deliverer:
        return Deliverer(
            self.unit_of_work,
            FakeQueries(self.database),
            self.sender,
            self.clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig(worker, lease_s=lease_s),
        )

    async def webhook(self, deliveries: int = 1, **changes: object) -> UUID:
        made = await samples.add_webhook(self.unit_of_work, self.clock, **changes)
        await samples.add_deliveries(self.unit_of_work, self.clock, made.id, deliveries)
        return made.id

    async def sent(self, outcome: Outcome = samples.OK, limit: int = 10) -> list[SentDelivery]:
        """Claim and send what is due."""
        self.sender.receiver = lambda _: outcome
        claim = await self.deliverer.claim(None, limit)
        made = [await samples.send(self.deliverer, delivery) for delivery in claim.deliveries]
        return [one for one in made if one is not None]

    async def count(self, hints: list[UUID] | None = None, limit: int = 100) -> int:
        return len((await self.deliverer.claim(hints, limit)).deliveries)

    def lane(self, webhook_id: UUID) -> Lane:
        return self.database.tables.lanes[webhook_id]

    def states(self) -> list[DeliveryState]:
        return [done.state for done in self.database.tables.finished.values()]

    def counted(self) -> int:
        """Return how many attempts the rollups of all webhooks count."""
        minutes = self.database.tables.minutes
        return sum(rollup.attempts for (id_, _), rollup in minutes.items() if id_ == SYSTEM_ID)
