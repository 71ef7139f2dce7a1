"""Reads outside a unit of work, on the pool of their own."""

from __future__ import annotations

from monitor.parts import Parts

LAST = "SELECT query, state FROM pg_stat_activity WHERE pid = $1"


async def test_a_read_asks_the_server_nothing_but_itself(parts: Parts) -> None:
    read = "SELECT pg_backend_pid() AS pid, 'only this' AS text"
    row = await parts.database.fetchrow(read)
    assert row is not None
    looking = await parts.database.connect()
    try:
        assert tuple(await looking.fetchrow(LAST, row["pid"])) == (read, "idle")
    finally:
        await looking.close()


async def test_the_next_reader_gets_no_transaction_of_the_one_before(parts: Parts) -> None:
    async with parts.database.reads.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 99000")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    row = await parts.database.fetchrow("SELECT pg_backend_pid() AS pid, current_setting('statement_timeout') AS limit")
    assert row is not None
    assert (row["pid"], row["limit"]) == (pid, "5s")
