"""Messages of the feed, encoded once for all sockets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.errors import MonitorError


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
"""The kinds that take the next ``seq``."""

TOPICS: dict[str, frozenset[Kind]] = {
    **{kind.value: frozenset({kind}) for kind in (*sorted(NUMBERED), Kind.METRICS_UPDATE)},
    "alerts": frozenset({Kind.ALERT_NEW, Kind.ALERT_UPDATED}),
    "anomalies": frozenset({Kind.ANOMALY_OPENED, Kind.ANOMALY_CLOSED}),
    "metrics": frozenset({Kind.METRICS_UPDATE}),
    "webhooks": frozenset({Kind.WEBHOOK_STATUS_CHANGED}),
}
"""What a client may subscribe to: a kind of message, or a group of kinds."""


class FeedEntry(msgspec.Struct, frozen=True):
    """A message without a number yet. ``data`` is JSON; ``webhook_id`` is ``None`` if it is about all webhooks."""

    kind: Kind
    at: datetime
    data: msgspec.Raw
    webhook_id: UUID | None = None


class Message(msgspec.Struct, frozen=True):
    """A message ready for any socket: ``frame`` is its RFC 6455 frame, with a header of ``head`` bytes."""

    kind: Kind
    epoch: str
    seq: int
    webhook_id: UUID | None
    frame: bytes
    head: int

    @property
    def text(self) -> str:
        return self.frame[self.head :].decode()


class _Envelope(msgspec.Struct):
    type: Kind
    epoch: str
    seq: int
    at: datetime
    data: msgspec.Raw


class _ErrorEnvelope(msgspec.Struct):
    type: Kind
    code: str
    epoch: str
    seq: int
    at: datetime
    data: dict[str, Any]


def seal(entry: FeedEntry, epoch: str, seq: int) -> Message:
    """Return *entry* with its number, encoded in its envelope."""
    text = msgspec.json.encode(_Envelope(entry.kind, epoch, seq, entry.at, entry.data))
    return _message(entry.kind, epoch, seq, entry.webhook_id, text)


def seal_error(error: MonitorError, epoch: str, seq: int, at: datetime) -> Message:
    """Return the message for a client's invalid frame: ``code`` is the error's slug, ``data`` its title and detail."""
    data = {"title": error.title, "detail": error.detail}
    text = msgspec.json.encode(_ErrorEnvelope(Kind.ERROR, error.slug, epoch, max(seq, 0), at, data))
    return _message(Kind.ERROR, epoch, seq, None, text)


def text_frame(payload: bytes) -> bytes:
    """Return *payload* as one unmasked text frame (RFC 6455 section 5.2)."""
    return _head(len(payload)) + payload


def _message(kind: Kind, epoch: str, seq: int, webhook_id: UUID | None, text: bytes) -> Message:
    return Message(kind, epoch, seq, webhook_id, text_frame(text), len(_head(len(text))))


def _head(size: int) -> bytes:
    if size < 126:
        return bytes((0x81, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)
