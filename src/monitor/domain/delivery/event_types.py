"""Event types and the patterns of subscriptions."""

from __future__ import annotations

import re

RESERVED_SEGMENT = "monitor"
"""First segment of the types of Monitor's own events, such as ``monitor.alert.raised``."""

_TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(r"\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?")

EVENT_TYPE = {"maxLength": 128, "pattern": f"^(?!monitor(\\.|$))({_TYPE.pattern})$"}
EVENT_PATTERN = {"maxLength": 128, "pattern": f"^({_PATTERN.pattern})$"}
FILTER_TYPE = {"maxLength": 128, "pattern": f"^({_TYPE.pattern}(\\.\\*)?)$"}
"""JSON Schemas for the documentation only; the functions below decide."""


def is_event_type(text: str) -> bool:
    """Whether *text* is dot-separated segments of letters, digits, ``_`` and ``-``, 128 characters at most."""
    return len(text) <= 128 and _TYPE.fullmatch(text) is not None


def is_pattern(text: str) -> bool:
    """Whether *text* is ``*``, an event type, or an event type followed by ``.*``."""
    return len(text) <= 128 and _PATTERN.fullmatch(text) is not None


def is_reserved(event_type: str) -> bool:
    """Whether only Monitor itself publishes events of this type."""
    return event_type.split(".", 1)[0] == RESERVED_SEGMENT


def patterns_for(event_type: str) -> tuple[str, ...]:
    """Return every pattern that matches *event_type*, most specific first.

    ``order.paid.eu`` → ``order.paid.eu``, ``order.paid.*``, ``order.*``, ``*``. The last one is left out for Monitor's
    own events: a subscription to every order is none to the alerts about other webhooks.
    """
    parts = event_type.split(".")
    prefixes = (".".join(parts[:n]) + ".*" for n in range(len(parts) - 1, 0, -1))
    return (event_type, *prefixes, *(() if is_reserved(event_type) else ("*",)))
