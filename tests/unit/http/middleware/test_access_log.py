"""The request log: what a line holds, and when lines are written."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import msgspec
import pytest

from monitor.http.middleware import access_log as request_lines
from monitor.http.middleware.access_log import GATHER_BYTES, AccessLogWriter

NOW = 1_800_000_000.25
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary5f2e"


class Stream(io.BytesIO):
    """Remembers what was flushed, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())
        self.seek(0)
        self.truncate()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in b"".join(self.flushed).splitlines()]


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def lines(stream: Stream) -> AccessLogWriter:
    return AccessLogWriter(stream, lambda: NOW)


def note(lines: AccessLogWriter, *, request_id: str = "req-1", subject: str | None = "ada") -> None:
    lines("GET", "/api/v1/webhooks/{webhook_id}", 200, 0.0123456, request_id, subject)


async def test_a_line_holds_what_the_general_logger_would_say(lines: AccessLogWriter, stream: Stream) -> None:
    note(lines)
    lines.flush()
    assert stream.lines == [
        {
            "method": "GET",
            "route": "/api/v1/webhooks/{webhook_id}",
            "status": 200,
            "ms": 12.346,
            "request_id": "req-1",
            "subject": "ada",
            "timestamp": "2027-01-15T08:00:00.250000Z",
            "event": "http_request",
            "level": "info",
        }
    ]


async def test_a_subject_cannot_smuggle_a_secret_in(lines: AccessLogWriter, stream: Stream) -> None:
    note(lines, subject=f"shop {TOKEN}")
    lines.flush()
    assert b"canary5f2e" not in b"".join(stream.flushed)
    assert [line["subject"] for line in stream.lines] == ["shop [redacted]"]


async def test_lines_are_gathered_and_written_at_once(
    lines: AccessLogWriter, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_lines, "GATHER_S", 0.0)
    note(lines)
    note(lines, subject="bob")
    assert stream.flushed == []
    while not stream.flushed:
        await asyncio.sleep(0)
    note(lines, subject="eve")
    while len(stream.flushed) < 2:
        await asyncio.sleep(0)
    assert [written.count(b"\n") for written in stream.flushed] == [2, 1]
    assert [line["subject"] for line in stream.lines] == ["ada", "bob", "eve"]


async def test_many_lines_do_not_wait(lines: AccessLogWriter, stream: Stream) -> None:
    while not stream.flushed:
        note(lines)
    assert GATHER_BYTES < len(stream.flushed[0]) < GATHER_BYTES + 1000
    note(lines)
    lines.flush()
    assert stream.flushed[1].count(b"\n") == 1


async def test_flushing_nothing_writes_nothing(lines: AccessLogWriter, stream: Stream) -> None:
    lines.flush()
    note(lines)
    lines.flush()
    lines.flush()
    assert len(stream.flushed) == 1
