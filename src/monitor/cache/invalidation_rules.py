"""From domain events to the invalidated tags. The table of rules stands where both are in view."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec


class Invalidation(msgspec.Struct, frozen=True):
    """
    What an event, or all the events of a unit of work, invalidate.

    In a rule, ``tags`` are templates over the event's fields: ``webhook:{webhook_id}``. ``acknowledged`` is for changes
    made by hand: the response to one waits until no process can serve the older value.
    """

    tags: Collection[str] = ()
    acknowledged: bool = False


class InvalidationRules:
    """
    One rule per kind of event. A missing rule is an error: that an event invalidates nothing has to be written down.

    Collect the events in the unit of work; invalidate after the commit and before the response, never after a rollback.
    """

    def __init__(self, rows: Mapping[type[msgspec.Struct], Invalidation]) -> None:
        self._rows = dict(rows)

    def invalidation_for(self, events: Iterable[msgspec.Struct]) -> Invalidation:
        """
        Return what *events* invalidate together; nothing if there are none.

        Raises:
            KeyError: an event has no rule, or a template names a field that the event lacks.
        """
        tags: set[str] = set()
        acknowledged = False
        for event in events:
            rule = self._rows[type(event)]
            fields = msgspec.structs.asdict(event)
            tags.update(template.format_map(fields) for template in rule.tags)
            acknowledged = acknowledged or rule.acknowledged
        return Invalidation(frozenset(tags), acknowledged)
