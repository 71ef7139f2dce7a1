"""What goes over the feed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class Kind(StrEnum):
    """The ``type`` of a frame."""

    SNAPSHOT = "snapshot"
    METRICS_UPDATE = "metrics_update"
    ALERT_NEW = "alert_new"
    ALERT_UPDATED = "alert_updated"
    WEBHOOK_STATUS_CHANGED = "webhook_status_changed"
    ANOMALY_OPENED = "anomaly_opened"
    ANOMALY_CLOSED = "anomaly_closed"
    HEARTBEAT = "heartbeat"
    ERROR = "error"


NUMBERED = frozenset(
    {Kind.ALERT_NEW, Kind.ALERT_UPDATED, Kind.WEBHOOK_STATUS_CHANGED, Kind.ANOMALY_OPENED, Kind.ANOMALY_CLOSED}
)
"""Each of these takes the next ``seq``."""

TOPICS: dict[str, frozenset[Kind]] = {
    **{kind.value: frozenset({kind}) for kind in (*sorted(NUMBERED), Kind.METRICS_UPDATE)},
    "alerts": frozenset({Kind.ALERT_NEW, Kind.ALERT_UPDATED}),
    "anomalies": frozenset({Kind.ANOMALY_OPENED, Kind.ANOMALY_CLOSED}),
    "metrics": frozenset({Kind.METRICS_UPDATE}),
    "webhooks": frozenset({Kind.WEBHOOK_STATUS_CHANGED}),
}
"""What a client may subscribe to: a type of frame, or a group of them."""


class FeedEntry(msgspec.Struct, frozen=True):
    """A message before it has a number. ``data`` is JSON; ``webhook_id`` is null if it is about all webhooks."""

    kind: Kind
    at: datetime
    data: msgspec.Raw
    webhook_id: UUID | None = None


class Message(msgspec.Struct, frozen=True):
    """An entry in its place in the feed; ``encoded`` is its form for sockets, made once for all of them."""

    kind: Kind
    epoch: str
    seq: int
    webhook_id: UUID | None
    encoded: bytes


Encode = Callable[[FeedEntry, str, int], Message]
"""Puts an entry in its place, given by epoch and ``seq``."""
