"""The pools of one process, when it stops."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import asyncpg
import pytest

from monitor.adapters.postgres.engine import CLOSE_S, Database, DatabaseConfig


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
