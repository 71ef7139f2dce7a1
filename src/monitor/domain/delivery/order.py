"""
Order of the deliveries of one webhook: which ones wait for which.

Deliveries that are sent one after another form a *line*, in the order of their ids; its first one is the *head*.
Replayed deliveries form lines of their own, since their ids are old: new ones never wait for these. A delivery that
stepped aside is in no line.

A message about an alert conveys a state, not an event: of those with one alert's key, the newest *replaces* the others.
It is sent once no other is in flight. So a webhook never gets an older one after a newer one, whatever its order is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.retry import MAX_ATTEMPTS

BY_KEY: Literal["key"] = "key"

Order = bool | Literal["key"]
"""``True`` orders all deliveries of a webhook, ``"key"`` those with the same order key, ``False`` none."""

MAX_KEY_LENGTH = 256

ALERT_KEYS = "monitor.alert."
"""Prefix of the order keys of events about alerts. Publishers cannot use it."""

REPLACED_MAX = 100
"""Messages about one alert that a newer one replaces at once; the rest follows before it is sent."""

FAN_OUT_WAIT_S = 1.0
"""How long a message waits for a fan-out that may yet make an older one, before it looks again."""

OrderKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Orders the event among those with the same key, at webhooks with `ordered: key`: the id of a"
        " customer or an order, for example.",
        extra_json_schema={"pattern": f"^(?!{re.escape(ALERT_KEYS)})"},
    ),
]

SkipAfter = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_ATTEMPTS,
        description="Failed attempts after which a delivery of an ordered webhook steps aside, so that those behind it"
        " overtake it. Null: it holds them until it is finished.",
    ),
]


class QueuedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the order looks at in an unfinished delivery.

    ``behind``: a claim met it behind another one of its key, and that one is still there.
    """

    id: UUID
    due_at: datetime
    event_id: UUID = UUID(int=0)
    order_key: str | None = None
    replayed: bool = False
    aside: bool = False
    behind: bool = False
    in_flight: bool = False


class Turns(msgspec.Struct, frozen=True):
    """What becomes of leased messages that are not sent: ``replaced`` are finished, with others that were not leased;
    ``waiting`` are due again at these times."""

    replaced: frozenset[UUID]
    waiting: dict[UUID, datetime]


def alert_key(alert_id: UUID) -> str:
    """Return the order key of the events about an alert."""
    return f"{ALERT_KEYS}{alert_id}"


def is_alert_key(order_key: str | None) -> bool:
    """Whether deliveries with this key are messages about one alert."""
    return order_key is not None and order_key.startswith(ALERT_KEYS)


def replaced_of(line: Collection[QueuedDelivery], leased: Collection[UUID] = ()) -> list[UUID]:
    """
    Return which messages of *line*, all about one alert, its newest replaces: the oldest ``REPLACED_MAX``. Pure.

    Those of events that were published later are newer; a message that was resent is as new as its event. What is in
    flight is not replaced, as its attempt may have arrived.

    Args:
        leased: by the calling claim. These do not count as in flight.
    """
    by_age = sorted(line, key=lambda one: (one.event_id, one.id))
    return [one.id for one in by_age[:-1] if one.id in leased or not one.in_flight][:REPLACED_MAX]


def turns(
    leased: Collection[UUID], deliveries: Collection[QueuedDelivery], now: datetime, preceded: Collection[UUID] = ()
) -> Turns:
    """
    Return which of *leased* are not sent now, and what these replace. Pure.

    A message waits while an older one is in flight, or is still to be replaced, or may yet be made by a fan-out.

    Args:
        leased: by the calling claim, at *now*.
        deliveries: all of one webhook that are unfinished.
        preceded: messages of an event that an unfinished fan-out of alerts ``precedes``.
    """
    replaced: set[UUID] = set()
    waiting: dict[UUID, datetime] = {}
    for key in {one.order_key for one in deliveries if one.id in leased and is_alert_key(one.order_key)}:
        line = [one for one in deliveries if one.order_key == key]
        gone = replaced_of(line, leased)
        replaced.update(gone)
        rest = [one for one in line if one.id not in gone]
        ends = [one.due_at for one in rest if one.in_flight and one.id not in leased]
        for one in rest:
            if one.id in leased and len(rest) > 1:
                waiting[one.id] = max(ends, default=now)
            elif one.id in leased and one.id in preceded:
                waiting[one.id] = now + timedelta(seconds=FAN_OUT_WAIT_S)
    return Turns(frozenset(replaced), waiting)


