"""One feed over several processes, through a real Redis that comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
import redis

from monitor.domain.errors import Unavailable
from monitor.domain.live import FeedEntry, Kind, Position, Tail
from monitor.domain.live.stream import RING
from monitor.domain.ports.feed_log import FeedLog
from tests import servers
from tests.fakes.redis.feed_log import FakeFeed, FakeFeedLog
from tests.integration.live_support import CLOCK, LiveServer, feed_log, live_server, name, receive, redis_on, watching
from tests.integration.support import eventually


@pytest.fixture
def prefix() -> str:
    return f"test-{name()}"


@pytest.fixture
async def pair(redis_url: str, prefix: str) -> AsyncIterator[tuple[LiveServer, LiveServer]]:
    async with live_server(redis_url, prefix=prefix) as one, live_server(redis_url, prefix=prefix) as two:
        await eventually(lambda: one.feed.stream.connected and two.feed.stream.connected)
        yield one, two


async def test_what_one_process_says_all_clients_hear_in_one_order(pair: tuple[LiveServer, LiveServer]) -> None:
    one, two = pair
    async with watching(one.connect()) as (near, _), watching(two.connect()) as (far, _):
        await eventually(lambda: near.frames and far.frames)
        for i in range(100):
            one.feed.publish("alert_new", {"by": 1, "i": i})
            two.feed.publish("alert_new", {"by": 2, "i": i})
        await eventually(lambda: len(near.frames) == len(far.frames) == 201)
    assert near.frames[1:] == far.frames[1:]
    assert [frame["seq"] for frame in near.frames] == list(range(201))
    for by in (1, 2):
        assert [frame["data"]["i"] for frame in near.frames[1:] if frame["data"]["by"] == by] == list(range(100))


async def test_a_client_may_come_back_to_another_process_even_one_that_is_new(
    pair: tuple[LiveServer, LiveServer], redis_url: str, prefix: str
) -> None:
    one, two = pair
    async with watching(one.connect()) as (viewer, _):
        await eventually(lambda: viewer.frames)
        one.feed.publish("alert_new", {})
        await eventually(lambda: len(viewer.frames) == 2)
    for _ in range(3):
        one.feed.publish("alert_new", {})
    await eventually(lambda: two.feed.stream.seq == 4)
    async with live_server(redis_url, prefix=prefix) as three:
        await eventually(lambda: three.feed.stream.connected)
        for server in (two, three):
            async with server.connect(query=viewer.query) as socket:
                assert [(await receive(socket))["seq"] for _ in range(3)] == [2, 3, 4]


async def test_a_redis_that_forgets_everything_costs_a_snapshot_and_no_gap(
    pair: tuple[LiveServer, LiveServer], redis_url: str, prefix: str
) -> None:
    one, two = pair
    async with watching(one.connect()) as (near, _), watching(two.connect()) as (far, _):
        await eventually(lambda: near.frames and far.frames)
        one.feed.publish("alert_new", {})
        await eventually(lambda: near.of("alert_new") and far.of("alert_new"))
        with redis.Redis.from_url(redis_url) as client:
            client.delete(*client.keys(f"{{{prefix}}}:*"))
        one.state["told"] = two.state["told"] = 1
        await eventually(lambda: len(near.of("snapshot")) == len(far.of("snapshot")) == 2)
        two.feed.publish("alert_updated", {})
        await eventually(lambda: near.of("alert_updated") and far.of("alert_updated"))
    for viewer in (near, far):
        epochs = [frame["epoch"] for frame in viewer.of("snapshot")]
        assert len(set(epochs)) == 2
        assert viewer.frames[-1] == {**viewer.of("alert_updated")[0], "epoch": epochs[1], "seq": 1}


async def test_while_redis_is_away_sockets_stay_and_get_snapshots_and_then_what_waited(prefix: str) -> None:
    async with AsyncExitStack() as stack:
        port = servers.free_port()
        url = f"redis://127.0.0.1:{port}/0"
        live = await stack.enter_async_context(live_server(url, prefix=prefix))
        async with watching(live.connect()) as (viewer, _):
            await eventually(lambda: viewer.of("snapshot"))
            live.feed.publish("alert_new", {"i": 1})
            live.state["told"] = 1
            await eventually(lambda: any(frame["data"]["told"] for frame in viewer.of("snapshot")))
            assert not viewer.of("alert_new")
            stack.enter_context(redis_on(port))
            await eventually(lambda: live.feed.stream.connected)
            # The message waited: clients have it from the stream or from the snapshot that began it, once.
            await eventually(lambda: viewer.frames[-1]["seq"] == 1)
            live.feed.publish("alert_new", {"i": 2})
            await eventually(lambda: viewer.frames[-1]["seq"] == 2)
    numbers = [frame["data"]["i"] for frame in viewer.of("alert_new")]
    assert numbers in ([2], [1, 2])


# The port, held by the real log and by its fake alike -------------------------------------------------------------


@pytest.fixture(params=["redis", "fake"])
async def logs(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[tuple[FeedLog, FeedLog]]:
    """Two processes' ways to one feed."""
    if request.param == "fake":
        feed = FakeFeed()
        yield FakeFeedLog(feed, "one"), FakeFeedLog(feed, "two")
        return
    url = request.getfixturevalue("redis_url")
    one, two = (feed_log(url, prefix, p) for p in ("one", "two"))
    async with one, two:
        yield one, two


