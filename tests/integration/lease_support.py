"""The steps of a delivery, one by one, and writes that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg.exceptions import DeadlockDetectedError

from monitor.bootstrap.container import Container
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.settle import SentDelivery
from tests import samples
from tests.integration.support import eventually, execute, sql


async def claim_one(worker: Deliverer) -> ClaimedDelivery | None:
    deliveries = (await worker.claim(None, 10)).deliveries
    return deliveries[0] if deliveries else None


async def sent_by(worker: Deliverer, delivery: ClaimedDelivery) -> SentDelivery:
    sent = await samples.send(worker, delivery)
    assert sent is not None
    return sent


@asynccontextmanager
async def failing(parts: Container, table: str, error: str) -> AsyncIterator[None]:
    """Let every insert into *table* fail with the SQLSTATE *error*."""
    await execute(
        parts,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{error}'; END $$;"
        f" CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        await eventually(lambda: dropped(parts))


async def dropped(parts: Container) -> bool:
    """Try to remove the trigger; a worker that settles right now may hold what that needs, and need what it holds."""
    try:
        await execute(parts, "DROP FUNCTION refuse CASCADE")
    except DeadlockDetectedError:
        return False
    return True


async def cut_connections(parts: Container, which: str = "true") -> None:
    """End connections to the database, at least one, by a condition on ``pg_stat_activity``."""

    async def cut() -> bool:
        async with sql(parts) as connection:
            return bool(
                await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
                )
            )

    await eventually(cut)
