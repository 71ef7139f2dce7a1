"""Partitions by day and by calendar month: made ahead, dropped whole. Safe to run from any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from monitor.domain.ids import id_floor

DAYS_AHEAD = 3
DAYS_BEHIND = 1
"""A reported attempt may be up to a day old, and clocks differ around midnight."""

BY_ID = ("events", "deliveries_finished", "attempts")

ADVISORY_LOCK = 0x6D6F6E01

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when a resolution without rows is complete."""

COMPACTED = """
SELECT resolution, least(compacted_until, (
    SELECT min(bucket_at) FROM rollups_stale s WHERE s.resolution = p.resolution)) AS until
FROM rollup_progress p
"""


class Retention(msgspec.Struct, frozen=True):
    """Days after which whole partitions of each table are dropped."""

    events_d: int = 30
    deliveries_d: int = 30
    attempts_d: int = 14
    minutes_d: int = 14
    hours_d: int = 90
    days_d: int = 730


class Plan(msgspec.Struct, frozen=True):
    """The partitions of one table: made for the days from ``first`` to ``last``, dropped if they end by ``keep_from``.
    Names end in ``%Y%m%d``, or in ``%Y%m`` for whole months."""

    table: str
    first: datetime
    last: datetime
    keep_from: datetime
    monthly: bool = False

    def name(self, day: datetime) -> str:
        return f"{self.table}_{day:%Y%m}" if self.monthly else f"{self.table}_{day:%Y%m%d}"

    def wanted(self) -> Iterator[tuple[str, datetime, datetime]]:
        """Yield name and half-open range of each partition that should exist."""
        at = self._start(self.first)
        while at <= self.last:
            after = self._start(at + timedelta(days=31 if self.monthly else 1))
            if after > self.keep_from:
                yield self.name(at), at, after
            at = after

    def expired(self, existing: set[str]) -> list[str]:
        """Return which of the *existing* partitions lie wholly before ``keep_from``."""
        oldest_kept = self.name(self.keep_from)
        return sorted(name for name in existing if self._is_dated(name) and name < oldest_kept)

    def _is_dated(self, name: str) -> bool:
        suffix = name.removeprefix(f"{self.table}_")
        return suffix != name and suffix.isdigit()

    def _start(self, day: datetime) -> datetime:
        return day.replace(day=1) if self.monthly else day


async def maintain(connection: asyncpg.Connection, retention: Retention) -> None:
    """Make the partitions of the coming days and drop those past *retention*. Safe to repeat.

    Rows outside every partition land in each table's default one, are never lost, and move once theirs is made.
    Minutes and hours stay until the next resolution holds them, at any age.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        today = midnight(await connection.fetchval("SELECT now()"))
        existing = {
            row["name"]
            for row in await connection.fetch(
                "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            )
        }
        compacted_until = {row["resolution"]: row["until"] for row in await connection.fetch(COMPACTED)}
        for plan in plans(today, retention, compacted_until):
            for name, lower, upper in plan.wanted():
                if name not in existing:
                    await _create(connection, plan.table, name, lower, upper)
            for name in plan.expired(existing):
                await connection.execute(f"DROP TABLE IF EXISTS {name}")


def plans(today: datetime, retention: Retention, compacted_until: Mapping[str, datetime]) -> Iterator[Plan]:
    """
    Yield what to do for each table.

    Args:
        today: midnight, UTC.
        compacted_until: until when each resolution (``hour``, ``day``) is complete; a missing one has no rows.
    """
    first, last = today - timedelta(days=DAYS_BEHIND), today + timedelta(days=DAYS_AHEAD)
    events_from, deliveries_from, attempts_from, minutes_from, hours_from, days_from = (
        today - timedelta(days=days) for days in msgspec.structs.astuple(retention)
    )
    yield Plan("events", first, last, events_from)
    yield Plan("deliveries_finished", first, last, deliveries_from)
    yield Plan("attempts", first, last, attempts_from)
    hours_until = midnight(compacted_until.get("hour", NEVER))
    days_until = min(hours_until, compacted_until.get("day", NEVER))
    for kind in ("rollups", "histograms"):
        yield Plan(f"{kind}_minute", first, last, min(minutes_from, hours_until))
        # Rollups that are compacted late, after an outage or an upgrade, are as old as the finer resolution.
        yield Plan(f"{kind}_hour", minutes_from, last, min(hours_from, days_until), monthly=True)
        yield Plan(f"{kind}_day", hours_from, last, days_from, monthly=True)


async def _create(connection: asyncpg.Connection, table: str, name: str, lower: datetime, upper: datetime) -> None:
    """Make one partition. Attaching, unlike ``PARTITION OF``, lets writers to the other ones go on."""
    key = "id" if table in BY_ID else "bucket_at"
    low, high = (_bound(table, at) for at in (lower, upper))
    moving = f"DELETE FROM {table}_default WHERE {key} >= '{low}' AND {key} < '{high}' RETURNING *"
    await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    await connection.execute(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
    await connection.execute(f"WITH moved AS ({moving}) INSERT INTO {name} SELECT * FROM moved")
    await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _bound(table: str, day: datetime) -> UUID | datetime:
    return id_floor(day) if table in BY_ID else day
