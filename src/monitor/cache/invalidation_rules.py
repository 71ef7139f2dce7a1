"""Which tags a domain event drops. The table itself stands where events and views are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec


class Invalidation(msgspec.Struct, frozen=True):
    """
    What one kind of event drops.

    ``tags`` are templates over the event's fields: ``webhook:{webhook_id}``. ``settled`` is for what a person has
    changed and will look at: the answer to the change waits until no process can show the older value.
    """

    tags: tuple[str, ...] = ()
    acknowledged: bool = False


class Plan(msgspec.Struct, frozen=True):
    """One invalidation for all the events of a unit of work."""

    tags: frozenset[str] = frozenset()
    acknowledged: bool = False


class InvalidationRules:
    """
    The one table from events to tags. An event without a row is an error: that nothing is dropped must be said.

    Collect the events in the unit of work; send the plan after the commit and before the answer, none after a rollback.
    """

    def __init__(self, rows: Mapping[type[msgspec.Struct], Invalidation]) -> None:
        self._rows = dict(rows)

    def invalidation_for(self, events: Iterable[msgspec.Struct]) -> Plan:
        """
        Return what *events* drop together; nothing if there are none.

        Raises:
            KeyError: a kind of event has no row, or a template names a field that the event lacks.
        """
        tags: set[str] = set()
        settled = False
        for event in events:
            drop = self._rows[type(event)]
            fields = msgspec.structs.asdict(event)
            tags.update(template.format_map(fields) for template in drop.tags)
            settled = settled or drop.acknowledged
        return Plan(frozenset(tags), settled)
