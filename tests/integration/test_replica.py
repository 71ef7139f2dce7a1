"""Heavy reads on a streaming replica: which server serves them, and that none is older than its beginning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.replica import ReplicaReads
from tests.replica import Pair, replicated

pytestmark = pytest.mark.topology


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[Pair]:
    async with replicated() as made:
        yield made


@asynccontextmanager
async def reading(primary: str, replica: str) -> AsyncIterator[tuple[Database, ReplicaReads]]:
    async with Database(DatabaseConfig(primary)) as database, ReplicaReads(database, replica) as reads:
        yield database, reads


WHERE = "SELECT pg_is_in_recovery() AS replica"


async def test_a_replica_that_is_up_to_date_serves_heavy_reads(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (_, reads):
        await pair.caught_up()
        assert [row["replica"] for row in await reads.fetch(WHERE)] == [True]
        row = await reads.fetchrow(WHERE)
        assert row is not None
        assert row["replica"]
        assert (reads.served, dict(reads.passed_on)) == (2, {})
