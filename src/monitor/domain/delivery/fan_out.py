"""Fan-out: the deliveries of an event, one for each webhook that subscribed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.event_types import patterns_for


class NewEvent(msgspec.Struct, frozen=True):
    """One event to store. ``payload`` is kept byte for byte."""

    id: UUID
    type: str
    payload: bytes
    labels: dict[str, str]
    occurred_at: datetime
    order_key: str | None = None


class NewDelivery(msgspec.Struct, frozen=True):
    """One event for one webhook to store, due at once."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    order_key: str | None = None


class Subscription(msgspec.Struct, frozen=True):
    """Selects the events of a webhook: one of its patterns matches the type, and the event has all its labels."""

    webhook_id: UUID
    event_types: frozenset[str]
    labels: dict[str, str]


def fan_out(
    events: Sequence[NewEvent], subscriptions: Sequence[Subscription], new_id: Callable[[], UUID]
) -> list[NewDelivery]:
    """Return one delivery for each event and each of *subscriptions* that matches its type and labels."""
    patterns = {type_: patterns_for(type_) for type_ in {event.type for event in events}}
    by_type = {
        type_: [s for s in subscriptions if not s.event_types.isdisjoint(matching)]
        for type_, matching in patterns.items()
    }
    return [
        NewDelivery(new_id(), event.id, subscription.webhook_id, event.order_key)
        for event in events
        for subscription in by_type[event.type]
        if subscription.labels.items() <= event.labels.items()
    ]
