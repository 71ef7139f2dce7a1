"""Messages of the feed, and the topics for selecting messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class MessageKind(StrEnum):
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
    {
        MessageKind.ALERT_NEW,
        MessageKind.ALERT_UPDATED,
        MessageKind.WEBHOOK_STATUS_CHANGED,
        MessageKind.ANOMALY_OPENED,
        MessageKind.ANOMALY_CLOSED,
    }
)
"""The kinds that take the next ``seq``."""

TOPICS: dict[str, frozenset[MessageKind]] = {
    **{kind.value: frozenset({kind}) for kind in (*sorted(NUMBERED), MessageKind.METRICS_UPDATE)},
    "alerts": frozenset({MessageKind.ALERT_NEW, MessageKind.ALERT_UPDATED}),
    "anomalies": frozenset({MessageKind.ANOMALY_OPENED, MessageKind.ANOMALY_CLOSED}),
    "metrics": frozenset({MessageKind.METRICS_UPDATE}),
    "webhooks": frozenset({MessageKind.WEBHOOK_STATUS_CHANGED}),
}
"""What a client may subscribe to: a kind of message, or a group of kinds."""


class FeedEntry(msgspec.Struct, frozen=True):
    """A message without a number yet. ``data`` is JSON; ``webhook_id`` is ``None`` if it is about all webhooks."""

    kind: MessageKind
    at: datetime
    data: msgspec.Raw
    webhook_id: UUID | None = None


class Message(msgspec.Struct, frozen=True):
    """A numbered entry; ``encoded`` is its form for sockets, encoded once for all."""

    kind: MessageKind
    epoch: str
    seq: int
    webhook_id: UUID | None
    encoded: bytes


Encode = Callable[[FeedEntry, str, int], Message]
"""Returns the message of an entry, epoch and ``seq``."""
