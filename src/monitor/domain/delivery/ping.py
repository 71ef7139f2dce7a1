"""The payload of a test message."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.ids import id_time

PING_TYPE = "monitor.ping"


def ping_payload(webhook_id: UUID, attempt_id: UUID) -> bytes:
    """Return the payload of a test message: of the ids alone, so that it can be shown again as it was sent."""
    return msgspec.json.encode({"type": PING_TYPE, "webhook_id": webhook_id, "at": id_time(attempt_id)})
