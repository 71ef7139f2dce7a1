"""One contract for the real server and its fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.cache.redis_server import RedisCacheServer
from monitor.cache.server import ROOT, Acked, CacheServer, Invalidated, Pong, Released, ServerGone
from tests import servers
from tests.fakes.cache.server import FakeCacheServer, FakeRedis
from tests.fakes.clock import FakeClock

OLD, NEW = b"old-----", b"new-----"
SENT = Invalidated(1, "writer", ("tag",), needs_ack=True)


@pytest.fixture(params=["fake", "redis"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CacheServer]:
    made: CacheServer
    if request.param == "fake":
        made = FakeCacheServer(FakeRedis(FakeClock()))
    else:
        made = RedisCacheServer(request.getfixturevalue("redis_url"), prefix=f"{tmp_path.name}:")
    if "reset_once" not in request.node.name:
        await made.reset_if_server_changed(OLD, Invalidated(0, "", (ROOT,)))
    yield made
    await made.close()


async def test_a_value_is_found_with_the_tokens_as_they_stand(server: CacheServer) -> None:
    assert await server.fetch("key", ["tag", "other"]) == (None, [None, None])
    await server.store("key", b"value", 10)
    await server.invalidate({"tag": NEW}, SENT, 3)
    assert await server.fetch("key", ["tag", "other"]) == (b"value", [NEW, None])


async def test_a_token_is_minted_once(server: CacheServer) -> None:
    assert await server.mint({"a": OLD, "b": OLD}) == [OLD, OLD]
    assert await server.mint({"b": NEW, "c": NEW}) == [OLD, NEW]


async def test_an_invalidation_replaces_the_token_and_reaches_every_live_member(server: CacheServer) -> None:
    await server.mint({"tag": OLD})
    async with server.subscribe("member") as subscription:
        await server.renew("member", 5)
        await server.renew("gone", 5)
        await server.leave("gone")
        members = await server.invalidate({"tag": NEW}, SENT, 3)
        assert await subscription.receive() == SENT
    leases = {member.name: member.lease_s for member in members}
    assert leases.keys() == {"member", "?"}
    assert 0 < leases["member"] <= 5
    assert (await server.fetch("key", ["tag"]))[1] == [NEW]


async def test_a_lost_list_of_members_counts_as_one_member_for_a_lease(server: CacheServer) -> None:
    first = await server.invalidate({"tag": NEW}, SENT, 0.001)
    assert [member.name for member in first] == ["?"]
    if isinstance(server, FakeCacheServer):
        server.redis.clock.advance(0.01)
    await asyncio.sleep(0.01)
    assert await server.invalidate({"tag": NEW}, SENT, 0.001) == []


async def test_a_pong_arrives_after_everything_published_before_its_ping(server: CacheServer) -> None:
    async with server.subscribe("member") as subscription:
        await server.invalidate({"tag": NEW}, SENT, 3)
        await subscription.ping(b"1.5")
        assert [await subscription.receive(), await subscription.receive()] == [SENT, Pong(b"1.5")]


async def test_a_message_to_one_process_does_not_reach_another(server: CacheServer) -> None:
    async with server.subscribe("writer") as writer, server.subscribe("other") as other:
        await server.ack("writer", Acked(1, "other"))
        await other.ping(b"")
        assert await writer.receive() == Acked(1, "other")
        assert await other.receive() == Pong(b"")


async def test_a_lock_has_one_holder_and_its_release_is_published(server: CacheServer) -> None:
    async with server.subscribe("member") as subscription:
        assert await server.lock("key", "one", 10, []) == (None, [])
        assert await server.lock("key", "two", 10, []) is None
        await server.unlock("key", "two")
        assert await server.lock("key", "two", 10, []) is None
        await server.unlock("key", "one")
        assert await subscription.receive() == Released("key")
        assert await server.lock("key", "two", 10, []) == (None, [])


async def test_a_lock_comes_with_the_value_that_its_last_holder_stored(server: CacheServer) -> None:
    await server.store("key", b"value", 10)
    await server.mint({"tag": OLD})
    assert await server.lock("key", "one", 10, ["tag", "other"]) == (b"value", [OLD, None])


async def test_a_deleted_key_is_gone_and_its_message_published(server: CacheServer) -> None:
    await server.store("key", b"value", 10)
    sent = Invalidated(2, "writer", (), ("key",))
    async with server.subscribe("member") as subscription:
        await server.delete("key", sent)
        assert await subscription.receive() == sent
    assert await server.fetch("key", []) == (None, [])


async def test_a_server_is_reset_once_and_loses_its_root_token_before_it_is_used(server: CacheServer) -> None:
    sent = Invalidated(3, "member", ("*",))
    with pytest.raises(ServerGone):
        await server.fetch("key", ["*"])
    assert await server.reset_if_server_changed(NEW, sent)
    assert not await server.reset_if_server_changed(OLD, sent)
    assert (await server.fetch("key", ["*"]))[1] == [NEW]


async def test_a_name_is_claimed_once(server: CacheServer) -> None:
    assert await server.claim("warm:1", 10)
    assert not await server.claim("warm:1", 10)
    assert await server.claim("warm:2", 10)


async def test_a_server_that_is_not_there_raises_server_gone_and_nothing_else() -> None:
    nowhere = RedisCacheServer(f"redis://127.0.0.1:{servers.free_port()}/0")
    for call in (nowhere.fetch("key", []), nowhere.renew("member", 1), nowhere.reset_if_server_changed(NEW, SENT)):
        with pytest.raises(ServerGone):
            await call
    with pytest.raises(ServerGone):
        async with nowhere.subscribe("member"):
            pass
    await nowhere.close()


async def test_a_server_that_does_not_answer_is_gone_after_the_time_limit(tmp_path: Path) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    mute = RedisCacheServer(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0")
    with pytest.raises(ServerGone):
        await mute.fetch("key", [])
    with pytest.raises(ServerGone):
        async with mute.subscribe("member"):
            pass
    await mute.close()
    for writer in writers:
        writer.close()
    listener.close()


async def test_a_server_is_reset_when_the_data_behind_it_may_have_been_set_back(redis_url: str, tmp_path: Path) -> None:
    incarnations, found = ["first", "first", "second", "second", "second"], []

    async def incarnation() -> str:
        return incarnations.pop(0)

    server = RedisCacheServer(
        redis_url,
        prefix=f"{tmp_path.name}:",
        incarnation=incarnation,
        on_set_back=lambda: found.append(incarnations[:]),
    )
    sent = Invalidated(3, "member", ("*",))
    try:
        changed = [await server.reset_if_server_changed(NEW, sent) for _ in range(5)]
    finally:
        await server.close()
    assert changed == [True, False, True, False, False]
    # Not at the first look, which has nothing to compare with.
    assert found == [["second", "second"]]
