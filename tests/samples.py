"""Ordinary things to test with, and the steps that put them into a database, real or fake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from monitor.domain.delivery.fan_out import NewDelivery, NewEvent
from monitor.domain.delivery.order import Order
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.monitoring.metrics import Rollup, RollupBuilder
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.settle import SentDelivery
from monitor.domain.vocab import Actor, ErrorKind, Role
from monitor.domain.webhooks.webhook import Webhook

ACTOR = Actor("ada", Role.ADMIN, "request-1", "192.0.2.7")
KEY = bytes(range(32))
OK = Outcome(latency_ms=12.5, status_code=204)
REFUSED = Outcome(latency_ms=8.0, status_code=503, error=ErrorKind.STATUS)
GONE = Outcome(latency_ms=3.0, status_code=410, error=ErrorKind.STATUS)
TIMED_OUT = Outcome(latency_ms=15_000.0, error=ErrorKind.TIMEOUT)


def rollup_of(attempts: Iterable[tuple[str, float]]) -> Rollup:
    """Add up pairs ``(label, latency_ms)``."""
    builder = RollupBuilder()
    for label, latency_ms in attempts:
        builder.add(label, latency_ms)
    return builder.build()


def webhook(clock: Clock, **changes: Any) -> Webhook:
    """Return a webhook that wants everything."""
    at = clock.now()
    fields: dict[str, Any] = {
        "id": clock.new_id(),
        "name": "Orders",
        "url": "https://orders.example/hook",
        "created_at": at,
        "updated_at": at,
    }
    return Webhook(**fields | changes)


def event(clock: Clock, **changes: Any) -> NewEvent:
    fields: dict[str, Any] = {
        "id": clock.new_id(),
        "type": "order.paid",
        "payload": b'{"amount": 1}',
        "labels": {},
        "occurred_at": clock.now(),
    }
    return NewEvent(**fields | changes)


async def add_webhook(unit_of_work: UnitOfWorkFactory, clock: Clock, **changes: Any) -> Webhook:
    """Store a webhook with the one header ``X-Team: blue``."""
    made = webhook(clock, **changes)
    async with unit_of_work() as uow:
        await uow.webhooks.add(made, {"X-Team": "blue"}, KEY)
        await uow.commit()
    return made


async def add_deliveries(
    unit_of_work: UnitOfWorkFactory, clock: Clock, webhook_id: UUID, count: int = 1, *, key: str | None = None
) -> list[UUID]:
    """Store *count* events with one delivery each, due now; return the deliveries' ids in order."""
    events = [event(clock, order_key=key) for _ in range(count)]
    deliveries = [NewDelivery(clock.new_id(), one.id, webhook_id, key) for one in events]
    async with unit_of_work() as uow:
        await uow.events.add(events, deliveries)
        await uow.commit()
    return [delivery.id for delivery in deliveries]


async def take(
    unit_of_work: UnitOfWorkFactory,
    webhook_id: UUID,
    capacity: int = 10,
    *,
    lease_s: float = 30.0,
    ordered: Order = False,
    worker: str = "worker-1",
) -> list[ClaimedDelivery]:
    """Lease what is due of one webhook."""
    async with unit_of_work() as uow:
        taken = await uow.queue.lease({webhook_id: capacity}, {webhook_id: ordered}, worker=worker, lease_s=lease_s)
        await uow.commit()
    return taken


async def send(deliverer: Deliverer, delivery: ClaimedDelivery) -> SentDelivery | None:
    """Make one attempt and return it; ``None`` if the webhook is deleted."""
    sent: asyncio.Future[SentDelivery] = asyncio.get_running_loop().create_future()
    return None if deliverer.start(delivery, sent.set_result) is None else await sent
