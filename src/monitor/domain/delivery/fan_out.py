"""Fan-out: the deliveries of an event, one for each webhook that subscribed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.event_types import subscribes


class NewEvent(msgspec.Struct, frozen=True):
    """One event to store. ``payload`` is kept byte for byte."""

    id: UUID
    type: str
    payload: bytes
    labels: dict[str, str]
    occurred_at: datetime


class NewDelivery(msgspec.Struct, frozen=True):
    id: UUID
    event_id: UUID
    webhook_id: UUID


class Subscription(msgspec.Struct, frozen=True):
    """What decides whether a webhook gets an event."""

    webhook_id: UUID
    event_types: list[str]
    labels: dict[str, str]


def fan_out(
    events: Iterable[NewEvent], subscriptions: Sequence[Subscription], new_id: Callable[[], UUID]
) -> list[NewDelivery]:
    """Return one delivery for each event and each of *subscriptions* that wants it."""
    return [
        NewDelivery(new_id(), event.id, subscription.webhook_id)
        for event in events
        for subscription in subscriptions
        if _wants(subscription, event)
    ]


def _wants(subscription: Subscription, event: NewEvent) -> bool:
    return subscribes(subscription.event_types, subscription.labels, event_type=event.type, event_labels=event.labels)