def entries(*texts: str) -> list[FeedEntry]:
    return [FeedEntry(Kind.ALERT_NEW, CLOCK.now(), msgspec.Raw(msgspec.json.encode(text))) for text in texts]


def texts(tail: Tail) -> list[tuple[int, str]]:
    return [(seq, msgspec.json.decode(entry.data)) for seq, entry in tail.entries]


NOWHERE = Position("nowhere", 0)


async def test_a_log_numbers_from_one_and_tells_every_reader_the_same(logs: tuple[FeedLog, FeedLog]) -> None:
    one, two = logs
    start = (await one.open(NOWHERE)).end
    assert start.seq == 0
    sent = entries("a", "b")
    await one.append(1, sent)
    await two.append(1, entries("c"))
    for log in logs:
        tail = await log.follow(start)
        assert texts(tail) == [(1, "a"), (2, "b"), (3, "c")]
        assert tail.end == Position(start.epoch, 3)
        assert list((await log.open(NOWHERE)).entries) == list(tail.entries)
    assert tail.entries[0][1] == sent[0]
    assert texts(await one.follow(Position(start.epoch, 2))) == [(3, "c")]


async def test_what_is_appended_twice_counts_once(logs: tuple[FeedLog, FeedLog]) -> None:
    one, _ = logs
    start = (await one.open(NOWHERE)).end
    await one.append(1, entries("a", "b"))
    await one.append(1, entries("a", "b", "c"))
    assert texts(await one.follow(start)) == [(1, "a"), (2, "b"), (3, "c")]


async def test_a_new_epoch_begins_empty_and_readers_of_the_old_one_learn_of_it(logs: tuple[FeedLog, FeedLog]) -> None:
    one, two = logs
    old = (await one.open(NOWHERE)).end
    await one.append(1, entries("a"))
    await two.restart()
    new = (await one.follow(Position(old.epoch, 1))).end
    assert (new.epoch != old.epoch, new.seq) == (True, 0)
    await two.append(1, entries("b"))
    assert texts(await one.open(new)) == [(1, "b")]
    # A reader of the old epoch meets the new one also where the numbers go on.
    assert (await one.follow(Position(old.epoch, 0))).end.epoch == new.epoch


async def test_a_log_that_has_lost_what_a_reader_saw_begins_anew(logs: tuple[FeedLog, FeedLog]) -> None:
    one, _ = logs
    start = (await one.open(NOWHERE)).end
    assert (await one.open(Position(start.epoch, 7))).end.epoch != start.epoch


async def test_a_log_keeps_what_a_ring_holds(logs: tuple[FeedLog, FeedLog]) -> None:
    one, _ = logs
    await one.append(1, entries(*map(str, range(RING + 5))))
    tail = await one.open(NOWHERE)
    assert (len(tail.entries), tail.entries[-1][0]) == (RING, RING + 5)


async def test_a_redis_that_is_not_there_is_unavailable(prefix: str) -> None:
    async with feed_log(f"redis://127.0.0.1:{servers.free_port()}/0", "x") as log:
        with pytest.raises(Unavailable):
            await log.open(NOWHERE)
        with pytest.raises(Unavailable):
            await log.follow(NOWHERE)
        with pytest.raises(Unavailable):
            await log.append(1, [])
        with pytest.raises(Unavailable):
            await log.restart()
