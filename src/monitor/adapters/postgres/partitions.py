"""Daily partitions: made ahead, dropped whole. Safe to run from any number of processes at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from monitor.domain.vocab import id_floor

DAYS_AHEAD = 3
DAYS_BEHIND = 1
"""A reported attempt may be up to a day old, and clocks differ around midnight."""

BY_ID = ("events", "deliveries_finished", "attempts")
BY_TIME = ("rollups_minute", "histograms_minute")

ADVISORY_LOCK = 0x6D6F6E01


class Retention(msgspec.Struct, frozen=True):
    """Days after which whole partitions of each table are dropped."""

    events_d: int = 30
    deliveries_d: int = 30
    attempts_d: int = 14
    minutes_d: int = 14

    def days(self, table: str) -> int:
        return {
            "events": self.events_d,
            "deliveries_finished": self.deliveries_d,
            "attempts": self.attempts_d,
        }.get(table, self.minutes_d)


async def maintain(connection: asyncpg.Connection, retention: Retention) -> None:
    """Make the partitions of the coming days and drop those past *retention*. Safe to repeat.

    Rows outside every day land in each table's default partition and are never lost.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        today = (await connection.fetchval("SELECT now()")).replace(hour=0, minute=0, second=0, microsecond=0)
        existing = {
            row["name"]
            for row in await connection.fetch(
                "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            )
        }
        for table in (*BY_ID, *BY_TIME):
            for offset in range(-DAYS_BEHIND, DAYS_AHEAD + 1):
                await _create(connection, table, today + timedelta(days=offset), existing)
            await _drop_old(connection, table, today - timedelta(days=retention.days(table)), existing)


async def _create(connection: asyncpg.Connection, table: str, day: datetime, existing: set[str]) -> None:
    name = f"{table}_{day:%Y%m%d}"
    if name in existing:
        return
    lower, upper = _bound(table, day), _bound(table, day + timedelta(days=1))
    await connection.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{lower}') TO ('{upper}')")


async def _drop_old(connection: asyncpg.Connection, table: str, before: datetime, existing: set[str]) -> None:
    oldest_kept = f"{table}_{before:%Y%m%d}"
    for name in sorted(existing):
        suffix = name.removeprefix(f"{table}_")
        if suffix != name and suffix.isdigit() and name < oldest_kept:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")


def _bound(table: str, day: datetime) -> UUID | datetime:
    return id_floor(day) if table in BY_ID else day
