"""
Fan-out: the deliveries of an event, one for each webhook that subscribed.

A request makes up to :data:`REQUEST_MAX`. More are left to workers as a :class:`FanOut`, which is worked off in
chunks, webhook by webhook in the order of their ids. A delivery's id is derived from that of its event, so deliveries
sort like their events, whenever and wherever made; an ordered webhook relies on that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.order import is_alert_key
from monitor.domain.delivery.reminders import REMINDER, asks_for
from monitor.domain.ids import derived
from monitor.domain.vocab import OWNER_LABEL

REQUEST_MAX = 1_000
"""Most deliveries that a request makes; also the most events that it has."""

CHUNK = 200
"""Most deliveries that one transaction of a worker makes, but for a single webhook that gets more events of a request.
Few, so that neither the database nor the worker's event loop is held up; one NOTIFY can name as many webhooks."""


class Reach(msgspec.Struct, frozen=True):
    """
    Values of labels that an event of Monitor has beside its labels, since it is about several webhooks or states.

    Attributes:
        labels: the values by name.
        every: it is about so many webhooks that a label which the event lacks excludes no subscription.
    """

    labels: dict[str, tuple[str, ...]] = {}
    every: bool = False

    def covers(self, other: Reach) -> bool:
        """Whether each subscription that *other* reaches is one of this."""
        if other.every:
            return self.every
        return self.every or all(set(values) <= set(self.labels.get(name, ())) for name, values in other.labels.items())

    def joined(self, other: Reach, most: int) -> Reach:
        """Return what either reaches; more than *most* pairs of name and value are every one."""
        names = sorted(self.labels.keys() | other.labels.keys())
        labels = {name: tuple(sorted({*self.labels.get(name, ()), *other.labels.get(name, ())})) for name in names}
        if self.every or other.every or sum(map(len, labels.values())) > most:
            return Reach(every=True)
        return Reach(labels)


NO_REACH = Reach()


class FanOutEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What selects the subscriptions of an event. ``except_webhook`` gets no delivery, nor do those that ``told``
    reaches: these were notified."""

    id: UUID
    type: str
    labels: dict[str, str]
    order_key: str | None = None
    except_webhook: UUID | None = None
    reach: Reach = NO_REACH
    told: Reach | None = None

    def selects(self, subscription: Subscription) -> bool:
        """Whether *subscription*, one of a pattern that matches the type, gets a delivery."""
        if self.except_webhook == subscription.webhook_id or not self._has(subscription.labels, self.reach):
            return False
        return self.told is None or not self._has(subscription.labels, self.told)

    def _has(self, labels: dict[str, str], reach: Reach) -> bool:
        return all(
            self.labels.get(name) == value
            or value in reach.labels.get(name, ())
            or (reach.every and name not in self.labels)
            for name, value in labels.items()
            if name != OWNER_LABEL
        )


class NewEvent(FanOutEvent, frozen=True, kw_only=True):
    """One event to store. ``payload`` is kept byte for byte; its attempts belong to the trace of ``traceparent``."""

    payload: bytes
    occurred_at: datetime
    traceparent: str | None = None


class NewDelivery(msgspec.Struct, frozen=True):
    """One event for one webhook to store, due at once."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    order_key: str | None = None


class Subscription(msgspec.Struct, frozen=True):
    """Selects the events of a webhook: one of its patterns matches the type, and the event has all its labels, but for
    that of its owner; of reminders, those that are due at one of its steps ``reminders``."""

    webhook_id: UUID
    event_types: frozenset[str]
    labels: dict[str, str]
    reminders: tuple[int, ...] = ()

    def takes(self, event: FanOutEvent) -> bool:
        """Whether *event*, of a type that one of the patterns matches, is for the webhook."""
        return event.selects(self) and (event.type != REMINDER or asks_for(self.reminders, event.labels))


class SubscriptionPage(msgspec.Struct, frozen=True):
    """Subscriptions in the order of their webhooks; ``last`` is the webhook at which the page ends, null if no further
    ones follow."""

    subscriptions: list[Subscription]
    last: UUID | None


class EventPage(msgspec.Struct, frozen=True):
    """Events in the order of their ids; ``last`` is the one at which the page ends, null if no further ones follow."""

    events: list[FanOutEvent]
    last: UUID | None


