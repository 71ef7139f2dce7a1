"""``FakeBackfillStore``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.alerts.notification import NO_SELECTION, selection_of
from monitor.domain.delivery.event_types import is_event_type, is_reserved
from monitor.domain.delivery.fan_out import (
    EventPage,
    FanOutEvent,
    NewDelivery,
    NewEvent,
    Subscription,
    patterns_of,
)
from monitor.domain.errors import Conflict, NotFound
from monitor.domain.webhooks.webhook import Webhook
from tests.fakes.postgres.database import StoredDelivery, Tables
from tests.fakes.postgres.repositories.fan_outs import subscription_of


class FakeBackfillStore:
    def __init__(self, tables: Tables, now: datetime, woken: set[UUID]) -> None:
        self._tables = tables
        self._now = now
        self._woken = woken

    async def examine(self, patterns: Collection[str], *, after: UUID, before: UUID, limit: int) -> EventPage:
        events = [_stored(stored.event) for _, stored in sorted(self._tables.events.items())]
        within = [one for one in events if after < one.id < before]
        if all(map(is_event_type, patterns)):
            within = [one for one in within if one.type in patterns]
        page = within[:limit]
        return EventPage(page, page[-1].id if len(page) == limit else None)

    async def first_unreached(self, webhook: Webhook) -> UUID | None:
        return min(
            (
                one.id
                for one in self._tables.fan_outs.values()
                if (one.after is None or one.after < webhook.id)
                and not set(patterns_of(one.events)).isdisjoint(webhook.event_types)
                and one.accepted_at >= webhook.created_at
            ),
            default=None,
        )

    async def existing(self, deliveries: Collection[NewDelivery]) -> set[tuple[UUID, UUID]]:
        return {(one.event_id, one.webhook_id) for one in deliveries} & self._pairs()

    async def add(self, deliveries: Sequence[NewDelivery], waits_s: Sequence[float]) -> None:
        for one, wait_s in zip(deliveries, waits_s, strict=True):
            due_at = self._now + timedelta(seconds=wait_s)
            self._tables.deliveries[one.id] = StoredDelivery(
                one.id, one.event_id, one.webhook_id, due_at, order_key=one.order_key, replayed=True
            )
            self._woken.add(one.webhook_id)

    async def event(self, event_id: UUID) -> FanOutEvent:
        if event_id not in self._tables.events:
            if any(pair[0] == event_id for pair in self._pairs()):
                raise Conflict("This event is past its retention; there is nothing left to send.")
            raise NotFound("There is no event with this id.")
        if any(event.id == event_id for fan_out in self._tables.fan_outs.values() for event in fan_out.events):
            raise Conflict("The deliveries of this event are still being made; send it again when its fan-out is done.")
        return _stored(self._tables.events[event_id].event)

    async def subscriptions(self, webhook_ids: Collection[UUID]) -> list[Subscription]:
        rows = [row for id_, row in sorted(self._tables.webhooks.items()) if id_ in webhook_ids]
        return [
            subscription_of(row) if row.webhook.enabled else replace(subscription_of(row), event_types=frozenset())
            for row in rows
            if row.deleted_at is None
        ]

    async def requeue(self, event_id: UUID, webhook_ids: Collection[UUID]) -> set[UUID]:
        chosen = [
            one for one in self._tables.finished.values() if one.event_id == event_id and one.webhook_id in webhook_ids
        ]
        for one in chosen:
            del self._tables.finished[one.id]
            self._tables.deliveries[one.id] = StoredDelivery(
                id=one.id,
                event_id=one.event_id,
                webhook_id=one.webhook_id,
                due_at=self._now,
                fencing_token=one.fencing_token,
                attempts=one.attempts,
                schedule_from=one.attempts,
                last_status_code=one.last_status_code,
                last_error=one.last_error,
                order_key=one.order_key,
                replayed=True,
            )
        requeued = {one.webhook_id for one in chosen}
        self._woken |= requeued
        return requeued

    def _pairs(self) -> set[tuple[UUID, UUID]]:
        waiting = {(one.event_id, one.webhook_id) for one in self._tables.deliveries.values()}
        return waiting | {(one.event_id, one.webhook_id) for one in self._tables.finished.values()}


def _stored(event: NewEvent) -> FanOutEvent:
    """Return what is stored of *event*: who gets no delivery, and who does besides, only stands in the payload."""
    own = selection_of(event.payload) if is_reserved(event.type) else NO_SELECTION
    return FanOutEvent(
        id=event.id,
        type=event.type,
        labels=event.labels,
        order_key=event.order_key,
        except_webhook=own.except_webhook,
        reach=own.reach,
        told=own.told,
    )
