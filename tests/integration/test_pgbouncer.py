"""
Behind Debian's PgBouncer in transaction mode: the product as its commands run it, and the adapters beneath.

``nox -s pooled`` runs the other suites through it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.pooler import PooledConnection, Pooling, pooling
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.secret_box import SecretBox
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected
from tests import servers
from tests.faults.system import admin_token
from tests.integration.processes import Client, Invoke, production, run, running
from tests.integration.support import WITHIN_S, Receiver, eventually
from tests.pgbouncer import POOL_SIZE, PgBouncer, pgbouncer
from tests.servers import free_port

pytestmark = pytest.mark.topology

DIRECT_URL = "MONITOR_DB__DIRECT_URL"
OF_SESSIONS = "jit,statement_timeout,idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval"
IGNORED = f"{OF_SESSIONS},tcp_keepalives_count,tcp_user_timeout"
"""The startup parameters of a process that does not know of a pooler."""

POLL_S = 120

SOURCES = "SELECT current_setting('statement_timeout') || current_setting('idle_in_transaction_session_timeout')"


@pytest.fixture(scope="module")
def pooler(postgres: servers.Postgres) -> Iterator[PgBouncer]:
    with pgbouncer(postgres.dsn) as pooler:
        yield pooler


@pytest.fixture
def url(pooler: PgBouncer, database_url: str) -> str:
    return pooler.url(database_url)


@pytest.fixture
async def database(url: str, database_url: str) -> AsyncIterator[Database]:
    async with Database(DatabaseConfig(url, direct_dsn=database_url, acquire_timeout_s=WITHIN_S)) as database:
        yield database


def behind(pooler: PgBouncer, dsn: str, direct_url: str | None = None, **settings: str) -> dict[str, str]:
    """Return the environment of commands behind *pooler*; without a direct URL if it is empty."""
    env = production(pooler.url(dsn), **settings)
    return env | ({DIRECT_URL: direct_url or dsn} if direct_url != "" else {})


def found(result: str, check: str = "pooler") -> str:
    """Return the line of ``monitor doctor`` about *check*."""
    return next((line for line in result.splitlines() if line[2:].startswith(f"{check}:")), "")


# What the URLs lead to -----------------------------------------------------------------------------------------------


async def test_a_pooler_and_its_mode_are_recognised(postgres: servers.Postgres, url: str, database_url: str) -> None:
    assert await pooling(database_url, timeout_s=WITHIN_S) is Pooling.NONE
    assert await pooling(url, timeout_s=WITHIN_S) is Pooling.TRANSACTION
    with pgbouncer(postgres.dsn, mode="session") as lasting:
        assert await pooling(lasting.url(database_url), timeout_s=WITHIN_S) is Pooling.SESSION


@pytest.mark.parametrize("ignored", ["", IGNORED])
async def test_each_command_asks_for_the_direct_url_at_once(
    postgres: servers.Postgres, database_url: str, invoke: Invoke, ignored: str
) -> None:
    with pgbouncer(postgres.dsn, ignored=ignored) as pooler:
        env = behind(pooler, database_url, "")
        for command in (("migrate",), ("maintain",), ("work",), ("serve", "--port", str(free_port()))):
            refused = await run(*command, env=env)
            assert (refused.code, refused.out) == (2, ""), command
            assert "set MONITOR_DB__DIRECT_URL to the URL of PostgreSQL itself" in refused.err, command
            assert "Traceback" not in refused.err
        doctor = await run("doctor", env=env)
        assert doctor.code == 1
        assert "set MONITOR_DB__DIRECT_URL to the URL of PostgreSQL itself" in doctor.out


async def test_the_doctor_examines_the_direct_url(
    postgres: servers.Postgres, pooler: PgBouncer, database_url: str
) -> None:
    async def doctor(main: str, direct: str) -> str:
        result = await run("doctor", env=production(main) | {DIRECT_URL: direct})
        return found(result.out) or result.out + result.err

    url = pooler.url(database_url)
    assert await doctor(url, database_url) == (
        "✓ pooler: MONITOR_DATABASE_URL leads to a pooler, and MONITOR_DB__DIRECT_URL to the same database"
    )
    assert (await doctor(url, url)).startswith("✗ pooler: MONITOR_DB__DIRECT_URL leads to a pooler in transaction mode")
    other = servers.with_database(database_url, "postgres")
    assert await doctor(url, other) == (
        "✗ pooler: MONITOR_DB__DIRECT_URL leads to another database than MONITOR_DATABASE_URL."
    )
    assert (await doctor(database_url, database_url)).startswith("! pooler: there is no pooler before")
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/monitor"
    line = await doctor(url, nowhere)
    assert line.startswith(f"✗ pooler: MONITOR_DB__DIRECT_URL, {nowhere.partition('@')[2]}: Connection refused; check ")
    assert "port in MONITOR_DB__DIRECT_URL" in line
    assert line.endswith("Until then workers poll.")


async def test_a_process_does_not_start_on_two_databases(pooler: PgBouncer, database_url: str) -> None:
    env = behind(pooler, database_url, servers.with_database(database_url, "postgres"))
    refused = await run("work", env=env)
    assert refused.code == 2
    assert "MONITOR_DB__DIRECT_URL leads to another database" in refused.err


# The product ---------------------------------------------------------------------------------------------------------


async def test_commands_serve_and_deliver_through_it_and_outlive_it(  # noqa: PLR0915 - one start of processes
    pooler: PgBouncer, empty_database_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    env = behind(pooler, empty_database_url, HTTP__RATE_LIMIT_PER_S="1000000", HTTP__RATE_BURST="1000000")
    migrated = await run("migrate", env=env)
    assert migrated.code == 0, migrated.err
    assert (await run("maintain", env=env)).code == 0
    port = free_port()
    client = Client(port, admin_token())
    async with AsyncExitStack() as stack:
        serve = await stack.enter_async_context(
            running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log")
        )
        workers = [
            await stack.enter_async_context(running("work", env=env | {"MONITOR_WORKER__POLL_S": str(POLL_S)}, log=log))
            for log in (tmp_path / "work1.log", tmp_path / "work2.log")
        ]
        for worker in workers:
            await worker.says("worker_started")
        await eventually(client.ready, within_s=90)
        await client.call("POST", "webhooks", json={"name": "n", "url": receiver.url, "max_concurrency": 50})

        # Woken by LISTEN past the pooler, since polling is far away.
        started_at = time.monotonic()
        await publish(client, 1)
        await eventually(lambda: receiver.ids, within_s=POLL_S)
        assert time.monotonic() - started_at < POLL_S / 2

        statuses = await under_load(client, rounds=10)
        assert statuses == {200, 202}
        await eventually(lambda: len(set(receiver.ids)) == 1 + 10 * 8 * 5, within_s=90)
        await nothing_pending(client)
        assert len(receiver.requests) == len(set(receiver.ids)), "sent twice"

        pooler.stop(signal.SIGKILL)
        away = await client.call("GET", "webhooks", params={"limit": "7"})
        assert (away.status_code, away.headers.get("content-type")) == (503, "application/problem+json")
        assert int(away.headers["retry-after"]) >= 1
        refused = await client.call("POST", "events", json={"events": [{"type": "t", "payload": {}}]})
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        pooler.start()
        await eventually(client.ready, within_s=90)
        before = len(set(receiver.ids))
        await publish(client, 5)
        await eventually(lambda: len(set(receiver.ids)) == before + 5, within_s=90)
        await nothing_pending(client)

        pools = [pool for pool in await pooler.show("pools") if f"/{pool['database']}" in empty_database_url]
        assert pools
        assert all(int(pool["sv_active"]) + int(pool["sv_idle"]) <= POOL_SIZE for pool in pools)
        await nothing_held(pooler, empty_database_url)
        assert await kept_settings(pooler.url(empty_database_url)) == {"5s0"}
        assert serve.process.returncode is None
        assert await serve.stop() == 0
        assert [await worker.stop() for worker in workers] == [0, 0]
    for name in ("serve", "work1", "work2"):
        assert_quiet(tmp_path / f"{name}.log")


async def test_a_worker_polls_while_the_direct_url_is_away(
    pooler: PgBouncer, database_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/{database_url.rpartition('/')[2]}"
    env, port = behind(pooler, database_url, nowhere), free_port()
    client = Client(port, admin_token())
    async with (
        running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log"),
        running("work", env=env, log=tmp_path / "work.log") as work,
    ):
        await work.says("direct_connection_unavailable")
        await work.says("worker_started")
        await eventually(client.ready, within_s=90)
        await client.call("POST", "webhooks", json={"name": "n", "url": receiver.url})
        await publish(client, 3)
        await eventually(lambda: len(set(receiver.ids)) == 3, within_s=90)
        assert await client.ready()


def assert_quiet(log: Path) -> None:
    """Check that outages were the worst that a command met."""
    text = log.read_text()
    assert "Traceback" not in text, log
    assert "PreparedStatement" not in text, log


async def publish(client: Client, count: int) -> set[int]:
    batch = {"events": [{"type": "order.paid", "payload": {"n": n}} for n in range(count)]}
    return {(await client.call("POST", "events", json=batch)).status_code}


async def under_load(client: Client, *, rounds: int) -> set[int]:
    """Publish and read from eight callers at once, and ask for readiness meanwhile; return every status."""
    statuses: set[int] = set()

    async def caller() -> None:
        for _ in range(rounds):
            statuses.update(await publish(client, 5))
            for path in ("webhooks", "deliveries", "dashboard/overview", "events", "/health/ready"):
                statuses.add((await client.call("GET", path)).status_code)

    await asyncio.gather(*(caller() for _ in range(8)))
    return statuses


async def nothing_pending(client: Client) -> None:
    async def done() -> bool:
        return not (await client.read("deliveries?state=pending&limit=1"))["items"]

    await eventually(done, within_s=90)


async def nothing_held(pooler: PgBouncer, dsn: str) -> None:
    """Wait for a moment at which no connection of the server is assigned to a client: none is held for good."""
    name = dsn.partition("?")[0].rpartition("/")[2]

    async def free() -> bool:
        return all(pool["sv_active"] == "0" for pool in await pooler.show("pools") if pool["database"] == name)

    await eventually(free)


async def kept_settings(url: str) -> set[str]:
    """Return the limits of every connection of the server that the pooler has."""
    connections = [await PooledConnection.open(url) for _ in range(POOL_SIZE)]
    try:
        transactions = [connection.transaction() for connection in connections]
        for transaction in transactions:
            await transaction.start()
        return {await connection.fetchval(SOURCES) for connection in connections}
    finally:
        for connection in connections:
            connection.terminate()


# The adapters --------------------------------------------------------------------------------------------------------


def unit_of_work(database: Database) -> PostgresUnitOfWork:
    return PostgresUnitOfWork(database, SecretBox([("test", bytes(32))]), SystemClock())


async def test_reads_meet_no_statement_of_another_connection(database: Database) -> None:
    async def read(first: int) -> None:
        for number in range(first, first + 50):
            row = await database.fetchrow(f"SELECT $1::int AS n, {number % 7} AS of", number)
            assert row is not None
            assert (row["n"], row["of"]) == (number, number % 7)

    await asyncio.gather(*(read(first * 100) for first in range(16)))


async def test_a_refused_argument_leaves_no_connection_of_the_server_behind(
    pooler: PgBouncer, database: Database, database_url: str
) -> None:
    for _ in range(2):
        with pytest.raises(DataRejected):
            await database.fetch("SELECT $1::int", 2**40)
        await nothing_held(pooler, database_url)


async def test_a_cancelled_read_leaves_no_connection_of_the_server_behind(
    pooler: PgBouncer, database: Database, database_url: str
) -> None:
    reading = asyncio.create_task(database.fetch("SELECT pg_sleep(60)"))

    async def is_busy() -> bool:
        name = database_url.partition("?")[0].rpartition("/")[2]
        return any(pool["sv_active"] == "1" for pool in await pooler.show("pools") if pool["database"] == name)

    await eventually(is_busy)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await nothing_held(pooler, database_url)


async def test_a_unit_of_work_has_its_limits_and_leaves_none_behind(
    pooler: PgBouncer, url: str, database_url: str
) -> None:
    config = DatabaseConfig(url, direct_dsn=database_url, statement_timeout_ms=700, acquire_timeout_s=WITHIN_S)
    async with Database(config) as database:
        async with unit_of_work(database) as uow:
            assert await uow._raw_connection.fetchval(SOURCES) == "700ms10s"
        with pytest.raises(Unavailable, match=r"took longer than 0\.7 s"):
            async with unit_of_work(database) as uow:
                await uow._raw_connection.fetch("SELECT pg_sleep(60)")
        with pytest.raises(Unavailable, match=r"took longer than 0\.7 s"):
            await database.fetch("SELECT pg_sleep(60)")
        assert await kept_settings(url) == {"5s0"}


async def test_a_column_that_is_added_is_read_by_the_next_statement(database: Database) -> None:
    await database.fetch("CREATE TABLE added AS SELECT 1 AS a")
    try:
        assert [tuple(row) for row in await database.fetch("SELECT * FROM added")] == [(1,)]
        await database.fetch("ALTER TABLE added ADD COLUMN b int DEFAULT 2")
        assert [tuple(row) for row in await database.fetch("SELECT * FROM added")] == [(1, 2)]
    finally:
        await database.fetch("DROP TABLE added")


async def test_a_direct_connection_is_one(database: Database) -> None:
    connection = await database.connect()
    try:
        assert await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "10s"
    finally:
        await connection.close()


async def test_ids_and_arrays_of_all_types_in_use_pass(database: Database) -> None:
    row = await database.fetchrow("SELECT $1::uuid[] AS ids, $2::text[] AS words", [UUID(int=1)], ["a"])
    assert row is not None
    assert (row["ids"], row["words"]) == ([UUID(int=1)], ["a"])
