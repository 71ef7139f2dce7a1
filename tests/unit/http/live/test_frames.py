"""Frames: their envelopes, and what of them an independent implementation makes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from monitor.domain.live import FeedEntry, Kind, Message, UnknownFrame
from monitor.http.live.frames import encode_entry, encode_error, text_frame, text_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000]))
def test_a_frame_is_what_an_independent_implementation_makes_of_the_text(size: int) -> None:
    """text_frame(p) == websockets' unmasked text frame of p, at every width of the length."""
    payload = b"x" * size
    frame = text_frame(payload)
    assert frame == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert text_of(Message(Kind.HEARTBEAT, "e", 0, None, frame)) == payload.decode()


def test_a_message_holds_its_envelope() -> None:
    message = encode_entry(FeedEntry(Kind.ALERT_NEW, AT, msgspec.Raw(b'{"a":"\xc3\xbc"}')), "e", 7)
    assert msgspec.json.decode(text_of(message)) == {
        "type": "alert_new",
        "epoch": "e",
        "seq": 7,
        "at": "2026-01-02T03:04:05Z",
        "data": {"a": "ü"},
    }
    assert message.encoded == text_frame(text_of(message).encode())


def test_an_error_says_what_was_wrong_by_code_and_sentence() -> None:
    sent = msgspec.json.decode(text_of(encode_error(UnknownFrame("Known types: …"), "e", 3, AT)))
    assert (sent["type"], sent["code"], sent["seq"]) == ("error", "unknown_type", 3)
    assert sent["data"] == {"title": UnknownFrame.title, "detail": "Known types: …"}
