"""One feed over two processes while the Redis between them fails over: no gap and no repetition without a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from monitor.domain.live import FeedEntry, MessageKind, Position
from tests.integration.live_support import CLOCK, LiveServer, Viewer, feed_log, live_server, name, watching
from tests.integration.support import eventually
from tests.redis_parts import Cluster, SentinelSet, cluster, sentinel_set

pytestmark = pytest.mark.topology

WITHIN_S = 60.0

Topology = SentinelSet | Cluster


@pytest.fixture(params=[sentinel_set, cluster], ids=lambda made: made.__name__)
async def topology(request: pytest.FixtureRequest) -> AsyncIterator[Topology]:
    make: Callable[[], AbstractAsyncContextManager[Topology]] = request.param
    async with make() as made:
        yield made


def check_order(viewer: Viewer) -> None:
    """Within an epoch numbers follow each other from the snapshot on; another epoch begins with a snapshot."""
    epoch, seq = "", 0
    for frame in viewer.frames:
        if frame["type"] == "snapshot":
            epoch, seq = frame["epoch"], frame["seq"]
        elif frame["type"] != "heartbeat":
            assert (frame["epoch"], frame["seq"]) == (epoch, seq + 1)
            seq += 1
    told = [(frame["data"]["by"], frame["data"]["i"]) for frame in viewer.of("alert_new")]
    assert len(told) == len(set(told))


def missing(viewer: Viewer, by: int, published: int) -> list[int]:
    """Return the messages of *by* that neither arrived nor were true before the last snapshot that came after them."""
    told = {frame["data"]["i"] for frame in viewer.of("alert_new") if frame["data"]["by"] == by}
    covered = max(frame["data"].get(f"by{by}", 0) for frame in viewer.of("snapshot"))
    return [i for i in range(1, published + 1) if i not in told and i > covered]


async def test_a_failover_costs_a_snapshot_and_neither_gap_nor_repetition(topology: Topology) -> None:
    prefix = f"test-{name()}"
    counts = {1: 0, 2: 0}
    done = asyncio.Event()

    async def publish(by: int, server: LiveServer, states: list[LiveServer]) -> None:
        while not done.is_set():
            counts[by] += 1
            for each in states:
                each.state[f"by{by}"] = counts[by]
            server.feed.publish("alert_new", {"by": by, "i": counts[by]})
            await asyncio.sleep(0.02)

    async with (
        live_server(topology.url, prefix=prefix) as one,
        live_server(topology.url, prefix=prefix) as two,
        watching(one.connect()) as (near, _),
        watching(two.connect()) as (far, _),
    ):
        both = [one, two]
        await eventually(lambda: all(s.feed.stream.connected for s in both) and near.frames and far.frames, within_s=60)
        epochs = {each.feed.stream.epoch for each in both}
        publishing = [asyncio.create_task(publish(by, each, both)) for by, each in enumerate(both, 1)]
        await eventually(lambda: len(near.frames) > 50)
        await topology.fail_over(f"{{{prefix}}}:")
        await eventually(lambda: {each.feed.stream.epoch for each in both}.isdisjoint(epochs), within_s=WITHIN_S)
        await eventually(lambda: all(each.feed.stream.connected for each in both), within_s=WITHIN_S)
        frames = len(far.frames)
        await eventually(lambda: len(far.frames) > frames + 50, within_s=WITHIN_S)
        done.set()
        await asyncio.gather(*publishing)
        await eventually(lambda: not any(each.feed.waiting for each in both), within_s=WITHIN_S)
        await eventually(
            lambda: not any(missing(viewer, by, counts[by]) for viewer in (near, far) for by in counts),
            within_s=WITHIN_S,
        )
    for viewer in (near, far):
        check_order(viewer)


def entry(number: int) -> FeedEntry:
    return FeedEntry(MessageKind.ALERT_NEW, CLOCK.now(), msgspec.Raw(b"%d" % number))


async def test_numbers_that_a_successor_would_use_again_are_of_another_epoch() -> None:
    """The replica lacks the last messages; one that appends there first would give their numbers to others."""
    prefix = f"test-{name()}"
    async with sentinel_set() as redis:
        master = await redis.master()
        replica = next(node for node in redis.nodes if node is not master)
        for node in redis.sentinels:
            await node.kill()
        async with feed_log(f"redis://127.0.0.1:{master.port}/0", prefix) as log:
            await log.append(1, [entry(1)])
            async with master.client() as client:
                await client.wait(1, 5000)
            await replica.ask("REPLICAOF", "127.0.0.1", 1)
            await log.append(2, [entry(2), entry(3)])
            seen = (await log.open(Position("", 0))).end
        await replica.ask("REPLICAOF", "NO", "ONE")
        async with feed_log(f"redis://127.0.0.1:{replica.port}/0", prefix) as log:
            await log.append(1, [entry(number) for number in (4, 5, 6)])
            tail = await log.follow(seen)
    assert seen.seq == 3
    assert tail.end.epoch != seen.epoch
