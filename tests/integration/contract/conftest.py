"""The two worlds that every contract is tested in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.queries.alerts import PostgresAlertQueries
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.integration.contract.world import World


@pytest.fixture(params=["fake", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    """The database to test with; ``None`` is the fake."""
    return None if request.param == "fake" else request.getfixturevalue("database_url")


@pytest.fixture
async def world(dsn: str | None) -> AsyncIterator[World]:
    if dsn is None:
        fake = FakeDatabase(FakeClock())
        yield World(lambda: FakeUnitOfWork(fake), FakeQueries(fake), FakeAlertQueries(fake), fake.clock)
        return
    clock, secret_box = SystemClock(), SecretBox([("test", bytes(32))])
    async with Database(DatabaseConfig(dsn, read_pool=2, write_pool=2)) as database:
        yield World(
            lambda: PostgresUnitOfWork(database, secret_box, clock),
            PostgresQueries(database, secret_box),
            PostgresAlertQueries(database),
            clock,
        )
