"""Reads outside a unit of work, on the pool of their own."""

from __future__ import annotations

import asyncpg

from monitor.bootstrap.container import Container
from tests.servers import in_thread

LAST = "SELECT query, state FROM pg_stat_activity WHERE pid = $1"


async def test_a_read_asks_the_server_nothing_but_itself(own_parts: Container) -> None:
    read = "SELECT pg_backend_pid() AS pid, 'only this' AS text"
    row = await own_parts.database.fetchrow(read)
    assert row is not None
    looking = await own_parts.database.connect()
    try:
        assert tuple(await looking.fetchrow(LAST, row["pid"])) == (read, "idle")
    finally:
        await looking.close()


async def test_the_next_reader_gets_no_transaction_of_the_one_before(own_parts: Container) -> None:
    async with own_parts.database.reads.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 99000")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    row = await own_parts.database.fetchrow(
        "SELECT pg_backend_pid() AS pid, current_setting('statement_timeout') AS limit"
    )
    assert row is not None
    assert (row["pid"], row["limit"]) == (pid, "5s")


async def test_a_read_on_a_connection_that_has_just_ended_is_repeated(own_parts: Container) -> None:
    row = await own_parts.database.fetchrow("SELECT pg_backend_pid() AS pid")
    assert row is not None

    async def end() -> None:
        other = await asyncpg.connect(own_parts.database.dsn)
        try:
            # With a time limit, it returns once the other one is gone.
            assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", row["pid"])
        finally:
            await other.close()

    # While this loop stands still, so that it cannot have heard of it.
    in_thread(end)
    again = await own_parts.database.fetchrow("SELECT pg_backend_pid() AS pid")
    assert again is not None
    assert again["pid"] != row["pid"]
