"""Conditions on webhooks that several lists have."""

from __future__ import annotations

from monitor.adapters.postgres.sql import Where
from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.webhooks.chat_url import CHAT_URL, ORIGIN

# A search for parts of it would reveal the secret of a chat URL bit by bit. The first comparison spares most rows the
# others, which take longer.
_NAMED = (
    "w.name ILIKE {0} OR w.description ILIKE {0} OR w.url ILIKE {0} AND CASE"
    " WHEN w.body_format IN ('standard', 'email') AND w.url !~ {1}::text THEN w.url"
    " ELSE substring(w.url FROM {2}::text) END ILIKE {0}"
)
_LABELED = " OR EXISTS (SELECT FROM jsonb_each_text(w.labels) AS label WHERE label.value ILIKE {0})"


def add_conditions(
    condition: Where, *, event_type: str | None, label: str | None, q: str | None, of_labels: bool = False
) -> None:
    """Add conditions on ``webhooks w`` to *condition*; *of_labels* has *q* find the values of labels, too."""
    if event_type is not None:
        condition.add("w.event_types && {}", list(patterns_for(event_type)))
    if label is not None:
        name, separator, value = label.partition("=")
        if separator:
            condition.add("w.labels ->> {} = {}", name, value)
        else:
            condition.add("w.labels ? {}", name)
    if q is not None:
        pattern = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        condition.add(f"({_NAMED}{_LABELED if of_labels else ''})", pattern, CHAT_URL, ORIGIN)
