"""A Redis whose keys something else writes to, and one that answers nonsense: the feed goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from monitor.domain.errors import Unavailable
from monitor.domain.live import FeedEntry, MessageKind, Position
from tests.fakes.cache.nonsense import nonsense_server
from tests.integration.live_support import CLOCK, feed_log, live_server, name, watching
from tests.integration.support import eventually

Damage = Callable[[Any, str, str], object]

DAMAGES: dict[str, Damage] = {
    "an entry of something else": lambda client, _state, stream: client.xadd(stream, {"hello": "world"}),
    "the stream is a string": lambda client, _state, stream: client.set(stream, "x"),
    "the state is a list": lambda client, state, _stream: client.pipeline().delete(state).lpush(state, "x").execute(),
    "the number is no number": lambda client, state, _stream: client.hset(state, "seq", "many"),
    "the epoch is gone": lambda client, state, _stream: client.hdel(state, "epoch"),
}


@pytest.fixture
def prefix() -> str:
    return f"test-{name()}"


def entry(number: int) -> FeedEntry:
    return FeedEntry(MessageKind.ALERT_NEW, CLOCK.now(), msgspec.Raw(b"%d" % number))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_key_begins_a_new_epoch_and_messages_go_on(redis_url: str, prefix: str, damage: Damage) -> None:
    async with live_server(redis_url, prefix=prefix) as server, watching(server.connect()) as (viewer, _):
        await eventually(lambda: server.feed.stream.connected and viewer.frames)
        server.feed.publish("alert_new", {"n": 1})
        await eventually(lambda: viewer.of("alert_new"))

        with redis.Redis.from_url(redis_url) as client:
            damage(client, f"{{{prefix}}}:state", f"{{{prefix}}}:stream")

        def arrives() -> bool:
            # Again and again, since the snapshot of the new epoch stands for what came before it.
            server.feed.publish("alert_new", {"n": 2})
            return bool(viewer.of("alert_new")[-1]["data"] == {"n": 2})

        await eventually(arrives)
        assert viewer.of("snapshot")[-1]["epoch"] != viewer.of("snapshot")[0]["epoch"]


async def test_an_entry_that_this_version_cannot_read_is_skipped_and_counted(redis_url: str, prefix: str) -> None:
    async with feed_log(redis_url, prefix) as log:
        await log.append(1, [entry(1)])
        with redis.Redis.from_url(redis_url) as client:
            epoch = client.hget(f"{{{prefix}}}:state", "epoch")
            assert isinstance(epoch, bytes)
            client.hincrby(f"{{{prefix}}}:state", "seq", 1)
            client.xadd(f"{{{prefix}}}:stream", {"epoch": epoch, "entry": '{"kind":"of_a_later_version"}'}, id="2-0")
        await log.append(2, [entry(3)])

        tail = await log.follow(Position(epoch.decode(), 0))

    assert tail.end == Position(epoch.decode(), 3)
    assert [(seq, one.kind) for seq, one in tail.entries] == [
        (1, MessageKind.ALERT_NEW),
        (2, MessageKind.HEARTBEAT),
        (3, MessageKind.ALERT_NEW),
    ]
    assert log.unreadable == 1


class Garbler:
    """A TCP proxy in front of Redis that can answer nonsense instead."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self.nonsense: bytes | None = None
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = self._target._replace(netloc=f"127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)

        async def forward() -> None:
            while data := await reader.read(65_536):
                back.write(data)

        async def answer() -> None:
            while data := await there.read(65_536):
                writer.write(data if self.nonsense is None else self.nonsense)

        tasks = [asyncio.create_task(forward()), asyncio.create_task(answer())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            back.close()


NONSENSE = [b":42\r\n", b"+OK\r\n", b"*0\r\n", b"*2\r\n$1\r\nx\r\n:0\r\n", b"$-1\r\n", b"+\xff\xfe\r\n"]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_an_answer_that_is_not_the_scripts_never_passes_for_success(prefix: str, nonsense: bytes) -> None:
    async with nonsense_server(nonsense) as url, feed_log(url, prefix) as log:
        with pytest.raises(Unavailable):
            await log.append(1, [entry(1)])
        with pytest.raises(Unavailable):
            await log.restart()


@pytest.mark.parametrize("nonsense", [b":42\r\n", b"*0\r\n", b"$-1\r\n", b"+\xff\xfe\r\n", b"*1\r\n*1\r\n$1\r\nx\r\n"])
async def test_nonsense_is_an_outage_and_the_feed_comes_back(redis_url: str, prefix: str, nonsense: bytes) -> None:
    garbler = Garbler(redis_url)
    async with (
        garbler.running(),
        live_server(garbler.url, prefix=prefix) as server,
        watching(server.connect()) as (viewer, _),
    ):
        await eventually(lambda: server.feed.stream.connected and viewer.frames)
        garbler.nonsense = nonsense
        await eventually(lambda: not server.feed.stream.connected)
        async with feed_log(garbler.url, prefix) as log:
            with pytest.raises(Unavailable):
                await log.append(1, [entry(1)])

        garbler.nonsense = None
        await eventually(lambda: server.feed.stream.connected)
        server.feed.publish("alert_new", {"n": 1})
        await eventually(lambda: viewer.of("alert_new"))
