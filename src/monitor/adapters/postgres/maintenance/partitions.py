"""Partitions by day and by calendar month: made ahead, dropped whole. Safe to run from any number of processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import msgspec
import structlog

from monitor.domain.ids import id_floor, id_time

DAYS_AHEAD = 3
DAYS_BEHIND = 1
"""A reported attempt may be up to a day old, and clocks differ around midnight."""

BY_ID = ("events", "deliveries_finished", "attempts")

ADVISORY_LOCK = 0x6D6F6E01

CREATE_LOCK_MS = 300
DROP_LOCK_MS = 100
"""How long a step waits for a lock, while every writer of the table waits behind it."""

CHUNK = 5_000
CHUNKS_PER_RUN = 20
"""Rows of a default partition that one statement deletes, and statements of one run."""

MOVED_MAX = 50_000
"""Rows of a default partition that move in one transaction, a second or so. A day with more rows stays there."""

log = structlog.get_logger(__name__)

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when a resolution without rows is complete."""

COMPACTED = """
SELECT resolution, least(compacted_until, (
    SELECT min(bucket_at) FROM rollups_stale s WHERE s.resolution = p.resolution)) AS until
FROM rollup_progress p
"""


OWNS_TABLES = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'attempts'::regclass"


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


async def maintain(connection: asyncpg.Connection, retention: Retention, *, wait: bool = False) -> None:
    """Make the partitions of the coming days, then drop those past *retention*. Safe to repeat, and to stop anywhere.

    Rows outside every partition land in each table's default one, are never lost before their retention, and move once
    theirs is made, unless they are more than :data:`MOVED_MAX`. Minutes and hours stay until the next resolution holds
    these, at any age; events stay while a delivery of theirs is pending or still to be made.

    Each step is a transaction of its own, and one that another transaction holds up, a long reader for one, is left to
    the next run: a step that waits for a table makes all others wait behind.

    Args:
        wait: for another process that does the same; without it this one does nothing then.
    """
    if wait:
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    elif not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
        return
    try:
        todo = await _plans(connection, retention)
        for plan, existing in todo:
            for name, lower, upper in plan.wanted():
                if name not in existing:
                    await _step(connection, name, CREATE_LOCK_MS, partial(_create, plan.table, name, lower, upper))
        for plan, existing in todo:
            for name in plan.expired(existing):
                if not await _step(connection, name, DROP_LOCK_MS, partial(_drop, name)):
                    # The others of this table would have to wait for the same reader.
                    break
            await _empty_default(connection, plan)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)


async def missing(connection: asyncpg.Connection, retention: Retention) -> list[str]:
    """Return the partitions of today and tomorrow that nothing has made; their rows go to the default partitions."""
    tomorrow = midnight(await connection.fetchval("SELECT now()")) + timedelta(days=1)
    return [
        name
        for plan, existing in await _plans(connection, retention)
        for name, lower, upper in plan.wanted()
        if name not in existing and lower <= tomorrow < upper + timedelta(days=1)
    ]


async def _plans(connection: asyncpg.Connection, retention: Retention) -> list[tuple[Plan, set[str]]]:
    """Return what to do for each table, with the names of all partitions that there are."""
    today = midnight(await connection.fetchval("SELECT now()"))
    rows = await connection.fetch(
        "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE c.relnamespace = current_schema()::regnamespace"
    )
    existing = {row["name"] for row in rows}
    compacted_until = {row["resolution"]: row["until"] for row in await connection.fetch(COMPACTED)}
    pending_from = await _pending_from(connection)
    events_from = today - timedelta(days=retention.events_d)
    if pending_from is not None and pending_from < events_from:
        log.warning("events_kept_for_pending_deliveries", pending_from=pending_from.isoformat())
    return [(plan, existing) for plan in plans(today, retention, compacted_until, pending_from)]


async def _pending_from(connection: asyncpg.Connection) -> datetime | None:
    """Return the time of the oldest event with a delivery that is pending, or still to be made."""
    found = [await connection.fetchval("SELECT event_id FROM deliveries ORDER BY event_id LIMIT 1")]
    # A schema that is being upgraded may lack the table yet.
    if await connection.fetchval("SELECT to_regclass('fan_outs')") is not None:
        found.append(await connection.fetchval("SELECT id FROM fan_outs ORDER BY id LIMIT 1"))
    return min((id_time(id_) for id_ in found if id_ is not None), default=None)