def line_of(delivery: QueuedDelivery, ordered: Order) -> Hashable | None:
    """Return what identifies the line of a delivery; ``None`` if it waits for no other."""
    if delivery.aside or ordered is False:
        return None
    if ordered is True:
        return ("all", delivery.replayed)
    is_free = delivery.order_key is None or is_alert_key(delivery.order_key)
    return None if is_free else ("key", delivery.order_key, delivery.replayed)


def head_of(delivery: QueuedDelivery, deliveries: Collection[QueuedDelivery], ordered: Order) -> QueuedDelivery | None:
    """Return the head of the line of *delivery* among *deliveries*, all of one webhook; ``None`` if it has no line."""
    line = line_of(delivery, ordered)
    if line is None:
        return None
    return min((one for one in deliveries if line_of(one, ordered) == line), key=lambda one: one.id)


def next_of(
    deliveries: Collection[QueuedDelivery],
    ordered: Order,
    count: int,
    now: datetime,
    without: Collection[UUID] = (),
    preceded: Collection[UUID] = (),
) -> list[QueuedDelivery]:
    """
    Return up to *count* of *deliveries*, all of one webhook, that a claim leases at *now*. Pure.

    What was due first goes first. If all are ordered, only one goes, and a replayed one only when no other is due; of
    one key one is in flight, a replayed one only if no other of it is due.

    Args:
        without: deliveries to leave out, which hold those behind nevertheless.
        preceded: deliveries that an unfinished fan-out ``precedes``; each waits for it if it has a line.
    """
    due = [one for one in deliveries if one.due_at <= now and head_of(one, deliveries, ordered) in (None, one)]
    due = sorted((one for one in due if one.id not in without), key=lambda one: (one.due_at, one.id))
    if ordered is True:
        due = [one for one in due if one.aside or one.id not in preceded]
        return sorted(due, key=lambda one: one.replayed and not one.aside)[: min(count, 1)]
    busy = {one.order_key for one in deliveries if one.in_flight and line_of(one, ordered)}
    new = {one.order_key for one in due if line_of(one, ordered) and not one.replayed}

    def may_go(one: QueuedDelivery) -> bool:
        waits = one.id in preceded or one.order_key in busy or (one.replayed and one.order_key in new)
        return line_of(one, ordered) is None or not waits

    return [one for one in due if may_go(one)][:count]


def next_due_at(
    deliveries: Collection[QueuedDelivery], ordered: Order, preceded: Collection[UUID] = ()
) -> datetime | None:
    """
    Return when a claim may next find something to lease; ``None`` for never.

    Exact but for a webhook that is ordered by key: there a claim determines what is behind another.

    Args:
        preceded: as for :func:`next_of`.
    """
    if ordered is BY_KEY:
        return min((one.due_at for one in deliveries if not one.behind), default=None)
    heads = [one for one in deliveries if head_of(one, deliveries, ordered) in (None, one)]
    if ordered is True:
        heads = [one for one in heads if one.aside or one.id not in preceded]
    return min((one.due_at for one in heads), default=None)


def steps_aside(ordered: Order, skip_after: int | None, attempts: int) -> bool:
    """
    Whether a delivery steps aside after *attempts* failed ones: the rest of its line overtakes it.

    Args:
        attempts: since its retry schedule began.
    """
    return ordered is not False and skip_after is not None and attempts >= skip_after
