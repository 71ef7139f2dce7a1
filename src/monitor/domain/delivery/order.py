"""
Order of the deliveries of one webhook: which of them wait for which.

Deliveries that are sent one after another form a *line*, in the order of their ids; its first one is the *head*.
Replayed deliveries form lines of their own, since their ids are old: new ones never wait for them. A delivery that
stepped aside is in no line.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.retry import MAX_ATTEMPTS

BY_KEY: Literal["key"] = "key"

Order = bool | Literal["key"]
"""``True`` orders all deliveries of a webhook, ``"key"`` those with the same order key, ``False`` none."""

MAX_KEY_LENGTH = 256

OrderKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Orders the event among those with the same key, at webhooks with `ordered: key`: the id of a"
        " customer or an order, for example.",
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

    ``behind`` says that a claim met it behind another one of its key, and that one is still there.
    """

    id: UUID
    due_at: datetime
    order_key: str | None = None
    replayed: bool = False
    aside: bool = False
    behind: bool = False
    in_flight: bool = False


def line_of(delivery: QueuedDelivery, ordered: Order) -> Hashable | None:
    """Return what identifies the line of a delivery; ``None`` if it waits for no other."""
    if delivery.aside or ordered is False:
        return None
    if ordered is True:
        return ("all", delivery.replayed)
    return None if delivery.order_key is None else ("key", delivery.order_key, delivery.replayed)


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
        without: deliveries to leave out, which hold those behind them nevertheless.
        preceded: deliveries that an unfinished fan-out ``precedes``; they wait for it if they have a line.
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
