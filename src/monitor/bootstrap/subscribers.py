"""Subscribers of domain events: for each event, the tags it drops from the cache and the live message it makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from monitor.cache import Cache, Invalidation, InvalidationRules
from monitor.domain import events
from monitor.domain.events import DomainEvent
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.live.messages import MessageKind
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.services.live_feed import LiveFeed

CONFIGURED = ("webhooks", "webhook:{webhook_id}", "dashboard", "alerts", "anomalies")


class Subscriber(msgspec.Struct, frozen=True):
    """What follows from one kind of event. ``live`` is the type of its live message, null for none."""

    drops: Invalidation
    live: MessageKind | None = None


# ``acknowledged``: a change that a person made is visible in every process before it is answered.
SUBSCRIBERS: Mapping[type[DomainEvent], Subscriber] = {
    events.WebhookCreated: Subscriber(
        Invalidation(("webhooks", "webhook:{webhook_id}", "dashboard"), acknowledged=True)
    ),
    # Alerts and anomalies show the webhook's name, and its labels may be silenced.
    events.WebhookUpdated: Subscriber(Invalidation(CONFIGURED, acknowledged=True)),
    # The requester of an attempt sees at once whether one is made.
    events.LaneChanged: Subscriber(Invalidation(("webhooks", "webhook:{webhook_id}", "dashboard"), acknowledged=True)),
    events.WebhookDeleted: Subscriber(Invalidation(CONFIGURED, acknowledged=True)),
    events.WebhookStatusChanged: Subscriber(
        Invalidation(("webhooks", "webhook:{webhook_id}", "dashboard", "health")), MessageKind.WEBHOOK_STATUS_CHANGED
    ),
    events.AnomalyOpened: Subscriber(
        Invalidation(("anomalies", "dashboard", "webhook:{webhook_id}")), MessageKind.ANOMALY_OPENED
    ),
    events.AnomalyClosed: Subscriber(
        Invalidation(("anomalies", "dashboard", "webhook:{webhook_id}")), MessageKind.ANOMALY_CLOSED
    ),
    events.AlertRaised: Subscriber(Invalidation(("alerts", "dashboard")), MessageKind.ALERT_NEW),
    events.AlertUpdated: Subscriber(Invalidation(("alerts", "dashboard")), MessageKind.ALERT_UPDATED),
    events.AlertAcknowledged: Subscriber(
        Invalidation(("alerts", "dashboard"), acknowledged=True), MessageKind.ALERT_UPDATED
    ),
    events.AlertUnacknowledged: Subscriber(
        Invalidation(("alerts", "dashboard"), acknowledged=True), MessageKind.ALERT_UPDATED
    ),
    events.AlertResolved: Subscriber(
        Invalidation(("alerts", "dashboard"), acknowledged=True), MessageKind.ALERT_UPDATED
    ),
    # One that holds deliveries shows in lists of webhooks, too.
    events.SilencesChanged: Subscriber(Invalidation(("alerts", "dashboard", "webhooks"), acknowledged=True)),
}
"""An event without a row fails the tests. Attempts drop nothing, or each would empty the cache."""

INVALIDATION_RULES = InvalidationRules({event: row.drops for event, row in SUBSCRIBERS.items()})


def invalidator(cache: Cache) -> Callable[[Sequence[DomainEvent]], Awaitable[bool]]:
    """Return a function that drops the tags of events from *cache*."""

    async def invalidate(happened: Sequence[DomainEvent]) -> bool:
        invalidation = INVALIDATION_RULES.invalidation_for(happened)
        return await cache.invalidate(invalidation.tags, acknowledged=invalidation.acknowledged)

    return invalidate


def live_publisher(feed: LiveFeed, alert_queries: AlertQueries) -> Callable[[Sequence[DomainEvent]], Awaitable[None]]:
    """Return a function that publishes the live messages of events, with the current views."""

    async def publish(happened: Sequence[DomainEvent]) -> None:
        for event in happened:
            kind = SUBSCRIBERS[type(event)].live
            if kind is not None:
                feed.publish(kind, await _data(event, alert_queries), _webhook_id(event))

    return publish


def is_live(event: DomainEvent) -> bool:
    """Whether the live feed has a message for *event*."""
    return SUBSCRIBERS[type(event)].live is not None


async def _data(event: DomainEvent, alert_queries: AlertQueries) -> Any:
    match event:
        case events.AnomalyOpened() | events.AnomalyClosed():
            return await alert_queries.anomaly(event.anomaly_id)
        case (
            events.AlertRaised()
            | events.AlertUpdated()
            | events.AlertAcknowledged()
            | events.AlertUnacknowledged()
            | events.AlertResolved()
        ):
            return await alert_queries.alert(event.alert_id)
        case _:
            return msgspec.structs.asdict(event)


def _webhook_id(event: DomainEvent) -> UUID | None:
    webhook_id: UUID | None = getattr(event, "webhook_id", None)
    return None if webhook_id == SYSTEM_ID else webhook_id
