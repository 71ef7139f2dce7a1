"""Requests that wait at Debian's PgBouncer in transaction mode, or are refused there: how soon, and in which words."""

from __future__ import annotations

import time

import asyncpg
import pytest

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.domain.errors import Unavailable
from tests import servers
from tests.integration.support import WITHIN_S, eventually
from tests.pgbouncer import pgbouncer

pytestmark = pytest.mark.topology

WRITE_WAIT_S, READ_LIMIT_S = 2, 3

USES = {
    "write": (WRITE_WAIT_S, "The connection pooler had no connection to the database in time"),
    "read": (2 * READ_LIMIT_S, "or waited so long at the connection pooler"),
}
"""How long each waits at most, and the words. A read is given up by a second connection, which waits as long."""


@pytest.mark.parametrize("kind", USES)
async def test_a_wait_at_a_pooler_that_does_not_limit_it_ends_in_the_right_words(
    postgres: servers.Postgres, database_url: str, kind: str
) -> None:
    async def use(database: Database) -> None:
        if kind == "read":
            await database.fetch("SELECT 1")
            return
        async with PostgresUnitOfWork(database, SecretBox([("test", bytes(32))]), SystemClock()):
            pass

    limit_s, words = USES[kind]
    with pgbouncer(postgres.dsn, size=1) as narrow:
        url = narrow.url(database_url)
        config = DatabaseConfig(
            url, direct_dsn=database_url, acquire_timeout_s=WRITE_WAIT_S, statement_timeout_ms=READ_LIMIT_S * 1000
        )
        async with Database(config) as database:
            await use(database)
            holding = await asyncpg.connect(url, statement_cache_size=0)
            async with holding.transaction():
                await holding.execute("SELECT")
                started_at = time.monotonic()
                with pytest.raises(Unavailable, match=words) as refused:
                    await use(database)
                assert refused.value.took_too_long is (kind == "read")
                assert time.monotonic() - started_at < 5 * limit_s
            holding.terminate()
            await use(database)


async def test_what_the_pooler_refuses_is_an_outage_in_its_words(postgres: servers.Postgres, database_url: str) -> None:
    with pgbouncer(postgres.dsn, size=1, clients=3, wait_s=1) as narrow:
        url = narrow.url(database_url)
        async with Database(DatabaseConfig(url, direct_dsn=database_url, acquire_timeout_s=WITHIN_S)) as database:
            await database.fetch("SELECT 1")
            holding = await asyncpg.connect(url, statement_cache_size=0)
            async with holding.transaction():
                await holding.execute("SELECT")
                with pytest.raises(Unavailable, match="pooler had no connection to the database in time"):
                    await database.fetch("SELECT 1")
            others = [await asyncpg.connect(url) for _ in range(2)]
            with pytest.raises(Unavailable, match="pooler takes no more connections"):
                await database.fetch("SELECT 1")
            for other in (holding, *others):
                other.terminate()

            async def answers() -> bool:
                try:
                    return bool(await database.fetch("SELECT 1"))
                except Unavailable:
                    return False

            await eventually(answers)
