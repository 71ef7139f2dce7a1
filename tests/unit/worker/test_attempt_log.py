"""The attempt log: what a line holds."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.services.settle import SentDelivery
from monitor.domain.vocab import ErrorKind, SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.secret_mask import SecretMask
from monitor.log import LineLog, LogStream
from monitor.worker.attempt_log import attempt_log

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
NO_SECRETS = SecretMask(Destination("https://a.com/", 1.0, (), SignatureScheme.V1, ()))
WEBHOOK, EVENT = UUID(int=7), UUID(int=8)


def sent(number: int, outcome: Outcome) -> SentDelivery:
    claimed = ClaimedDelivery(UUID(int=number), EVENT, WEBHOOK, 1, number - 1, "order.paid", b'{"secret": "canary"}')
    return SentDelivery(claimed, UUID(int=100 + number), NOW, outcome, NO_SECRETS)


async def test_a_batch_has_a_line_for_each_attempt_and_no_secret() -> None:
    written = io.BytesIO()
    lines = LineLog(LogStream(written), style="json")
    failed = Outcome(9.96, error=ErrorKind.TIMEOUT, error_detail="canary")
    batch = [sent(1, Outcome(12.345, 200, response_body=b"canary")), sent(2, failed)]

    attempt_log(lines, lambda: NOW)(batch, {UUID(int=2)})
    lines.flush()

    assert b"canary" not in written.getvalue()
    both = {
        "webhook_id": str(WEBHOOK),
        "event_id": str(EVENT),
        "timestamp": "2027-01-15T08:00:00Z",
        "event": "attempt",
        "level": "info",
    }
    assert [msgspec.json.decode(line) for line in written.getvalue().splitlines()] == [
        both | {"delivery_id": str(UUID(int=1)), "number": 1, "outcome": "ok", "ms": 12.3, "settled": True},
        both | {"delivery_id": str(UUID(int=2)), "number": 2, "outcome": "timeout", "ms": 10.0, "settled": False},
    ]
