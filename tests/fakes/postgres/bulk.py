"""``FakeBulkQueue``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.bulk import BulkAction, BulkCount, BulkLook, BulkResult, states_of
from monitor.domain.delivery.job import Chunk
from monitor.domain.delivery.selection import DeliveryFilter, DeliveryRow, matches
from monitor.domain.ports.queue import DeliveryQueue, Finish
from monitor.domain.vocab import DeliveryState
from tests.fakes.postgres.database import FinishedDelivery, StoredDelivery, Tables


class FakeBulkQueue:
    """Looks at everything, since nothing here is large."""

    def __init__(self, tables: Tables, now: datetime, queue: DeliveryQueue) -> None:
        self._tables = tables
        self._now = now
        self._queue = queue

    async def count(self, action: BulkAction, chosen: DeliveryFilter) -> BulkCount:
        return BulkCount(sum(1 for _ in self._matching(action, chosen)), complete=True)

    async def look(self, action: BulkAction, chosen: DeliveryFilter, *, after: UUID | None, limit: int) -> BulkLook:
        found = tuple(pair for pair in self._matching(action, chosen) if after is None or pair[0] > after)[:limit]
        return BulkLook(found, found[-1][0] if found else after, more=len(found) == limit)

    async def look_again(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID]
    ) -> tuple[tuple[UUID, UUID], ...]:
        return tuple(pair for pair in self._matching(action, chosen) if pair[0] in ids)

    async def change(
        self, action: BulkAction, chosen: DeliveryFilter, ids: Collection[UUID], *, per_s: float
    ) -> BulkResult:
        matching = [pair for pair in self._matching(action, chosen) if pair[0] in ids]
        paced_until = self._tables.paced_until
        paced = {webhook_id for _, webhook_id in matching if paced_until.get(webhook_id, self._now) <= self._now}
        # Pending ones first, as in PostgreSQL.
        for id_, webhook_id in sorted(matching, key=lambda pair: (pair[0] in self._tables.finished, pair[0])):
            if action is BulkAction.CANCEL:
                await self._queue.finish([Finish(id_, DeliveryState.CANCELLED)])
                continue
            due_at = max(paced_until.get(webhook_id, self._now), self._now)
            delivery = self._tables.deliveries.get(id_)
            if delivery is None:
                self._bring_back(self._tables.finished.pop(id_), due_at)
            else:
                due_at = min(delivery.due_at, due_at)
                self._tables.deliveries[id_] = replace(delivery, due_at=due_at, schedule_from=delivery.attempts)
            if delivery is None or delivery.due_at > self._now:
                begin = max(paced_until.get(webhook_id, self._now), self._now)
                paced_until[webhook_id] = begin + timedelta(seconds=1 / per_s)
        return BulkResult(tuple(webhook_id for _, webhook_id in matching), (), frozenset(paced))

    async def hasten(self, webhook_id: UUID, *, after: UUID | None, limit: int, per_s: float) -> Chunk:
        paced = max(self._tables.paced_until.get(webhook_id, self._now), self._now)
        later = [
            row
            for id_, row in sorted(self._tables.deliveries.items())
            if row.webhook_id == webhook_id
            and (after is None or id_ > after)
            and row.due_at > paced
            and row.leased_by is None
        ][:limit]
        for place, row in enumerate(later):
            due_at = min(row.due_at, paced + timedelta(seconds=place / per_s))
            self._tables.deliveries[row.id] = replace(row, due_at=due_at, schedule_from=row.attempts)
        if later:
            self._tables.paced_until[webhook_id] = paced + timedelta(seconds=len(later) / per_s)
        await self._queue.wake([webhook_id])
        return Chunk(len(later), later[-1].id if later else after, more=len(later) == limit)

    def _bring_back(self, done: FinishedDelivery, due_at: datetime) -> None:
        self._tables.deliveries[done.id] = StoredDelivery(
            id=done.id,
            event_id=done.event_id,
            webhook_id=done.webhook_id,
            due_at=due_at,
            fencing_token=done.fencing_token,
            attempts=done.attempts,
            schedule_from=done.attempts,
            last_status_code=done.last_status_code,
            last_error=done.last_error,
            order_key=done.order_key,
            replayed=True,
        )

    def _matching(self, action: BulkAction, chosen: DeliveryFilter) -> Iterator[tuple[UUID, UUID]]:
        states = states_of(action, chosen)
        for id_ in sorted((*self._tables.deliveries, *self._tables.finished)):
            row = row_of(self._tables, id_)
            pending = self._tables.deliveries.get(id_)
            is_alive = self._tables.webhooks[row.webhook_id].deleted_at is None
            can_be_sent = row.event_type is not None and not (
                pending is not None and pending.leased_by is not None and pending.due_at > self._now
            )
            if (
                row.state in states
                and is_alive
                and matches(chosen, row)
                and (action is BulkAction.CANCEL or can_be_sent)
            ):
                yield id_, row.webhook_id


def row_of(tables: Tables, delivery_id: UUID) -> DeliveryRow:
    """Return what a filter looks at in a delivery."""
    delivery = tables.deliveries.get(delivery_id) or tables.finished[delivery_id]
    event = tables.events.get(delivery.event_id)
    return DeliveryRow(
        id=delivery.id,
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        state=delivery.state if isinstance(delivery, FinishedDelivery) else DeliveryState.PENDING,
        status_code=delivery.last_status_code,
        error=delivery.last_error,
        event_type=None if event is None else event.event.type,
        labels=tables.webhooks[delivery.webhook_id].webhook.labels,
    )
