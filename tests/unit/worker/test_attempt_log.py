"""The attempt log: what a line holds, and that a batch is one write."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.services.deliver import SentDelivery
from monitor.domain.vocab import ErrorKind
from monitor.worker.attempt_log import AttemptLogWriter

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
WEBHOOK, EVENT = UUID(int=7), UUID(int=8)


class Stream(io.BytesIO):
    """Counts writes."""

    writes = 0

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.writes += 1
        return super().write(data)


def sent(number: int, outcome: Outcome) -> SentDelivery:
    claimed = ClaimedDelivery(UUID(int=number), EVENT, WEBHOOK, 1, number - 1, "order.paid", b'{"secret": "canary"}')
    return SentDelivery(claimed, UUID(int=100 + number), NOW, outcome)


def test_a_batch_is_one_write_with_a_line_for_each_attempt() -> None:
    stream = Stream()
    write = AttemptLogWriter(stream, lambda: NOW)
    failed = Outcome(9.96, error=ErrorKind.TIMEOUT, error_detail="canary")
    write([sent(1, Outcome(12.345, 200, response_body=b"canary")), sent(2, failed)], {UUID(int=2)})
    assert stream.writes == 1
    assert b"canary" not in stream.getvalue()
    both = {
        "webhook_id": str(WEBHOOK),
        "event_id": str(EVENT),
        "timestamp": "2027-01-15T08:00:00Z",
        "event": "attempt",
        "level": "info",
    }
    assert [msgspec.json.decode(line) for line in stream.getvalue().splitlines()] == [
        both | {"delivery_id": str(UUID(int=1)), "number": 1, "outcome": "ok", "ms": 12.3, "settled": True},
        both | {"delivery_id": str(UUID(int=2)), "number": 2, "outcome": "timeout", "ms": 10.0, "settled": False},
    ]


def test_lines_are_flushed_with_their_batch() -> None:
    beneath = io.BytesIO()
    write = AttemptLogWriter(io.BufferedWriter(beneath), lambda: NOW)
    write([sent(1, Outcome(1.0, 200))], set())
    assert beneath.getvalue().count(b"\n") == 1
