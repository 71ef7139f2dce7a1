"""
Backfill: deliveries of stored events that a webhook has none of, since it was disabled then or did not exist.

Deliveries made so get ids of their creation time, and go in a line of their own, as replayed ones do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.fan_out import FanOutEvent, NewDelivery, Subscription, fan_out
from monitor.domain.delivery.job import BackfillParameters
from monitor.domain.delivery.retention import EVENTS_KEPT_S
from monitor.domain.ids import ROOM_BITS, derived, id_floor, retimed

EXAMINED_MAX = 100_000
"""Events that the count of a backfill looks at, at most."""

COMMITTED_S = 5.0
"""Age at which an event is looked at: its id carries the time at which its request began, and it is committed later."""

DELIVERIES_KEPT_S = EVENTS_KEPT_S
"""Retention of finished deliveries, unless settings override it."""

_NUMBERS = (1 << ROOM_BITS) - 1


def id_range(chosen: BackfillParameters, now: datetime, deliveries_kept_s: float) -> tuple[UUID, UUID]:
    """
    Return the bounds of the ids of the events to look at by *now*, both exclusive.

    An event with a delivery that may be past its own retention is left out: it may have been delivered.
    """
    kept_from = now - timedelta(seconds=deliveries_kept_s)
    committed_to = now - timedelta(seconds=COMMITTED_S)
    return id_floor(max(chosen.from_at, kept_from)), id_floor(min(chosen.to_at, committed_to))


def matching(events: Sequence[FanOutEvent], subscriptions: Sequence[Subscription]) -> list[NewDelivery]:
    """Return the pairs of *events* and *subscriptions* that match, as a fan-out does; their ids are yet to be given."""
    return [delivery for one in subscriptions for delivery in fan_out(events, [one], len(events)).deliveries]


def numbered(deliveries: Iterable[NewDelivery], id_: UUID, at: datetime, done: int = 0) -> list[NewDelivery]:
    """
    Return *deliveries* with ids in their order, later than all that were given before *at*.

    Args:
        id_: random, of the job or the request.
        at: aware, by the database's clock, since the clocks of two workers may differ.
        done: how many ids derived from *id_* were given before.
    """
    first = retimed(id_, at)
    return [replace(one, id=derived(first, (done + i) % _NUMBERS + 1)) for i, one in enumerate(deliveries)]
