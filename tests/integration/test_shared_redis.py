"""Two installations on one Redis, and one that cannot tell yet which it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
import redis
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.identity import database_identity, database_incarnation
from monitor.adapters.postgres.migrate import upgrade
from monitor.adapters.redis.namespace import RedisNamespace
from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from tests import servers
from tests.integration.support import api_of, eventually, settings


@asynccontextmanager
async def installation(database_url: str, redis_url: str) -> AsyncIterator[Container]:
    async with Container(replace(settings(database_url), redis_url=redis_url)) as parts:
        yield parts


@pytest.fixture
def empty_redis_url() -> Iterator[str]:
    with servers.own_redis() as url:
        yield url


async def test_every_name_in_redis_holds_the_identity_of_the_database(database_url: str, empty_redis_url: str) -> None:
    redis_url, client = empty_redis_url, redis.Redis.from_url(empty_redis_url)
    async with installation(database_url, redis_url) as one, installation(database_url, redis_url) as two:
        identity = await database_identity(one.database)
        assert await database_identity(two.database) == identity
        async with api_of(one) as api:
            await api.create("http://127.0.0.1:9/hook")
            assert (await api.get("webhooks")).status_code == 200
            await one.feed_log.restart()  # type: ignore[union-attr]
            await one.rate_ledger.spend({"ada": 1})  # type: ignore[union-attr]
            await eventually(lambda: len(client.keys()) > 4)
            names = [str(name) for name in [*client.keys(), *client.pubsub_channels()]]
        assert len(client.pubsub_channels()) >= 2
        assert [name for name in names if identity not in name] == []


async def test_another_database_on_the_same_server_has_another_identity(database_url: str, redis_url: str) -> None:
    other = re.sub(r"/monitor_test_\w+", "/postgres", database_url)
    async with installation(database_url, redis_url) as one, installation(other, redis_url) as two:
        first, second = await database_identity(one.database), await database_identity(two.database)
        assert first.partition("-")[0] == second.partition("-")[0]
        assert first != second


async def test_until_the_database_can_be_asked_redis_counts_as_unreachable() -> None:
    answers: list[str] = []

    async def identify() -> str:
        if not answers:
            raise Unavailable("The database is away.")
        return answers[0]

    namespace = RedisNamespace(identify, identify)
    prefix = namespace.prefix("{monitor:*}:")
    assert not await namespace.learn()
    with pytest.raises(RedisConnectionError):
        prefix()
    learning = asyncio.create_task(namespace.learn_loop())
    answers.append("7-1")
    await eventually(namespace.learn)
    assert prefix() == "{monitor:7-1}:"
    learning.cancel()
    await asyncio.gather(learning, return_exceptions=True)


async def test_a_container_whose_database_is_away_opens_all_the_same(redis_url: str) -> None:
    async with installation("postgresql://monitor@127.0.0.1:1/none", redis_url) as parts:
        assert parts.namespace is not None
        assert not await parts.namespace.learn()
        with pytest.raises(Unavailable):
            await parts.feed_log.restart()  # type: ignore[union-attr]


async def test_the_incarnation_of_a_database_changes_when_its_tables_are_made_anew(empty_database_url: str) -> None:
    async with Database(DatabaseConfig(empty_database_url)) as database:
        without_tables = await database_incarnation(database)
        found = []
        for _ in range(2):
            await upgrade(empty_database_url)
            found += [await database_incarnation(database), await database_incarnation(database)]
            connection = await asyncpg.connect(empty_database_url)
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await connection.close()
        assert found[0] == found[1]
        assert found[2] == found[3]
        assert len({without_tables, *found}) == 3


async def test_the_last_incarnation_holds_while_the_database_is_away() -> None:
    answers = ["7-1"]

    async def answer() -> str:
        if not answers:
            raise Unavailable("The database is away.")
        return answers[0]

    namespace = RedisNamespace(answer, answer)
    assert await namespace.learn()
    answers.clear()
    assert await namespace.incarnation() == "7-1"
    answers.append("7-2")
    assert await namespace.incarnation() == "7-2"


async def test_what_was_cached_in_a_future_that_is_gone_is_not_served(
    empty_database_url: str, empty_redis_url: str
) -> None:
    await upgrade(empty_database_url)
    async with installation(empty_database_url, empty_redis_url) as before, api_of(before) as api:
        await api.create("http://127.0.0.1:9/hook")
        assert len((await api.read("webhooks"))["items"]) == 1
    connection = await asyncpg.connect(empty_database_url)
    try:
        # As a dump from before the webhook, restored in place: the same database, with other tables.
        await connection.execute(
            "TRUNCATE webhooks CASCADE; ALTER TABLE alembic_version RENAME TO gone;"
            "CREATE TABLE alembic_version AS SELECT * FROM gone; DROP TABLE gone"
        )
    finally:
        await connection.close()
    with capture_logs() as logs:
        async with installation(empty_database_url, empty_redis_url) as after, api_of(after) as api:
            assert (await api.read("webhooks"))["items"] == []
    assert [line["log_level"] for line in logs if line["event"] == "database_set_back"] == ["warning"]
