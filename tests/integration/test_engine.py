"""The pools of one process, when it stops."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import asyncpg
import pytest

from monitor.adapters.postgres.engine import CLOSE_S, Database, DatabaseConfig
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import readiness
from monitor.domain.errors import Unavailable
from monitor.settings.schema import Db
from tests.integration.support import settings


async def test_closing_while_a_connection_is_given_back_leaves_no_failure_behind(database_url: str) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    database = Database(DatabaseConfig(database_url))
    await database.open()
    connection = await database.reads.acquire()
    giving_back = asyncio.create_task(database.reads.release(connection))
    # Far enough for the server to have been asked to reset it.
    for _ in range(3):
        await asyncio.sleep(0)
    giving_back.cancel()
    await database.close()
    await asyncio.gather(giving_back, return_exceptions=True)
    await asyncio.sleep(0)
    gc.collect()
    assert failures == []


async def test_closing_does_not_wait_for_a_query_that_hangs(database_url: str) -> None:
    database = Database(DatabaseConfig(database_url))
    await database.open()
    reads = database.reads
    hanging = asyncio.create_task(reads.fetch("SELECT pg_sleep(30)"))
    while not reads.get_size():
        await asyncio.sleep(0.01)
    started_at = time.monotonic()
    await database.close()
    assert time.monotonic() - started_at < CLOSE_S + 10
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await hanging


async def test_a_read_waits_for_a_connection_for_a_bounded_time(database_url: str) -> None:
    config = DatabaseConfig(database_url, read_pool=1, acquire_timeout_s=0.2)
    async with Database(config) as database, database.reads.acquire():
        started_at = time.monotonic()
        with pytest.raises(Unavailable, match="are in use"):
            await database.fetch("SELECT 1")
        assert time.monotonic() - started_at < 0.2 + 10


async def test_callers_that_hold_every_connection_leave_readiness_and_revocations_alone(database_url: str) -> None:
    brief = settings(database_url, db=Db(read_pool=1, write_pool=1, acquire_timeout_s=0.5))
    async with Container(brief) as parts, parts.database.reads.acquire(), parts.unit_of_work():
        assert await readiness(parts) == []
        assert await parts.queries.revoked() == set()
        assert await parts.queries.destinations([]) == {}
        await parts.dispatcher.sweep()
        with pytest.raises(Unavailable, match="are in use"):
            await parts.unit_of_work().__aenter__()
