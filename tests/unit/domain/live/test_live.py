"""The live feed without sockets: the ring, filters, and the frames of clients."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import (
    Forbidden,
    Invalid,
    Malformed,
    MonitorError,
    TooManyRequests,
    Unauthenticated,
)
from monitor.domain.live import (
    FeedEntry,
    FeedTail,
    Filter,
    Message,
    MessageKind,
    Position,
    Reader,
    Resume,
    Session,
    SocketGrant,
    Stream,
    Subscribe,
    UnknownFrame,
)
from monitor.domain.live.messages import NUMBERED, TOPICS
from monitor.domain.live.session import MAX_FRAMES, RATE_WINDOW_S, Auth
from monitor.domain.vocab import Role

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOOK, OTHER = UUID(int=1), UUID(int=2)


def entry(kind: MessageKind = MessageKind.ALERT_NEW, data: Any = None, webhook_id: UUID | None = None) -> FeedEntry:
    return FeedEntry(kind, AT, msgspec.Raw(msgspec.json.encode(data)), webhook_id)


def encode(entry: FeedEntry, epoch: str, seq: int) -> Message:
    return Message(entry.kind, epoch, seq, entry.webhook_id, b"")


def stream_of(count: int, *, capacity: int = 8) -> Stream:
    """Return a stream after *count* messages."""
    stream = Stream("e", encode, capacity=capacity)
    assert stream.extend(FeedTail(Position("e", count), [(i, entry(data=i)) for i in range(1, count + 1)])) is not None
    return stream


def numbers(messages: list[Message]) -> list[int]:
    return [message.seq for message in messages]


# The stream ------------------------------------------------------------------------------------------------------


def test_a_stream_appends_the_following_entries_once() -> None:
    stream = stream_of(3)
    tail = FeedTail(Position("e", 5), [(i, entry()) for i in (2, 3, 4, 5)])
    assert numbers(stream.extend(tail) or []) == [4, 5]
    assert stream.extend(tail) == []
    assert stream.position == Position("e", 5)


@pytest.mark.parametrize(
    "tail",
    [
        FeedTail(Position("e", 5), [(5, entry())]),
        FeedTail(Position("e", 6), [(4, entry()), (6, entry())]),
        FeedTail(Position("e", 4)),
        FeedTail(Position("f", 4), [(4, entry())]),
    ],
    ids=["a gap before", "a gap inside", "more at the end", "another epoch"],
)
def test_a_stream_refuses_entries_that_do_not_continue_it(tail: FeedTail) -> None:
    stream = stream_of(3)
    assert stream.extend(tail) is None
    assert (stream.position, numbers(stream.after(0))) == (Position("e", 3), [1, 2, 3])


def test_a_stream_restarts_with_a_tail() -> None:
    stream = stream_of(3)
    stream.restart(FeedTail(Position("f", 9), [(8, entry()), (9, entry())]))
    assert (stream.position, stream.covers(7), stream.covers(6)) == (Position("f", 9), True, False)
    stream.restart(FeedTail(Position("g", 4)))
    assert (stream.position, stream.after(4), stream.covers(3)) == (Position("g", 4), [], False)


@given(st.integers(0, 30), st.integers(1, 10), st.integers(-2, 32))
def test_a_covered_position_has_all_messages_after_it(count: int, capacity: int, seq: int) -> None:
    """covers(s) ⟺ max(0, n - capacity) <= s <= n, and then after(s) is exactly s+1 … n."""
    stream = stream_of(count, capacity=capacity)
    assert stream.covers(seq) == (max(0, count - capacity) <= seq <= count)
    if stream.covers(seq):
        assert numbers(stream.after(seq)) == list(range(seq + 1, count + 1))


# Readers ---------------------------------------------------------------------------------------------------------


def test_a_reader_resumes_if_all_later_messages_are_in_the_ring() -> None:
    stream, reader = stream_of(20), Reader()
    assert reader.resume(stream, Position("e", 15))
    assert (reader.lag(stream), numbers(list(reader.unread(stream)))) == (5, [16, 17, 18, 19, 20])
    assert (reader.cursor, reader.lag(stream)) == (20, 0)
    for unknown in (Position("e", 11), Position("f", 15)):
        assert not reader.resume(stream, unknown)
    assert reader.cursor == 20


def test_a_reader_ahead_of_the_stream_waits_until_it_has_caught_up_and_goes_on() -> None:
    stream, reader = stream_of(18), Reader()
    assert reader.resume(stream, Position("e", 20))
    assert (reader.is_ahead(stream), reader.is_lost(stream), reader.lag(stream)) == (True, False, 0)
    assert list(reader.unread(stream)) == []
    stream.extend(FeedTail(Position("e", 20), [(19, entry()), (20, entry())]))
    assert (reader.is_ahead(stream), list(reader.unread(stream))) == (False, [])
    stream.extend(FeedTail(Position("e", 21), [(21, entry())]))
    assert numbers(list(reader.unread(stream))) == [21]


def test_a_snapshot_must_include_what_the_reader_has_of_the_epoch() -> None:
    stream, reader = stream_of(18), Reader()
    assert reader.await_snapshot(stream) == 18
    reader.resume(stream, Position("e", 20))
    assert [reader.await_snapshot(stream) for _ in range(2)] == [20, 20]
    stream.extend(FeedTail(Position("e", 21), [(i, entry()) for i in (19, 20, 21)]))
    assert reader.await_snapshot(stream) == 21
    stream.restart(FeedTail(Position("f", 3)))
    assert reader.await_snapshot(stream) == 3
    reader.resume(stream, Position("f", 9))
    reader.forget()
    assert reader.await_snapshot(stream) == 3


def test_a_reader_that_stops_early_keeps_the_rest() -> None:
    stream, reader = stream_of(5), Reader()
    reader.resume(stream, Position("e", 0))
    assert next(reader.unread(stream)).seq == 1
    assert numbers(list(reader.unread(stream))) == [2, 3, 4, 5]


def test_a_reader_behind_the_ring_is_lost_but_one_that_awaits_a_snapshot_is_not() -> None:
    stream, reader = stream_of(8), Reader()
    assert (reader.is_lost(stream), reader.lag(stream)) == (False, 0)
    assert reader.start(stream, encode(entry(MessageKind.SNAPSHOT), "e", 0))
    assert not reader.is_lost(stream)
    stream.extend(FeedTail(Position("e", 9), [(9, entry())]))
    assert reader.is_lost(stream)
    reader.await_snapshot(stream)
    assert not reader.is_lost(stream)


@pytest.mark.parametrize(
    ("topics", "webhooks", "passed"),
    [
        (None, None, {"alert", "anomaly", "system alert", "metrics"}),
        (["alerts"], None, {"alert", "system alert"}),
        (["alert_new", "metrics"], [OTHER], {"system alert", "metrics"}),
        (None, [HOOK], {"alert", "anomaly", "system alert", "metrics"}),
        ([], None, set()),
    ],
)
def test_a_filter_passes_its_topics_and_webhooks(
    topics: list[str] | None, webhooks: list[UUID] | None, passed: set[str]
) -> None:
    filter_ = Filter.of(topics, webhooks)
    about = {
        "alert": (MessageKind.ALERT_NEW, HOOK),
        "anomaly": (MessageKind.ANOMALY_OPENED, HOOK),
        "system alert": (MessageKind.ALERT_NEW, None),
        "metrics": (MessageKind.METRICS_UPDATE, None),
    }
    assert {name for name, what in about.items() if filter_.passes(*what)} == passed
    assert filter_.passes(MessageKind.HEARTBEAT, None)
    assert filter_.passes(MessageKind.SNAPSHOT, None)


def test_a_filtered_reader_yields_what_passes_and_moves_over_the_rest() -> None:
    stream, reader = Stream("e", encode), Reader()
    reader.filter = Filter.of(["anomalies"], None)
    reader.resume(stream, Position("e", 0))
    stream.extend(
        FeedTail(Position("e", 2), [(1, entry(MessageKind.ANOMALY_OPENED)), (2, entry(MessageKind.ALERT_NEW))])
    )
    assert numbers(list(reader.unread(stream))) == [1]
    assert reader.cursor == 2


def test_an_unknown_topic_is_pointed_at() -> None:
    with pytest.raises(Invalid) as refused:
        Filter.of(["alerts", "weather"], None)
    assert refused.value.errors[0].pointer == "/topics/1"
    assert all(topic in refused.value.detail for topic in TOPICS)


def test_every_numbered_kind_has_a_topic_of_its_name_and_is_in_a_group() -> None:
    for kind in NUMBERED:
        assert TOPICS[kind.value] == {kind}
        assert any(kind in TOPICS[group] for group in ("alerts", "anomalies", "webhooks"))


# Frames of a client ----------------------------------------------------------------------------------------------


def session(role: Role = Role.OPERATOR) -> Session:
    return Session(SocketGrant("ada", role, "jti", 100.0, "key"))


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type":"auth","token":"t"}', Auth("t")),
        ('{"type":"subscribe"}', Subscribe()),
        ('{"type":"subscribe","topics":["alerts"],"webhooks":null}', Subscribe(["alerts"], None)),
        ('{"type":"resume","epoch":"e","seq":3}', Resume("e", 3)),
    ],
)
def test_a_frame_is_read(text: str, frame: Any) -> None:
    assert session().read_frame(text, 0.0) == frame


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Auth("secret"))


def test_a_resumption_names_a_position() -> None:
    assert Resume("e", 3).position == Position("e", 3)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ('{"type":"drop_tables"}', UnknownFrame),
        ('{"type":"auth"}', Invalid),
        ('{"type":"auth","token":"t","more":1}', Invalid),
        ('{"type":"resume","epoch":"e","seq":-1}', Invalid),
        ('{"type":"subscribe","webhooks":["no id"]}', Invalid),
        ("[]", Invalid),
        ("{", Malformed),
        ('{"x":' + "[" * 16_000, Malformed),
        ('{"type":"auth","token":"\udc80"}', Malformed),
        (b"{}", Malformed),
        (None, Malformed),
    ],
)
def test_a_bad_frame_is_refused(payload: str | bytes | None, error: type[MonitorError]) -> None:
    with pytest.raises(error):
        session().read_frame(payload, 0.0)


@given(st.text() | st.binary())
def test_any_frame_is_read_or_refused(payload: str | bytes) -> None:
    """read_frame is total: a frame or a MonitorError for any payload."""
    with contextlib.suppress(MonitorError):
        session().read_frame(payload, 0.0)


def test_too_many_frames_in_a_minute_are_refused() -> None:
    busy = session()
    for i in range(MAX_FRAMES * 2):
        busy.read_frame('{"type":"subscribe"}', i * (RATE_WINDOW_S + 1) / MAX_FRAMES)
    for i in range(MAX_FRAMES - 1):
        busy.read_frame('{"type":"subscribe"}', 1000.0 + i * 0.01)
    busy.read_frame('{"type":"subscribe"}', 1001.0)
    with pytest.raises(TooManyRequests):
        busy.read_frame('{"type":"subscribe"}', 1002.0)


def test_a_newer_token_may_have_fewer_rights_but_not_more() -> None:
    held = session(Role.OPERATOR)
    held.renew_token(SocketGrant("ada", Role.VIEWER, "jti-2", 200.0))
    assert held.grant.expires_at == 200.0
    for worse in (SocketGrant("bob", Role.VIEWER, "j", 300.0), SocketGrant("ada", Role.OPERATOR, "j", 300.0)):
        with pytest.raises(Forbidden):
            held.renew_token(worse)
    with pytest.raises(Forbidden, match="role viewer"):
        session(Role.ADMIN).renew_token(SocketGrant("ada", Role.PUBLISHER, "j", 300.0))
    assert held.grant.expires_at == 200.0


def test_a_token_ends_when_it_expires_is_revoked_or_loses_its_key() -> None:
    held = session()
    held.check_token(99.9, set[str]().__contains__, {"key"}.__contains__)
    for now, revoked, keys in ((100.0, set[str](), {"key"}), (1.0, {"jti"}, {"key"}), (1.0, set[str](), {"other"})):
        with pytest.raises(Unauthenticated):
            held.check_token(now, revoked.__contains__, keys.__contains__)
