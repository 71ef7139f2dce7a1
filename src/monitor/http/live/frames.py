"""WebSocket frames of the live feed, each encoded once for all sockets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from monitor.domain.errors import MonitorError
from monitor.domain.live import FeedEntry, Kind, Message


class _Envelope(msgspec.Struct, kw_only=True):
    type: Kind
    code: str | msgspec.UnsetType = msgspec.UNSET
    epoch: str
    seq: int
    at: datetime
    data: Any


def encode_entry(entry: FeedEntry, epoch: str, seq: int) -> Message:
    """Return *entry* as a message whose ``encoded`` is a text frame."""
    text = msgspec.json.encode(_Envelope(type=entry.kind, epoch=epoch, seq=seq, at=entry.at, data=entry.data))
    return Message(entry.kind, epoch, seq, entry.webhook_id, text_frame(text))


def encode_error(error: MonitorError, epoch: str, seq: int, at: datetime) -> Message:
    """Return the response to a client's bad frame: ``code`` is the error's slug, ``data`` its title and detail."""
    data = {"title": error.title, "detail": error.detail}
    envelope = _Envelope(type=Kind.ERROR, code=error.slug, epoch=epoch, seq=max(seq, 0), at=at, data=data)
    return Message(Kind.ERROR, epoch, seq, None, text_frame(msgspec.json.encode(envelope)))


def text_frame(payload: bytes) -> bytes:
    """Return *payload* as one unmasked text frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


def text_of(message: Message) -> str:
    """Return the text inside the frame of *message*."""
    head_bytes = {126: 4, 127: 10}.get(message.encoded[1], 2)
    return message.encoded[head_bytes:].decode()
