"""``FakeFanOutQueue``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.fan_out import FanOut, FanOutEvent, Subscription, SubscriptionPage, patterns_of
from monitor.domain.delivery.reminders import steps_of
from monitor.domain.errors import NotFound
from tests.fakes.postgres.database import StoredWebhook, Tables


class FakeFanOutQueue:
    """The dictionary is in the order of the latest steps. Transactions take turns, so nothing is locked."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def add(self, events: Sequence[FanOutEvent]) -> None:
        members = FanOutEvent.__struct_fields__
        unsent = tuple(FanOutEvent(**{name: getattr(event, name) for name in members}) for event in events)
        self._tables.fan_outs[events[0].id] = FanOut(id=events[0].id, events=unsent, accepted_at=self._now)

    async def take(self) -> UUID | None:
        return next((id_ for id_ in self._tables.fan_outs if id_ not in self._tables.jobs), None)

    async def get(self, fan_out_id: UUID) -> FanOut:
        if fan_out_id not in self._tables.fan_outs:
            raise NotFound("There is no unfinished fan-out with this id.")
        return self._tables.fan_outs[fan_out_id]

    async def subscriptions(self, fan_out: FanOut, limit: int) -> SubscriptionPage:
        patterns = set(patterns_of(fan_out.events))
        rows = (row for _, row in sorted(self._tables.webhooks.items()) if _is_next(row, fan_out))
        found = [subscription_of(row) for row in rows if subscribes(row, patterns, fan_out.accepted_at)][:limit]
        return SubscriptionPage(found, found[-1].webhook_id if len(found) == limit else None)

    async def save(self, fan_out: FanOut) -> None:
        await self.remove(fan_out.id)
        self._tables.fan_outs[fan_out.id] = fan_out

    async def remove(self, fan_out_id: UUID) -> None:
        self._tables.fan_outs.pop(fan_out_id, None)


def subscribes(row: StoredWebhook, patterns: set[str], at: datetime | None = None) -> bool:
    """Whether the webhook is enabled, or was disabled after *at*, and has one of *patterns*."""
    disabled_at = row.webhook.disabled_at
    was_enabled = at is not None and disabled_at is not None and disabled_at > at
    matches = not patterns.isdisjoint(row.webhook.event_types)
    return (row.webhook.enabled or was_enabled) and row.deleted_at is None and matches


def subscription_of(row: StoredWebhook) -> Subscription:
    steps = steps_of(row.webhook.reminders, row.webhook.body_format)
    return Subscription(row.webhook.id, frozenset(row.webhook.event_types), row.webhook.labels, steps)


def _is_next(row: StoredWebhook, fan_out: FanOut) -> bool:
    is_after = fan_out.after is None or row.webhook.id > fan_out.after
    return is_after and row.webhook.created_at <= fan_out.accepted_at
