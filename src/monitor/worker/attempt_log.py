"""The attempt log: one line per attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.services.settle import SentDelivery
from monitor.log import LineLog

LogAttempts = Callable[[Sequence[SentDelivery], Collection[UUID]], None]
"""Takes a settled batch, and the deliveries of it that had ended or been taken over meanwhile."""


class AttemptLine(msgspec.Struct):
    """One line. ``ms`` is the latency; ``settled`` is false if the delivery had ended or been taken over meanwhile."""

    delivery_id: UUID
    webhook_id: UUID
    event_id: UUID
    number: int
    outcome: str
    ms: float
    settled: bool
    timestamp: datetime
    event: str = "attempt"
    level: str = "info"


def attempt_log(lines: LineLog, now: Callable[[], datetime]) -> LogAttempts:
    """Return a function that writes the lines of a batch. Needs a running event loop."""

    def write(batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
        at = now()
        lines.write([_line(sent, at, sent.delivery.id not in lost) for sent in batch])

    return write


def _line(sent: SentDelivery, at: datetime, settled: bool) -> AttemptLine:
    delivery, outcome = sent.delivery, sent.outcome
    return AttemptLine(
        delivery.id,
        delivery.webhook_id,
        delivery.event_id,
        delivery.attempts + 1,
        outcome.label,
        round(outcome.latency_ms, 1),
        settled,
        at,
    )
