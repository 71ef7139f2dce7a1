"""Whatever a Redis answers, and whatever stands under the names of the cache: at worst an outage of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from monitor.adapters.clock import SystemClock
from monitor.cache import Cache, Policy, RedisCacheServer, View
from monitor.cache.redis_server import RedisSubscription
from monitor.cache.server import Acked, CacheServer, Invalidated, ServerGone
from tests.fakes.cache.nonsense import nonsense_server
from tests.integration.support import eventually

KEY = View("view", Policy(5, 30, 600), ("tag",)).key()
TOKEN = b"token---"
PATIENCE = 20.0
"""With a healthy server: a busy machine must not look like an outage."""
SENT = Invalidated(1, "writer", ("tag",), needs_ack=True)

ANSWERS = {
    "a number": b":42\r\n",
    "a huge number": b":99999999999999999999999\r\n",
    "no number": b":nonsense\r\n",
    "an empty list": b"*0\r\n",
    "no list": b"*-1\r\n",
    "a list of numbers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "lists in a list": b"*1\r\n" * 900 + b":1\r\n",
    "a status": b"+OK\r\n",
    "no text": b"$4\r\n\xff\xfe\xfd\xfc\r\n",
    "a missing text": b"$-1\r\n",
    "an error": b"-NONSENSE what was that\r\n",
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}

CALLS: dict[str, Callable[[CacheServer], Awaitable[object]]] = {
    "fetch": lambda server: server.fetch("key", ["tag"]),
    "mint": lambda server: server.mint({"tag": TOKEN}),
    "store": lambda server: server.store("key", b"value", 10),
    "delete": lambda server: server.delete("key", SENT),
    "lock": lambda server: server.lock("key", "holder", 10, ["tag"]),
    "unlock": lambda server: server.unlock("key", "holder"),
    "invalidate": lambda server: server.invalidate({"tag": TOKEN}, SENT, 1),
    "renew": lambda server: server.renew("member", 1),
    "leave": lambda server: server.leave("member"),
    "ack": lambda server: server.ack("writer", Acked(1, "member")),
    "reset": lambda server: server.reset_if_server_changed(TOKEN, SENT),
    "claim": lambda server: server.claim("warm:1", 10),
}

BELIEVED = {"store", "delete", "unlock", "renew", "leave", "ack", "claim"}
"""Calls that a nonsensical answer may complete: they return nothing, or no more than a yes."""


@pytest.fixture(params=ANSWERS)
async def nonsense(request: pytest.FixtureRequest) -> object:
    async with nonsense_server(ANSWERS[request.param]) as url:
        server = RedisCacheServer(url)
        yield server
        await server.close()


async def test_no_answer_raises_anything_but_server_gone(nonsense: RedisCacheServer) -> None:
    completed = set()

    for name, call in CALLS.items():
        with suppress(ServerGone):
            await call(nonsense)
            completed.add(name)

    assert completed <= BELIEVED


async def test_nothing_but_a_confirmation_is_a_subscription(nonsense: RedisCacheServer) -> None:
    with pytest.raises(ServerGone):
        async with nonsense.subscribe("member"):
            pass


@pytest.mark.parametrize("answer", [42, [], [1], [b"message", b"bus", 7], [b"pmessage", b"*", b"bus", b"x"], None])
async def test_an_answer_that_is_no_message_ends_the_subscription(answer: object) -> None:
    class FakeConnection:
        async def read_response(self) -> object:
            return answer

    with pytest.raises(ServerGone):
        await RedisSubscription(FakeConnection(), lambda: True).receive()  # type: ignore[arg-type]


async def test_neither_readers_nor_writers_notice_a_server_that_answers_nonsense(nonsense: RedisCacheServer) -> None:
    versions = iter((b"1", b"2"))

    async def create() -> bytes:
        return next(versions)

    async with Cache(SystemClock(), server=nonsense) as cache:
        first = await cache.get(KEY, create)
        taken = await cache.invalidate(["tag"], acknowledged=True)
        second = await cache.get(KEY, create)

    assert (first.body, taken, second.body) == (b"1", False, b"2")


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return f"{tmp_path.name}:"


@pytest.mark.parametrize("name", ["t:tag", "t:*", "members", "run", "v:view?"])
async def test_a_name_that_holds_something_else_is_taken_back(redis_url: str, prefix: str, name: str) -> None:
    server = RedisCacheServer(redis_url, prefix=prefix, patience=PATIENCE)
    async with Redis.from_url(redis_url) as client:
        await client.rpush(f"{prefix}{name}", "hello", "world")

    async def create() -> bytes:
        return b"1"

    async with Cache(SystemClock(), server=server) as writer, Cache(SystemClock(), server=server) as reader:
        await writer.get(KEY, create)
        await reader.get(KEY, create)
        from_the_server = reader.stats().views[0].l2_hits
        await eventually(lambda: reader.stats().trusted)
        taken = await writer.invalidate(["tag"], acknowledged=True)
    await server.close()

    assert (from_the_server, taken) == (1, True)


@pytest.mark.parametrize(
    "message",
    [b"", b"hello world", b"\xff\xfe", msgspec.msgpack.encode({"type": "settled"}), msgspec.msgpack.encode([1, 2])],
)
async def test_after_an_unreadable_message_no_value_in_memory_is_served(
    redis_url: str, prefix: str, message: bytes
) -> None:
    server = RedisCacheServer(redis_url, prefix=prefix, patience=PATIENCE)

    async def create() -> bytes:
        return b"1"

    async with Redis.from_url(redis_url) as client, Cache(SystemClock(), server=server) as cache:
        await cache.get(KEY, create)
        assert cache.peek(KEY.text) is not None
        await client.publish(f"{prefix}bus", message)
        await eventually(lambda: cache.peek(KEY.text) is None)
        await eventually(lambda: cache.stats().trusted)
        await cache.get(KEY, create)
        from_the_server = cache.stats().views[0].l2_hits
    await server.close()

    assert from_the_server == 1


async def test_a_process_recovers_from_a_server_that_answered_nonsense(redis_url: str, prefix: str) -> None:
    """What could not be invalidated meanwhile is made up for before memory is trusted again."""
    port = int(redis_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    healthy = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if healthy.is_set():
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait([asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))])
            back.close()
        else:
            while await reader.readline():
                writer.write(b":42\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = RedisCacheServer(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0", prefix=prefix)
    other = RedisCacheServer(redis_url, prefix=prefix, patience=PATIENCE)
    await other.reset_if_server_changed(TOKEN, SENT)
    (old,) = await other.mint({"tag": TOKEN})
    async with Cache(SystemClock(), server=server) as cache:
        taken = await cache.invalidate(["tag"], acknowledged=True)
        healthy.set()
        await eventually(lambda: cache.stats().trusted)
        pending = cache.stats().pending_invalidations
        _, (new,) = await other.fetch("key", ["tag"])
    await server.close()
    await other.close()
    listener.close()

    assert (taken, pending) == (False, 0)
    assert new not in (None, old)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
