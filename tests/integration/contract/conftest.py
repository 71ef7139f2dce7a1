"""The two worlds that every contract is tested in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.alerts import PostgresAlertQueries
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.adapters.secret_box import SecretBox
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.repositories.events import FakeWakeups
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.integration.contract.world import World
from tests.integration.support import WITHIN_S
from tests.pgbouncer import database_config


@pytest.fixture(params=["fake", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """The database to test with; ``None`` is the fake."""
    return None if request.param == "fake" else request.getfixturevalue("database_url")


@pytest.fixture
async def world(dsn: str | None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    if dsn is None:
        clock_of_fake = FakeClock()
        fake = FakeDatabase(clock_of_fake)

        async def advance(seconds: float) -> None:
            clock_of_fake.advance(seconds)

        yield World(
            lambda: FakeUnitOfWork(fake),
            FakeQueries(fake),
            FakeAlertQueries(fake),
            fake.clock,
            FakeWakeups(fake),
            advance,
            partial(setattr, fake, "answers_lost", True),
        )
        return
    clock, secret_box = SystemClock(), SecretBox([("test", bytes(32))])
    # A busy machine is slow, not down.
    config = database_config(dsn, read_pool=2, write_pool=2, acquire_timeout_s=WITHIN_S)
    async with Database(config) as database:
        yield World(
            lambda: PostgresUnitOfWork(database, secret_box, clock),
            PostgresQueries(database, secret_box),
            PostgresAlertQueries(database),
            clock,
            PostgresWakeups(database),
            partial(age, dsn),
            partial(monkeypatch.setattr, AsyncSession, "commit", commit_unanswered),
        )


_commit = AsyncSession.commit


async def commit_unanswered(session: AsyncSession) -> None:
    await _commit(session)
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


async def age(dsn: str, seconds: float) -> None:
    """Make all that is stored older by *seconds*, but for the buckets of rollups, which are partitioned by them."""
    connection = await asyncpg.connect(dsn)
    try:
        columns = await connection.fetch(TIMES)
        by_table: dict[str, list[str]] = {}
        for row in columns:
            by_table.setdefault(row["table_name"], []).append(row["column_name"])
        for table, names in by_table.items():
            shifted = ", ".join(f"{name} = {name} - make_interval(secs => $1)" for name in names)
            await connection.execute(f"UPDATE {table} SET {shifted}", seconds)
    finally:
        await connection.close()


TIMES = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN pg_class t ON t.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
WHERE c.table_schema = 'public' AND c.data_type = 'timestamp with time zone'
    AND t.relkind IN ('r', 'p') AND NOT t.relispartition AND c.column_name <> 'bucket_at' ORDER BY 1, 2
"""
