"""What was accepted, what users did and what the receiver answered: the journal that totals are compared with."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from uuid import UUID

from monitor.domain.vocab import DeliveryState


class Pair(NamedTuple):
    """One event for one webhook."""

    webhook_id: UUID
    event_id: UUID


class Subscriber:
    """A webhook as the machine configured it. ``status`` is what its receiver answers."""

    def __init__(self, id_: UUID, event_type: str) -> None:
        self.id = id_
        self.event_type = event_type
        self.enabled = True
        self.deleted = False
        self.status = 200


class Journal:
    """
    Deliveries that must exist, and those that may.

    Attributes:
        due: how many deliveries of a pair must exist: one for an event that matched while the webhook was enabled, and
            one more for each time that a user asked for another one.
        missed: pairs that matched while the webhook was disabled, or before it existed and it asked for them. What
            comes later may make their deliveries or not.
        resent: events that were asked for again, for all webhooks that match by then.
        events: what was accepted, by type.
        fanning_out: events of each fan-out that is not known to be finished, by its first event.
        answered: successes that the receiver gave.
        excused: successes beyond the first one for which there is a reason.
        cancelled: pairs whose cancellation was asked for.
    """

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self.due: Counter[Pair] = Counter()
        self.missed: set[Pair] = set()
        self.resent: set[UUID] = set()
        self.events: dict[str, list[UUID]] = {}
        self.fanning_out: dict[UUID, list[UUID]] = {}
        self.answered: Counter[Pair] = Counter()
        self.excused: Counter[Pair] = Counter()
        self.cancelled: set[Pair] = set()

    def accept(self, event_type: str, event_ids: list[UUID], *, fanning_out: bool) -> None:
        """Note events that were accepted just now."""
        for subscriber in self.subscribers:
            if subscriber.deleted or event_type not in ("all.sent", subscriber.event_type):
                continue
            pairs = [Pair(subscriber.id, event_id) for event_id in event_ids]
            if subscriber.enabled:
                self.due.update(pairs)
            else:
                self.missed.update(pairs)
        self.events.setdefault(event_type, []).extend(event_ids)
        if fanning_out:
            self.fanning_out[event_ids[0]] = event_ids

    def matched(self, subscriber: Subscriber) -> list[Pair]:
        """Return all events that match *subscriber*, whatever it was when they were accepted."""
        event_ids = [*self.events.get("all.sent", []), *self.events.get(subscriber.event_type, [])]
        return [Pair(subscriber.id, event_id) for event_id in event_ids]

    @property
    def alive(self) -> list[Subscriber]:
        return [subscriber for subscriber in self.subscribers if not subscriber.deleted]

    def compare(self, subscriber: Subscriber, found: list[tuple[Pair, DeliveryState]]) -> None:
        """Check the deliveries of one webhook that the API shows."""
        counts = Counter(pair for pair, _ in found)
        unmade = {event_id for event_ids in self.fanning_out.values() for event_id in event_ids}
        wanted = Counter({pair: n for pair, n in self.due.items() if pair.webhook_id == subscriber.id})
        for pair in wanted | counts:
            fewest = 0 if pair.event_id in unmade or subscriber.deleted else wanted[pair]
            most = max(wanted[pair], int(pair in self.missed or pair.event_id in self.resent))
            assert fewest <= counts[pair] <= most, f"{counts[pair]} deliveries of {pair}, not {fewest} to {most}"
        for pair, state in found:
            if state is DeliveryState.DELIVERED:
                assert self.answered[pair], f"{pair} is said to be delivered"
            if state is DeliveryState.CANCELLED:
                assert subscriber.deleted or pair in self.cancelled, f"{pair} was cancelled without being asked for"

    def compare_answers(self) -> None:
        """Nothing is sent again after a success, unless there is a reason."""
        for pair, successes in self.answered.items():
            assert successes <= max(self.due[pair], 1) + self.excused[pair], f"{pair} was sent {successes} times"
