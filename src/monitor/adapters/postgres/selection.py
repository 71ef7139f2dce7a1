"""
Filters of deliveries and events as SQL; they repeat :mod:`monitor.domain.delivery.selection`.

A statement looks at a bounded number of rows: those of one index, chosen by the most selective condition that has one.
The other conditions are applied to these.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from monitor.adapters.postgres.sql import Where
from monitor.domain.delivery.selection import FINISHED, DeliveryFilter
from monitor.domain.ports.queries.resources import SEARCHED_BYTES, EventFilter
from monitor.domain.vocab import DeliveryState

LOOKED_AT = 10_000
"""Rows that one statement with conditions beyond its index looks at."""

EVENTS_LOOKED_AT = 1_000
"""The same for events by their deliveries or payloads, of which each takes a look at another table or at 64 KiB."""

_UNDELIVERED = f"d.state <> '{DeliveryState.DELIVERED}'"


class Side(NamedTuple):
    """Conditions on one table: those that an index serves, and the rest."""

    first: Where
    rest: Where


def pending_side(base: Where, chosen: DeliveryFilter, rest: Where) -> Side:
    """Return the conditions on ``deliveries d``; *base* has the parameters, *rest* those of the other conditions."""
    side = Side(base.beside(), rest.beside())
    _add(side, chosen)
    return side


def finished_sides(base: Where, chosen: DeliveryFilter, states: Collection[DeliveryState], rest: Where) -> list[Side]:
    """Return the conditions on ``deliveries_finished d``, one for each part to be united; as :func:`pending_side`."""
    states = [state for state in FINISHED if state in states]
    # An error is never that of a delivered one. The index of undelivered ones needs the condition in these words.
    is_undelivered = DeliveryState.DELIVERED not in states or chosen.error_kind is not None
    if is_undelivered and not _by_index(chosen):
        sides = [pending_side(base, chosen, rest) for _ in states]
        for state, side in zip(states, sides, strict=True):
            side.first.add("d.state = {}", state).require(_UNDELIVERED)
        return sides
    side = pending_side(base, chosen, rest)
    if is_undelivered:
        side.first.require(_UNDELIVERED)
    if len(states) < len(FINISHED):
        side.rest.add("d.state = ANY({})", states)
    return [side]


def all_conditions(base: Where, chosen: DeliveryFilter) -> Where:
    """Return every condition on ``d`` but those on the state and on the time; *base* has the parameters."""
    whole = base.beside()
    _add(Side(whole, whole), chosen)
    return whole


def event_conditions(base: Where, where: EventFilter) -> Side:
    """Return the conditions on ``events d``; *base* has the parameters."""
    side = Side(base.beside(), base.beside())
    exact = where.type if where.type is None or not where.type.endswith(".*") else None
    side.first.add("d.id = {}", where.id)
    side.first.add("d.type = {}", exact)
    if exact is None:
        _add_type(side.rest, "d.type", where.type)
    _add_label(side.rest, "d.labels", where.label)
    side.rest.add("d.order_key = {}", where.order_key)
    if where.state is not None or where.status_code is not None:
        _add_delivery(side.rest, where)
    side.rest.add(
        f"CASE WHEN octet_length(d.payload) <= {SEARCHED_BYTES}"
        " THEN position(convert_to({}::text, 'UTF8') IN d.payload) > 0 ELSE false END",
        where.q,
    )
    return side


def is_costly(where: EventFilter) -> bool:
    """Whether each event looked at takes a look at its deliveries or at its payload."""
    return any(value is not None for value in (where.state, where.status_code, where.q))


def _add_delivery(rest: Where, where: EventFilter) -> None:
    parts = []
    if where.state in (None, DeliveryState.PENDING):
        pending = rest.beside().require("o.event_id = d.id").add("o.last_status_code = {}", where.status_code)
        parts.append(f"EXISTS (SELECT FROM deliveries o {pending})")
    if where.state is not DeliveryState.PENDING:
        # Ids of deliveries are later than those of their events, which leaves partitions out.
        finished = rest.beside().require("o.event_id = d.id AND o.id >= d.id").add("o.state = {}", where.state)
        finished.add("o.last_status_code = {}", where.status_code)
        parts.append(f"EXISTS (SELECT FROM deliveries_finished o {finished})")
    rest.require(f"({' OR '.join(parts)})")


def _by_index(chosen: DeliveryFilter) -> list[tuple[str, object]]:
    """Return the conditions that have an index, the most selective one first."""
    conditions = (
        ("d.id = {}", chosen.id),
        ("d.id = ANY({}::uuid[])", None if chosen.ids is None else list(chosen.ids)),
        ("d.event_id = {}", chosen.event_id),
        ("d.webhook_id = {}", chosen.webhook_id),
        ("d.last_error = {}", chosen.error_kind),
    )
    return [(condition, value) for condition, value in conditions if value is not None]


def _add(side: Side, chosen: DeliveryFilter) -> None:
    for position, (condition, value) in enumerate(_by_index(chosen)):
        (side.rest if position else side.first).add(condition, value)
    error, code = chosen.errors
    side.rest.add("d.last_error = {}", error if error != chosen.error_kind else None)
    side.rest.add("d.last_status_code = {}", code)
    side.rest.add("d.last_status_code = {}", chosen.status_code)
    if chosen.event_type is not None:
        of_type = side.rest.beside()
        _add_type(of_type, "e.type", chosen.event_type)
        side.rest.require(f"EXISTS (SELECT FROM events e {of_type} AND e.id = d.event_id)")
    if chosen.label is not None:
        labelled = side.rest.beside()
        _add_label(labelled, "w.labels", chosen.label)
        side.rest.require(f"d.webhook_id IN (SELECT w.id FROM webhooks w {labelled})")


def _add_type(where: Where, column: str, wanted: str | None) -> None:
    if wanted is not None and wanted.endswith(".*"):
        where.add(f"starts_with({column}, {{}})", wanted[:-1])
    else:
        where.add(f"{column} = {{}}", wanted)


def _add_label(where: Where, column: str, wanted: str | None) -> None:
    if wanted is not None:
        name, separator, value = wanted.partition("=")
        if separator:
            where.add(f"{column} ->> {{}} = {{}}", name, value)
        else:
            where.add(f"{column} ? {{}}", name)
