"""Connections that a NAT or a firewall forgot: they take what they are sent, answer nothing, and never end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest
import structlog.testing

from monitor.adapters.postgres import wakeups
from monitor.adapters.postgres.connection import IDLE_S
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.repositories.events import CHANNEL
from monitor.adapters.redis.rate_ledger import RedisRateLedger
from monitor.adapters.tcp import KEEPALIVE
from monitor.bootstrap.container import Container
from monitor.cache import RedisCacheServer
from monitor.cache.server import ROOT, Invalidated, ServerGone
from monitor.domain.errors import Unavailable
from monitor.domain.ports.wakeups import DueWebhooks
from tests.integration.support import api_of, eventually, settings
from tests.proxy import Proxy

EVENT = {"type": "order.paid", "payload": 1}
READY_S = 2.0
SLACK_S = 5.0


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(database_url) as proxy:
        yield proxy


async def fill(parts: Container) -> None:
    """Have every pool hold several connections."""
    begun = asyncio.Barrier(8)

    async def hold() -> None:
        async with parts.unit_of_work():
            await begun.wait()

    await asyncio.gather(*(hold() for _ in range(8)))
    await asyncio.gather(*(parts.database.fetch("SELECT pg_sleep(0.2)") for _ in range(4)))
    await asyncio.gather(*(parts.database.fetch("SELECT pg_sleep(0.2)", reserved=True) for _ in range(2)))


async def test_the_first_post_of_the_morning_is_accepted_at_once(proxy: Proxy) -> None:
    async with Container(settings(proxy.url)) as parts, api_of(parts) as api:
        await fill(parts)
        forgotten = proxy.accepted
        await asyncio.sleep(IDLE_S * 1.2)
        proxy.swallow()
        started_at = time.monotonic()
        with structlog.testing.capture_logs() as logs:
            for count in (1, 7):
                answers = await asyncio.gather(*(api.post("events", json=EVENT) for _ in range(count)))
                assert {answer.status_code for answer in answers} == {202}
        # Of all eight together.
        assert time.monotonic() - started_at < READY_S + SLACK_S
        # It is not found out for each connection again. The sweep of the outbox may use one without a probe.
        assert forgotten > 8
        assert proxy.tried <= 3
        lines = [line for line in logs if line["event"] == "connections_replaced"]
        assert lines
        assert sum(line["count"] for line in lines) > len(lines)


async def test_reads_of_the_morning_are_answered_at_once(proxy: Proxy) -> None:
    async with Database(DatabaseConfig(proxy.url)) as database:
        for reserved in (False, True):
            await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.2)", reserved=reserved) for _ in range(2)))
        await asyncio.sleep(IDLE_S * 1.2)
        proxy.swallow()
        started_at = time.monotonic()
        for reserved in (False, True):
            assert await database.fetch("SELECT 1", reserved=reserved)
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert time.monotonic() - started_at < READY_S + SLACK_S


async def test_a_database_that_swallows_everything_is_an_outage(proxy: Proxy) -> None:
    async with Database(DatabaseConfig(proxy.url, acquire_timeout_s=1.0)) as database:
        await database.fetch("SELECT 1")
        await asyncio.sleep(IDLE_S * 1.2)
        proxy.swallows_new = True
        proxy.swallow()
        started_at = time.monotonic()
        with pytest.raises(Unavailable):
            await database.fetch("SELECT 1")
        assert time.monotonic() - started_at < 1.0 + SLACK_S


async def test_a_connection_that_is_used_again_and_again_is_not_asked(database_url: str) -> None:
    async with Database(DatabaseConfig(database_url, read_pool=1)) as database:
        pid = await database.fetchrow("SELECT pg_backend_pid()")
        assert await database.fetchrow("SELECT pg_backend_pid()") == pid
        await asyncio.sleep(IDLE_S * 1.2)
        assert await database.fetchrow("SELECT pg_backend_pid()") == pid


async def test_the_operating_system_checks_every_connection(proxy: Proxy) -> None:
    async with Database(DatabaseConfig(proxy.url)) as database, database.connection() as read:
        listening = await database.connect()
        async with database.engine.connect() as write:
            driver = (await write.get_raw_connection()).driver_connection
            for connection in (read, listening, driver):
                own = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
                assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                for option, value in KEEPALIVE.items():
                    assert own.getsockopt(socket.IPPROTO_TCP, option) == value
        await listening.close()


async def test_wake_ups_come_again(proxy: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "ANSWER_S", 0.2)
    woken: list[DueWebhooks] = []
    async with Database(DatabaseConfig(proxy.url)) as database:
        listening = asyncio.create_task(wakeups.PostgresWakeups(database, probe_s=0.05).listen(woken.append))
        await eventually(lambda: database.listening)
        proxy.swallow()
        await eventually(lambda: not database.listening)
        await eventually(lambda: database.listening)
        woken.clear()
        other = await asyncpg.connect(database_url)
        await other.execute(f"NOTIFY {CHANNEL}, '*'")
        await other.close()
        await eventually(lambda: woken)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_one_call_of_the_cache_finds_out_for_all_connections(redis_url: str) -> None:
    async with Proxy(redis_url) as proxy:
        server = RedisCacheServer(proxy.url, prefix="forgotten:cache:", patience=4.0)
        await server.reset_if_server_changed(b"root", Invalidated(1, "", (ROOT,)))
        await asyncio.gather(*(server.fetch("key", ["tag"]) for _ in range(8)))
        assert proxy.accepted > 1
        proxy.swallow()
        with pytest.raises(ServerGone):
            await server.fetch("key", ["tag"])
        assert await server.fetch("key", ["tag"]) == (None, [None])
        await server.close()


async def test_one_call_of_the_ledger_finds_out_for_all_connections(redis_url: str) -> None:
    async with (
        Proxy(redis_url) as proxy,
        RedisRateLedger(proxy.url, per_s=1.0, longest_s=60.0, prefix="{forgotten}:") as ledger,
    ):
        await asyncio.gather(*(ledger.spend({"ada": 1}) for _ in range(4)))
        proxy.swallow()
        with pytest.raises(Unavailable):
            await ledger.spend({"ada": 1})
        assert await eventually(lambda: ledger.spend({"ada": 1}))


async def test_a_whole_server_goes_on_after_redis_was_forgotten(proxy: Proxy, own_redis_url: str) -> None:
    async with Proxy(own_redis_url) as redis:
        both = msgspec.structs.replace(settings(proxy.url), redis_url=redis.url)
        async with Container(both) as parts, api_of(parts) as api:
            await fill(parts)
            await eventually(lambda: parts.cache.stats().trusted)
            await asyncio.sleep(IDLE_S * 1.2)
            proxy.swallow()
            redis.swallow()
            started_at = time.monotonic()
            assert (await api.post("events", json=EVENT)).status_code == 202
            assert time.monotonic() - started_at < READY_S + SLACK_S
            await eventually(lambda: parts.cache.stats().trusted)
