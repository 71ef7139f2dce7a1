"""One world: a way to write, a way to read, and its clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import Order
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.ports.wakeups import Wakeups
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.webhook import Webhook
from tests import samples


class World(NamedTuple):
    unit_of_work: UnitOfWorkFactory
    queries: Queries
    alert_queries: AlertQueries
    clock: Clock
    wakeups: Wakeups
    pass_time: Callable[[float], Awaitable[None]]
    """Let so many seconds pass for all that is stored; ids keep their times."""
    lose_answers: Callable[[], None]
    """From now on commits hold, and their answers are lost."""

    async def add_webhook(self, **changes: object) -> Webhook:
        return await samples.add_webhook(self.unit_of_work, self.clock, **changes)

    async def add_deliveries(self, webhook_id: UUID, count: int = 1, *, key: str | None = None) -> list[UUID]:
        return await samples.add_deliveries(self.unit_of_work, self.clock, webhook_id, count, key=key)

    async def add_orphan(self, webhook_id: UUID) -> UUID:
        """Store a delivery whose event was dropped, due now; return its id."""
        orphan = NewDelivery(self.clock.new_id(), self.clock.new_id(), webhook_id)
        async with self.unit_of_work() as uow:
            await uow.events.add([], [orphan])
            await uow.commit()
        return orphan.id

    async def take(
        self, webhook_id: UUID, capacity: int = 10, *, lease_s: float = 30.0, ordered: Order = False
    ) -> list[ClaimedDelivery]:
        return await samples.take(self.unit_of_work, webhook_id, capacity, lease_s=lease_s, ordered=ordered)

    async def ready(self, hints: list[UUID] | None = None, limit: int = 10) -> dict[UUID, Lane]:
        """Return the lanes that a claim would look at."""
        async with self.unit_of_work() as uow:
            return await uow.queue.lock_ready_lanes(hints, limit)

    async def states(self, delivery_ids: list[UUID]) -> list[DeliveryState]:
        return [(await self.queries.delivery(id_)).state for id_ in delivery_ids]
