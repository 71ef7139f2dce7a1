"""Lateness: how long after it was due a message about an alert is sent."""

from __future__ import annotations

from datetime import datetime

import msgspec

from monitor.domain.delivery.order import ALERT_KEYS

LATE_S = 60
"""From how many seconds on a message states in words that it is late."""

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def as_sent(event_type: str, payload: bytes, at: datetime) -> bytes:
    """
    Return the payload of an event as an attempt at *at* sends it: one about an alert with ``sent_at`` and ``late_s``,
    the whole seconds since it was due; any other byte for byte. Total.

    Of *at*, whole seconds count, so that the id of the attempt and the payload make the same bytes again.
    """
    if not event_type.startswith(ALERT_KEYS):
        return payload
    at = at.replace(microsecond=0)
    try:
        members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        due = msgspec.json.decode(payload, type=_Due)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload
    late_s = max(round((at - (due.due_at or due.timestamp)).total_seconds()), 0)
    return msgspec.json.encode({**members, "sent_at": at, "late_s": late_s})


def late_text(late_s: int) -> str | None:
    """Return the words for a message that is late, such as "18 minutes late"; ``None`` if it is not."""
    if late_s < LATE_S:
        return None
    # Two of a unit at least: 119 minutes are more exact than 1 hour.
    unit_s, name = next(unit for unit in _UNITS if late_s >= 2 * unit[0] or unit is _UNITS[-1])
    count = late_s // unit_s
    return f"{count} {name}{'' if count == 1 else 's'} late"


class _Due(msgspec.Struct):
    timestamp: datetime
    due_at: datetime | None = None