class FanOut(msgspec.Struct, frozen=True, kw_only=True):
    """
    Accepted events with deliveries that workers are still to make.

    Attributes:
        id: of the first event.
        events: 1 to :data:`REQUEST_MAX`, of one request, in their order.
        accepted_at: aware UTC; a webhook that was created later gets nothing.
        after: the last webhook that is done; null before the first.
        done: how many subscriptions are done.
    """

    id: UUID
    events: tuple[FanOutEvent, ...]
    accepted_at: datetime
    after: UUID | None = None
    done: int = 0


class FanOutChunk(msgspec.Struct, frozen=True):
    """Some deliveries, and how many subscriptions these complete."""

    deliveries: list[NewDelivery]
    subscriptions: int


def patterns_of(events: Sequence[FanOutEvent]) -> list[str]:
    """Return every pattern that matches the type of one of *events*."""
    return sorted({pattern for type_ in {event.type for event in events} for pattern in patterns_for(type_)})


def page_size(events: Sequence[FanOutEvent], bound: int) -> int:
    """Return how many subscriptions are worth reading for *bound* deliveries of *events*: 1 to *bound*."""
    return max(bound // max(Counter(event.type for event in events).values()), 1)


def fan_out(
    events: Sequence[FanOutEvent], subscriptions: Sequence[Subscription], bound: int, *, done: int = 0
) -> FanOutChunk:
    """
    Return one delivery for each event and each of *subscriptions* that matches its type and labels.

    Ends before the subscription with which more than *bound* pairs with a matching type would be looked at, but not
    before the second one.

    Args:
        subscriptions: in the order of their webhooks.
        done: how many subscriptions of the same events are done.
    """
    positions: dict[str, list[int]] = {}
    for position, event in enumerate(events):
        for pattern in patterns_for(event.type):
            positions.setdefault(pattern, []).append(position)
    deliveries: list[NewDelivery] = []
    pairs = 0
    for index, subscription in enumerate(subscriptions):
        of_type = _merged([positions[pattern] for pattern in subscription.event_types if pattern in positions])
        pairs += len(of_type)
        if pairs > bound and index:
            return FanOutChunk(deliveries, index)
        for event in map(events.__getitem__, of_type):
            if subscription.takes(event):
                id_ = derived(event.id, done + index + 1)
                deliveries.append(NewDelivery(id_, event.id, subscription.webhook_id, event.order_key))
    return FanOutChunk(deliveries, len(subscriptions))


def following(deliveries: Sequence[NewDelivery]) -> list[bool]:
    """Return for each of *deliveries*, made together, whether another one of its webhook and key precedes it; never of
    messages about an alert, which wait for none."""
    firsts: dict[tuple[UUID, str], UUID] = {}
    for one in deliveries:
        if one.order_key is not None and not is_alert_key(one.order_key):
            line = (one.webhook_id, one.order_key)
            firsts[line] = min(one.id, firsts.get(line, one.id))
    return [one.id > firsts.get((one.webhook_id, one.order_key or ""), one.id) for one in deliveries]


def _merged(positions: Sequence[list[int]]) -> list[int]:
    return positions[0] if len(positions) == 1 else sorted(set().union(*positions))


def next_chunk(
    unfinished: FanOut, page: SubscriptionPage, bound: int = CHUNK
) -> tuple[list[NewDelivery], FanOut | None]:
    """Return the deliveries of the next chunk, and what is left after it; ``None`` if that is nothing.

    Args:
        page: the subscriptions after ``unfinished.after``.
    """
    chunk = fan_out(unfinished.events, page.subscriptions, bound, done=unfinished.done)
    last = page.last
    if chunk.subscriptions < len(page.subscriptions):
        last = page.subscriptions[chunk.subscriptions - 1].webhook_id
    if last is None:
        return chunk.deliveries, None
    return chunk.deliveries, replace(unfinished, after=last, done=unfinished.done + chunk.subscriptions)


def precedes(unfinished: FanOut, delivery_id: UUID, webhook_id: UUID, event_types: Collection[str]) -> bool:
    """Whether *unfinished* may yet make a delivery of the webhook before *delivery_id*, going by types alone."""
    reaches = unfinished.after is None or unfinished.after < webhook_id
    return unfinished.id < delivery_id and reaches and not set(event_types).isdisjoint(patterns_of(unfinished.events))
