"""What the hub sends to its sockets, and when it closes them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from monitor.domain.errors import Invalid, Unavailable
from monitor.domain.live import FeedEntry, FeedTail, Message, MessageKind, Position, Resume, Subscribe
from monitor.domain.live.stream import RING_MESSAGES
from monitor.http.live.close_codes import CloseCode
from monitor.http.live.hub import AHEAD_TICKS, DISCONNECTED_SNAPSHOT_S, HEARTBEAT_S
from monitor.http.live.socket import STALL_S
from tests.unit.http.live.live_support import (
    FakeFrameTransport,
    World,
    running,
)
from tests.unit.http.middleware.test_authentication import CASES
from tests.unit.http.support import NOW
from tests.waiting import until


@pytest.fixture
def world() -> World:
    return World()


def case(id_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in CASES["ws_handshake"] + CASES["ws_session"] if row["id"] == id_)
    return found


async def test_one_snapshot_serves_all_who_wait(world: World) -> None:
    read = []
    world.reading = lambda: read.append(1)
    sockets = [world.open(f"user-{i}") for i in range(3)]
    for socket, _ in sockets:
        world.hub.begin(socket, None)
    await world.hub.send_snapshots()
    await world.hub.send_snapshots()
    assert [transport.seen for _, transport in sockets] == [[("snapshot", 0)]] * 3
    assert len(read) == 1


async def test_what_happens_while_a_snapshot_is_read_is_told_after_it(world: World) -> None:
    socket, transport = world.open()
    world.hub.begin(socket, None)
    await asyncio.gather(world.hub.send_snapshots(), world.tell(1, 2))
    assert transport.seen == [("snapshot", 0), ("alert_new", 1), ("alert_new", 2)]


async def test_a_subscription_is_answered_by_a_snapshot_and_a_late_resumption_by_nothing(world: World) -> None:
    socket, transport = await world.watch()
    world.hub.handle(socket, Resume(world.stream.epoch, 0))
    assert world.hub._waiting == {}
    world.hub.handle(socket, Subscribe(["anomalies"]))
    await world.tell(1)
    await world.hub.send_snapshots()
    await world.tell(2)
    await world.tell(3, kind="anomaly_opened")
    assert transport.seen == [("snapshot", 0), ("snapshot", 1), ("anomaly_opened", 3)]
    with pytest.raises(Invalid):
        world.hub.handle(socket, Subscribe(["weather"]))


async def test_a_snapshot_that_is_older_than_what_a_socket_has_seen_is_not_given_to_it(world: World) -> None:
    socket, transport = world.open()
    world.hub.begin(socket, None)

    def meanwhile() -> None:
        # Its resumption succeeds, it is told a message, and then it asks for a snapshot again.
        world.reading = lambda: None
        world.hub.begin(socket, world.stream.position)
        entry = FeedEntry(MessageKind.ALERT_NEW, datetime.fromtimestamp(NOW, UTC), msgspec.Raw(b"1"))
        (message,) = world.stream.extend(FeedTail(Position(world.stream.epoch, 1), [(1, entry)])) or []
        socket.send_numbered(message, NOW)
        world.hub.handle(socket, Subscribe())

    world.reading = meanwhile
    await world.hub.send_snapshots()
    assert transport.seen == [("alert_new", 1)]
    await world.hub.send_snapshots()
    assert transport.seen == [("alert_new", 1), ("snapshot", 1)]


async def test_a_snapshot_of_an_older_epoch_is_given_to_nobody(world: World) -> None:
    socket, transport = world.open()
    world.hub.begin(socket, None)

    def meanwhile() -> None:
        world.reading = lambda: None
        world.stream.restart(FeedTail(Position("later", 0)))
        world.hub.restart()

    world.reading = meanwhile
    await world.hub.send_snapshots()
    assert transport.messages == []
    await world.hub.send_snapshots()
    assert [(frame["epoch"], frame["seq"]) for frame in transport.written] == [("later", 0)]


async def test_without_a_snapshot_clients_wait_and_get_it_later(world: World) -> None:
    socket, transport = world.open()
    for failure in (Unavailable("The database is away."), RuntimeError("a bug")):
        world.hub.begin(socket, None)
        world.failure = failure
        async with running(world.hub.loops()):
            await until(lambda: transport.messages)
        transport.messages.clear()


async def test_metrics_go_out_once_a_tick_and_only_the_newest(world: World) -> None:
    _, transport = await world.watch()
    _, slow = await world.watch("bob")
    slow.congested = True
    for i in range(5):
        world.hub.set_metrics(b'{"i":%d}' % i)
    for beat in (1, 2, 3):
        await world.hub.tick(beat)
    world.hub.set_metrics(b'{"i":5}')
    await world.hub.tick(4)
    slow.drain()
    await world.hub.tick(5)
    assert [frame["data"] for frame in transport.written[1:]] == [{"i": 4}, {"i": 5}]
    assert [frame["data"] for frame in slow.written[1:]] == [{"i": 5}]


async def test_a_heart_beats_every_thirty_seconds(world: World) -> None:
    _, transport = await world.watch()
    await world.tell(1)
    for beat in range(1, 61):
        await world.hub.tick(beat)
    assert transport.seen[2:] == [("heartbeat", 1)] * 2
    assert HEARTBEAT_S == 30


async def test_a_socket_gets_no_frame_after_its_token_ran_out(world: World) -> None:
    _, one = await world.watch(expires_in_s=3)
    _, two = await world.watch("bob", expires_in_s=3)
    world.now += 3
    await world.tell(1)
    assert one.ended == two.ended == (4401, "token expired")
    _, three = await world.watch("eve", expires_in_s=3)
    world.hub.set_metrics(b"{}")
    world.now += 3
    await world.hub._send_metrics()
    assert three.ended == (4401, "token expired")
    assert [len(transport.messages) for transport in (one, two, three)] == [1, 1, 1]


async def test_a_revoked_token_closes_its_sockets(world: World) -> None:
    _, transport = await world.watch()
    _, other = await world.watch("bob")
    world.revoked.add("jti-ada")
    await world.hub.tick(1)
    assert (transport.ended, other.ended) == ((4401, "invalid_token"), None)


async def test_a_key_that_is_taken_away_closes_the_sockets_of_its_tokens(world: World) -> None:
    _, transport = await world.watch()
    _, other = await world.watch("bob", key_id="other")
    world.removed_keys.add("key")
    await world.hub.tick(1)
    assert (transport.ended, other.ended) == ((4401, "invalid_token"), None)


async def test_a_slow_reader_is_caught_up_from_the_ring(world: World) -> None:
    _, slow = await world.watch()
    _, good = await world.watch("bob")
    slow.congested = True
    await world.tell(*range(100))
    assert world.hub.status().sockets[0].backlog == 100
    assert len(slow.messages) == 1
    slow.drain()
    assert slow.seen == good.seen
    await world.tell(100)
    assert slow.seen == good.seen


async def test_a_reader_that_stalls_or_falls_out_of_the_ring_is_closed(world: World) -> None:
    _, stalled = await world.watch()
    stalled.congested = True
    await world.hub.tick(1)
    world.now += STALL_S + 1
    await world.hub.tick(2)
    assert stalled.ended == (case("W44")["expect"]["close"], "too slow")
    for way in ("tick", "drain"):
        _, lost = await world.watch(way)
        lost.congested = True
        for _ in range(2):
            await world.tell(*range(RING_MESSAGES // 2 + 1))
        if way == "tick":
            await world.hub.tick(3)
        else:
            lost.drain()
        assert (lost.ended, len(lost.messages)) == ((1013, "too slow"), 1)


async def test_a_reader_that_recovers_may_stall_again(world: World) -> None:
    _, transport = await world.watch()
    for _ in range(3):
        transport.congested = True
        await world.hub.tick(1)
        world.now += STALL_S - 1
        await world.hub.tick(2)
        transport.drain()
        await world.hub.tick(3)
    assert transport.ended is None


async def test_a_congested_newcomer_gets_its_snapshot_when_it_reads(world: World) -> None:
    socket, transport = world.open()
    transport.congested = True
    world.hub.begin(socket, None)
    await world.hub.send_snapshots()
    assert transport.messages == []
    transport.drain()
    await world.hub.send_snapshots()
    assert transport.seen == [("snapshot", 0)]


async def test_a_long_replay_stops_where_the_peer_stops_reading(world: World) -> None:
    await world.tell(*range(10))
    socket, transport = world.open()

    class Narrow(FakeFrameTransport):
        def write(self, message: Any) -> None:
            super().write(message)
            self.congested = len(self.messages) % 4 == 0

    socket.transport = transport = Narrow()
    transport.on_drained = lambda: world.hub._drained(socket)
    world.hub.begin(socket, Position(world.stream.epoch, 0))
    for count in (4, 8, 10):
        assert len(transport.messages) == count
        transport.drain()
    assert [seq for _, seq in transport.seen] == list(range(1, 11))


def told_elsewhere(world: World, first: int, last: int) -> list[Message]:
    """Extend the stream by messages that another process numbered."""
    at = datetime.fromtimestamp(NOW, UTC)
    entries = [(seq, FeedEntry(MessageKind.ALERT_NEW, at, msgspec.Raw(b"1"))) for seq in range(first, last + 1)]
    return world.stream.extend(FeedTail(Position(world.stream.epoch, last), entries)) or []


async def test_a_client_that_is_ahead_of_this_process_waits_for_it_and_goes_on(world: World) -> None:
    await world.tell(*range(18))
    socket, transport = world.open()
    world.hub.begin(socket, Position(world.stream.epoch, 20))
    world.hub.set_metrics(b"{}")
    await world.hub.send_snapshots()
    await world.hub.tick(1)
    assert transport.seen == []
    await world.hub.deliver(told_elsewhere(world, 19, 20))
    await world.hub.tick(2)
    await world.hub.deliver(told_elsewhere(world, 21, 21))
    assert transport.seen == [("metrics_update", 20), ("alert_new", 21)]


@pytest.mark.parametrize("again", ["subscribe", "restart"])
async def test_a_client_that_is_ahead_gets_no_snapshot_of_before(world: World, again: str) -> None:
    await world.tell(*range(18))
    socket, transport = world.open()
    world.hub.begin(socket, Position(world.stream.epoch, 20))
    for _ in range(2):
        if again == "subscribe":
            world.hub.handle(socket, Subscribe())
        else:
            world.hub.restart()
        await world.hub.send_snapshots()
    async with running(world.hub.loops()):
        await world.hub.deliver(told_elsewhere(world, 19, 19))
        await asyncio.sleep(0)
        assert transport.seen == []
        await world.hub.deliver(told_elsewhere(world, 20, 20))
        await until(lambda: transport.seen)
    assert transport.seen[0] == ("snapshot", 20)


async def test_while_the_log_is_away_a_client_that_is_ahead_gets_snapshots_at_its_own_position(world: World) -> None:
    _, near = await world.watch("bob")
    socket, far = world.open()
    world.hub.begin(socket, Position(world.stream.epoch, 2))
    world.stream.disconnect()
    for beat in range(1, AHEAD_TICKS * 2 + 1):
        await world.hub.tick(beat)
    snapshots = round(AHEAD_TICKS * 2 / DISCONNECTED_SNAPSHOT_S)
    assert set(near.seen) == {("snapshot", 0), ("heartbeat", 0)}
    assert set(far.seen) == {("snapshot", 2), ("heartbeat", 2)}
    assert far.seen.count(("snapshot", 2)) == snapshots


async def test_a_position_that_the_feed_never_reaches_is_given_up(world: World) -> None:
    socket, transport = world.open()
    world.hub.begin(socket, Position(world.stream.epoch, 10**9))
    for beat in range(1, AHEAD_TICKS):
        await world.hub.tick(beat)
        await world.hub.send_snapshots()
    assert transport.messages == []
    await world.hub.tick(AHEAD_TICKS)
    await world.hub.send_snapshots()
    await world.tell(1)
    assert transport.seen == [("snapshot", 0), ("alert_new", 1)]


async def test_while_the_others_are_not_heard_snapshots_stand_in(world: World) -> None:
    _, transport = await world.watch()
    world.stream.disconnect()
    for beat in range(1, 11):
        await world.hub.tick(beat)
    assert transport.seen == [("snapshot", 0)] * 3
    assert DISCONNECTED_SNAPSHOT_S == 5
    world.failure = Unavailable("The database is away, too.")
    with pytest.raises(Unavailable):
        await world.hub.tick(15)


async def test_a_tick_that_fails_is_followed_by_the_next(world: World) -> None:
    _, transport = await world.watch()
    world.stream.disconnect()
    for failure in (Unavailable("away"), RuntimeError("a bug")):
        transport.messages.clear()
        world.failure = failure
        async with running(world.hub.loops()):
            await until(lambda: transport.messages)
    assert transport.seen[0] == ("snapshot", 0)


async def test_when_the_process_stops_every_socket_is_sent_away_once(world: World) -> None:
    _, transport = await world.watch()
    for _ in range(2):
        world.hub.drain()
    assert transport.ended == (case("W46")["expect"]["close"], "restarting")


async def test_the_status_tells_who_is_connected_and_what_became_of_the_others(world: World) -> None:
    socket, _ = await world.watch()
    await world.watch("bob")
    socket.end(CloseCode.TOO_SLOW, "too slow")
    world.hub.release("ada", socket)
    status = world.hub.status()
    assert [(row.subject, row.since.timestamp(), row.backlog, row.congested) for row in status.sockets] == [
        ("bob", NOW, 0, False)
    ]
    assert (status.per_user, status.opened, status.closed) == ({"bob": 1}, 2, {"too slow": 1})
    assert (status.connected, status.draining, status.refused) == (True, False, {})


async def test_who_leaves_while_waiting_is_forgotten(world: World) -> None:
    socket, transport = world.open()
    world.hub.begin(socket, None)
    world.hub.release("ada", socket)
    await world.hub.send_snapshots()
    assert (transport.messages, world.hub._waiting) == ([], {})