async def _step(
    connection: asyncpg.Connection,
    name: str,
    lock_timeout_ms: int,
    step: Callable[[asyncpg.Connection], Awaitable[object]],
) -> bool:
    """Run *step* in a transaction; return ``False`` if another one holds up what it locks."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {lock_timeout_ms}")
            await step(connection)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        log.warning("partition_postponed", partition=name, error=type(error).__name__)
        return False
    return True


def plans(
    today: datetime,
    retention: Retention,
    compacted_until: Mapping[str, datetime],
    pending_from: datetime | None = None,
) -> Iterator[Plan]:
    """
    Yield what to do for each table.

    Args:
        today: midnight, UTC.
        compacted_until: until when each resolution (``hour``, ``day``) is complete; a missing one has no rows.
        pending_from: time of the oldest event with a pending delivery or a running fan-out; ``None`` if there is none.
    """
    first, last = today - timedelta(days=DAYS_BEHIND), today + timedelta(days=DAYS_AHEAD)
    events_from, deliveries_from, attempts_from, minutes_from, hours_from, days_from = (
        today - timedelta(days=days) for days in msgspec.structs.astuple(retention)
    )
    yield Plan("events", first, last, events_from if pending_from is None else min(events_from, midnight(pending_from)))
    yield Plan("deliveries_finished", first, last, deliveries_from)
    yield Plan("attempts", first, last, attempts_from)
    hours_until = midnight(compacted_until.get("hour", NEVER))
    days_until = min(hours_until, compacted_until.get("day", NEVER))
    for kind in ("rollups", "histograms"):
        yield Plan(f"{kind}_minute", first, last, min(minutes_from, hours_until))
        # Rollups that are compacted late, after an outage or an upgrade, are as old as the finer resolution.
        yield Plan(f"{kind}_hour", minutes_from, last, min(hours_from, days_until), monthly=True)
        yield Plan(f"{kind}_day", hours_from, last, days_from, monthly=True)


async def _create(table: str, name: str, lower: datetime, upper: datetime, connection: asyncpg.Connection) -> None:
    """Make one partition. Attaching, unlike ``PARTITION OF``, lets writers to the other ones go on."""
    key = _key(table)
    low, high = (_bound(table, at) for at in (lower, upper))
    of_day = f"FROM {table}_default WHERE {key} >= '{low}' AND {key} < '{high}'"
    count = f"SELECT count(*) FROM (SELECT {of_day} LIMIT {MOVED_MAX + 1}) AS d"
    if await connection.fetchval(count) > MOVED_MAX:
        log.warning("partition_left_in_default", partition=name)
        return
    await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    await connection.execute(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
    await connection.execute(f"WITH moved AS (DELETE {of_day} RETURNING *) INSERT INTO {name} SELECT * FROM moved")
    await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")


async def _drop(name: str, connection: asyncpg.Connection) -> None:
    await connection.execute(f"DROP TABLE IF EXISTS {name}")


async def _empty_default(connection: asyncpg.Connection, plan: Plan) -> None:
    """Delete what came too late for a partition of its own and is past retention now, chunk by chunk."""
    default = f"{plan.table}_default"
    past = f"{_key(plan.table)} < '{_bound(plan.table, plan.keep_from)}'"
    if plan.table == "deliveries_finished":
        # One that waited longer than a retention and ended just now is kept like the others from then on.
        past += f" AND finished_at < '{plan.keep_from}'"
    for _ in range(CHUNKS_PER_RUN):
        status = await connection.execute(
            f"DELETE FROM {default} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {default} WHERE {past} LIMIT {CHUNK}))"
        )
        if not status.endswith(f" {CHUNK}"):
            break


def midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _key(table: str) -> str:
    return "id" if table in BY_ID else "bucket_at"


def _bound(table: str, day: datetime) -> UUID | datetime:
    return id_floor(day) if table in BY_ID else day
