"""``FakeEventLog`` and ``FakeWakeups``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.fan_out import NewDelivery, NewEvent, Subscription, following
from monitor.domain.delivery.order import BY_KEY
from monitor.domain.ports.wakeups import DueWebhooks
from tests.fakes.postgres.database import FakeDatabase, StoredDelivery, StoredEvent, Tables
from tests.fakes.postgres.repositories.fan_outs import subscribes, subscription_of


class FakeEventLog:
    """Transactions take turns, so no webhook can be deleted meanwhile."""

    def __init__(self, tables: Tables, now: datetime, woken: set[UUID]) -> None:
        self._tables = tables
        self._now = now
        self._woken = woken

    async def subscriptions(self, event_types: Collection[str], *, limit: int) -> list[Subscription] | None:
        patterns = {pattern for type_ in event_types for pattern in patterns_for(type_)}
        found = [subscription_of(row) for _, row in sorted(self._tables.webhooks.items()) if subscribes(row, patterns)]
        return found if len(found) <= limit else None

    async def add(self, events: Sequence[NewEvent], deliveries: Sequence[NewDelivery]) -> None:
        for event in events:
            self._tables.events[event.id] = StoredEvent(event, self._now)
        for d, follows in zip(deliveries, following(deliveries), strict=True):
            row = self._tables.webhooks.get(d.webhook_id)
            behind = follows and row is not None and row.webhook.ordered == BY_KEY
            self._tables.deliveries[d.id] = StoredDelivery(
                d.id, d.event_id, d.webhook_id, self._now, order_key=d.order_key, behind=behind
            )
            self._woken.add(d.webhook_id)


class FakeWakeups:
    """Wakes at every commit of *database*."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def listen(self, on_wake: Callable[[DueWebhooks], None]) -> None:
        self._database.listeners.append(on_wake)
        try:
            on_wake(None)
            await asyncio.Event().wait()
        finally:
            self._database.listeners.remove(on_wake)
