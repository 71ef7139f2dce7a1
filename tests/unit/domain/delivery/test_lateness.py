"""Lateness is computed when a message is sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.lateness import as_sent, late_text

TYPE = "monitor.alert.resolved"
DUE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def payload(**changes: Any) -> bytes:
    members = {"type": TYPE, "timestamp": DUE, "data": {"alert": {"title": "x", "big": 2**70}}}
    return msgspec.json.encode(members | changes)


@given(st.integers(-100, 10**6), st.integers(0, 999_999))
def test_a_message_says_when_it_is_sent_and_how_late_that_is(seconds: int, microsecond: int) -> None:
    """sent_at is the whole second of the attempt; late_s is counted from when it was due, never negative."""
    at = DUE + timedelta(seconds=seconds, microseconds=microsecond)
    sent = msgspec.json.decode(as_sent(TYPE, payload(), at))
    assert msgspec.convert(sent["sent_at"], datetime) == DUE + timedelta(seconds=seconds)
    assert sent["late_s"] == max(seconds, 0)
    assert {name: sent[name] for name in ("type", "timestamp", "data")} == msgspec.json.decode(payload())


def test_what_a_silence_held_is_late_from_its_end() -> None:
    later = DUE + timedelta(hours=2)
    sent = msgspec.json.decode(as_sent(TYPE, payload(due_at=later), later + timedelta(seconds=90)))
    assert sent["late_s"] == 90


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"timestamp": 5}', b"\xff", b'{"x": ' + b"[" * 50_000])
def test_a_payload_that_cannot_be_read_is_sent_as_it_is(body: bytes) -> None:
    assert as_sent(TYPE, body, DUE) is body


def test_other_events_are_sent_byte_for_byte() -> None:
    body = payload()
    assert as_sent("order.paid", body, DUE) is body


@pytest.mark.parametrize(
    ("late_s", "expected"),
    [
        (0, None),
        (59, None),
        (60, "1 minute late"),
        (18 * 60 + 40, "18 minutes late"),
        (119 * 60, "119 minutes late"),
        (2 * 3_600, "2 hours late"),
        (47 * 3_600, "47 hours late"),
        (49 * 3_600, "2 days late"),
    ],
)
def test_lateness_in_words(late_s: int, expected: str | None) -> None:
    assert late_text(late_s) == expected
