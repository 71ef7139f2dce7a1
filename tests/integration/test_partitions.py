"""Partitions beside readers, writers and other processes; what holds them, and what empties the default ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
import structlog.testing

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres import migrate
from monitor.adapters.postgres.maintenance import partitions
from monitor.adapters.postgres.maintenance.partitions import ADVISORY_LOCK, Retention, maintain
from monitor.domain.ids import SYSTEM_ID, id_floor
from tests.integration.support import WITHIN_S, eventually

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
OLD = TODAY - 40 * DAY

HELD_HERE = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""
"""Counts the advisory locks in this database: other tests have others on the same server."""


@pytest.fixture
async def db(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    await migrate.upgrade(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(db: asyncpg.Connection, empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A second connection."""
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def writer(db: asyncpg.Connection, empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A third one."""
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def add_partition(db: asyncpg.Connection, table: str, day: datetime) -> str:
    name = f"{table}_{day:%Y%m%d}"
    low, high = id_floor(day), id_floor(day + DAY)
    await db.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{low}') TO ('{high}')")
    return name


async def exists(db: asyncpg.Connection, name: str) -> bool:
    return bool(await db.fetchval("SELECT to_regclass($1) IS NOT NULL", name))


async def add_event(db: asyncpg.Connection, at: datetime) -> UUID:
    id_ = SystemClock().new_id(at)
    await db.execute("INSERT INTO events VALUES ($1, 'order.paid', '', '{}', $2, $2)", id_, at)
    return id_


async def test_a_long_reader_holds_up_its_own_partition_alone(
    db: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    kept, other = await add_partition(db, "events", OLD), await add_partition(db, "attempts", OLD)
    ahead = f"events_{TODAY + 3 * DAY:%Y%m%d}"
    await db.execute(f"DROP TABLE {ahead}")
    async with reader.transaction():
        await reader.execute(f"SELECT * FROM {kept}")
        started_at = time.monotonic()
        await maintain(db, Retention())
        assert time.monotonic() - started_at < 5
        assert await exists(db, kept)
        assert not await exists(db, other)
        assert await exists(db, ahead)
    await maintain(db, Retention())
    assert not await exists(db, kept)


async def test_a_writer_waits_for_one_lock_request_of_a_tenth_of_a_second(
    db: asyncpg.Connection, reader: asyncpg.Connection, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert partitions.DROP_LOCK_MS <= 100
    # Long enough for the writer to come meanwhile.
    monkeypatch.setattr(partitions, "DROP_LOCK_MS", 5_000)
    for ago in range(40, 60):
        await add_partition(db, "events", TODAY - ago * DAY)
    pid, writer_pid = db.get_server_pid(), writer.get_server_pid()
    async with reader.transaction():
        await reader.execute("SELECT * FROM events")
        with structlog.testing.capture_logs() as logs:
            maintaining = asyncio.create_task(maintain(db, Retention()))
            await eventually(
                lambda: reader.fetchval("SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted", pid)
            )
            writing = asyncio.create_task(add_event(writer, TODAY))
            await eventually(lambda: reader.fetchval("SELECT $1 = ANY(pg_blocking_pids($2))", pid, writer_pid))
            # The reader goes on: the request that the writer waits behind is given up.
            await asyncio.wait_for(writing, WITHIN_S)
            await maintaining
    # Of twenty partitions that are past, one was tried.
    assert [line["event"] for line in logs] == ["partition_postponed"]
    assert await db.fetchval("SHOW lock_timeout") == "0"


async def test_of_two_processes_one_works(db: asyncpg.Connection, reader: asyncpg.Connection) -> None:
    old = await add_partition(db, "events", OLD)
    await reader.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    await maintain(db, Retention())
    assert await exists(db, old)
    await reader.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
    await maintain(db, Retention())
    assert not await exists(db, old)
    assert await db.fetchval(HELD_HERE) == 0


async def test_an_event_stays_while_a_delivery_is_pending(db: asyncpg.Connection) -> None:
    before, held = await add_partition(db, "events", OLD - DAY), await add_partition(db, "events", OLD)
    event = await add_event(db, OLD + timedelta(hours=5))
    await db.execute(
        "INSERT INTO deliveries (id, event_id, webhook_id, due_at)"
        " VALUES (gen_random_uuid(), $1, gen_random_uuid(), now())",
        event,
    )
    await maintain(db, Retention())
    assert not await exists(db, before)
    assert await exists(db, held)
    await db.execute("DELETE FROM deliveries")
    await maintain(db, Retention())
    assert not await exists(db, held)


async def test_an_event_stays_while_its_fan_out_runs(db: asyncpg.Connection) -> None:
    held = await add_partition(db, "events", OLD)
    event = await add_event(db, OLD + timedelta(hours=5))
    await db.execute(
        "INSERT INTO fan_outs VALUES ($1::uuid, ARRAY[$1]::uuid[], '{NULL}', '{}', now(), now(), NULL, 0)", event
    )
    await maintain(db, Retention())
    assert await exists(db, held)
    await db.execute("DELETE FROM fan_outs")
    await maintain(db, Retention())
    assert not await exists(db, held)


async def test_a_day_with_many_rows_in_the_default_partition_stays_there(
    db: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MOVED_MAX", 2)
    few, many = TODAY + 2 * DAY, TODAY + 3 * DAY
    for day in (few, many):
        await db.execute(f"DROP TABLE events_{day:%Y%m%d}")
    moved = [await add_event(db, few + n * timedelta(hours=1)) for n in range(2)]
    left = [await add_event(db, many + n * timedelta(hours=1)) for n in range(3)]
    await maintain(db, Retention())
    assert [row["id"] for row in await db.fetch(f"SELECT id FROM events_{few:%Y%m%d} ORDER BY id")] == moved
    assert not await exists(db, f"events_{many:%Y%m%d}")
    assert [row["id"] for row in await db.fetch("SELECT id FROM events_default ORDER BY id")] == left


async def test_default_partitions_are_emptied_by_age(db: asyncpg.Connection) -> None:
    old, young = await add_event(db, OLD), await add_event(db, TODAY - 20 * DAY)
    assert {row["id"] for row in await db.fetch("SELECT id FROM events_default")} == {old, young}
    # A delivery that waited for longer than the retention, and ended just now.
    finished = "INSERT INTO deliveries_finished VALUES ($1, $1, $1, 'delivered', 1, 1, 200, NULL, now() - $2::interval)"
    await db.execute(finished, id_floor(OLD), timedelta(0))
    await db.execute(finished, id_floor(OLD - DAY), 39 * DAY)
    await maintain(db, Retention())
    assert [row["id"] for row in await db.fetch("SELECT id FROM events_default")] == [young]
    assert [row["id"] for row in await db.fetch("SELECT id FROM deliveries_finished")] == [id_floor(OLD)]


async def test_retention_drops_whole_partitions_once_the_next_level_holds_them(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    long_ago = TODAY - 1000 * DAY
    old = [f"{table}_{long_ago:{form}}" for table, form in (("rollups_minute", "%Y%m%d"), ("rollups_hour", "%Y%m"))]
    connection = await asyncpg.connect(empty_database_url)
    try:
        # Made as the product does, for a retention that reaches so far back.
        month = long_ago.replace(day=1)
        for name, since, until in ((old[0], long_ago, long_ago + DAY), (old[1], month, month + 28 * DAY)):
            await connection.execute(
                f"CREATE TABLE {name} PARTITION OF {name.rpartition('_')[0]} FOR VALUES FROM ('{since}') TO ('{until}')"
            )
        await maintain(connection, Retention())
        assert await existing(connection, old) == set(old)
        advance = (
            "INSERT INTO rollup_progress VALUES ($1, now())"
            " ON CONFLICT (resolution) DO UPDATE SET compacted_until = now()"
        )
        await connection.execute(advance, "hour")
        mark = "INSERT INTO rollups_stale VALUES ('hour', $1, $2)"
        await connection.execute(mark, SYSTEM_ID, long_ago)
        await maintain(connection, Retention())
        assert await existing(connection, old) == set(old)
        await connection.execute("DELETE FROM rollups_stale")
        await maintain(connection, Retention())
        assert await existing(connection, old) == {old[1]}
        await connection.execute(advance, "day")
        await maintain(connection, Retention())
        assert await existing(connection, old) == set()
    finally:
        await connection.close()


async def test_rows_that_came_before_their_partition_move_into_it(empty_database_url: str) -> None:
    await migrate.upgrade(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    try:
        today = f"rollups_minute_{TODAY:%Y%m%d}"
        await connection.execute(f"DROP TABLE {today}")
        row = (SYSTEM_ID, TODAY, 1, 0, 5.0, "{}", 0.0)
        await connection.execute("INSERT INTO rollups_minute VALUES ($1, $2, $3, $4, $5, $6, $7)", *row)
        assert await connection.fetchval("SELECT count(*) FROM rollups_minute_default") == 1
        await maintain(connection, Retention())
        assert tuple(await connection.fetchrow(f"SELECT * FROM {today}")) == row
        assert await connection.fetchval("SELECT count(*) FROM rollups_minute") == 1
    finally:
        await connection.close()


async def existing(connection: asyncpg.Connection, names: Sequence[str]) -> set[str]:
    found = await connection.fetch("SELECT relname FROM pg_class WHERE relname = ANY($1)", names)
    return {row["relname"] for row in found}
