"""The access log: what a line holds."""

from __future__ import annotations

import io
from typing import Any

import msgspec

from monitor.http.middleware.access_log import access_log
from monitor.log import LineLog, LogStream

NOW = 1_800_000_000.25
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary5f2e"


def written(*, subject: str | None = "ada") -> dict[str, Any]:
    """Return the line of one request."""
    stream = io.BytesIO()
    lines = LineLog(LogStream(stream), style="json")
    access_log(lines, lambda: NOW)(
        "GET", "/api/v1/webhooks/{webhook_id}", 200, 0.0123456, "req-1", subject, "192.0.2.7"
    )
    lines.flush()
    line: dict[str, Any] = msgspec.json.decode(stream.getvalue())
    return line


async def test_a_line_holds_the_request_and_its_answer() -> None:
    assert written() == {
        "method": "GET",
        "route": "/api/v1/webhooks/{webhook_id}",
        "status": 200,
        "ms": 12.346,
        "request_id": "req-1",
        "subject": "ada",
        "client": "192.0.2.7",
        "timestamp": "2027-01-15T08:00:00.250000Z",
        "event": "http_request",
        "level": "info",
    }


async def test_a_subject_cannot_smuggle_a_secret_in() -> None:
    assert written(subject=f"shop {TOKEN}")["subject"] == "shop [redacted]"
