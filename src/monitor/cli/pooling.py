"""Whether a pooler stands before the database, and whether the settings are those that its mode needs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe, raw_dsn
from monitor.adapters.postgres.identity import database_identity
from monitor.adapters.postgres.pooler import LIMITS, Pooling, is_pooled, pooling
from monitor.adapters.postgres.pooler_answers import DIRECT_URL_MISSING
from monitor.adapters.postgres.refusals import DATABASE_ERRORS, refusal
from monitor.cli.common import CommandError

DIRECT_URL = "MONITOR_DB__DIRECT_URL"


class PoolerFinding(NamedTuple):
    """
    Attributes:
        stops: processes must not start so; else an error is one that passes, or that processes work in spite of.
    """

    state: Literal["ok", "warning", "error"]
    text: str
    stops: bool = False


async def examine_pooler(database: Database) -> PoolerFinding | None:
    """
    Look at the way to an open *database*; ``None`` if it is as direct as the settings state.

    Raises what the database refuses, but for what the direct URL meets.
    """
    config = database.config
    if config.direct_dsn is None:
        async with database.connection() as connection:
            if not await is_pooled(connection):
                return None
        return _without_direct_url(await pooling(raw_dsn(config.dsn), timeout_s=config.acquire_timeout_s))
    try:
        problem = await _direct_problem(database, config.direct_dsn)
    except DATABASE_ERRORS as error:
        where = f"{DIRECT_URL}, {describe(config.direct_dsn)}"
        return PoolerFinding("error", f"{where}: {refusal(error, DIRECT_URL)} Until then workers poll.")
    if problem is not None:
        return PoolerFinding("error", problem, stops=True)
    async with database.connection() as connection:
        if not await is_pooled(connection):
            return PoolerFinding(
                "warning",
                f"there is no pooler before MONITOR_DATABASE_URL; without {DIRECT_URL} statements are prepared once",
            )
        if not await connection.fetchval(LIMITS):
            return PoolerFinding(
                "warning",
                (
                    "the server does not limit reads itself; in pgbouncer.ini, give the database"
                    " connect_query='SET statement_timeout = 5000; SET jit = off'"
                ),
            )
    return PoolerFinding("ok", f"MONITOR_DATABASE_URL leads to a pooler, and {DIRECT_URL} to the same database")


async def check_sessions(dsn: str, *, timeout_s: float) -> None:
    """Raise :class:`CommandError` if *dsn* leads to a pooler in transaction mode: the command needs a session."""
    if await pooling(raw_dsn(dsn), timeout_s=timeout_s) is Pooling.TRANSACTION:
        raise CommandError(f"{describe(dsn)}: {DIRECT_URL_MISSING}.")


def _without_direct_url(mode: Pooling) -> PoolerFinding:
    if mode is Pooling.TRANSACTION:
        return PoolerFinding("error", f"{DIRECT_URL_MISSING}.", stops=True)
    return PoolerFinding("ok", "MONITOR_DATABASE_URL leads to a pooler in session mode")


async def _direct_problem(database: Database, dsn: str) -> str | None:
    """Return what is wrong with the server at *dsn*, once it has answered."""
    timeout_s = database.config.acquire_timeout_s
    if await pooling(raw_dsn(dsn), timeout_s=timeout_s) is Pooling.TRANSACTION:
        return f"{DIRECT_URL} leads to a pooler in transaction mode, too; it needs the URL of PostgreSQL itself."
    async with Database(DatabaseConfig(dsn, acquire_timeout_s=timeout_s)) as direct:
        if await database_identity(direct) != await database_identity(database):
            return f"{DIRECT_URL} leads to another database than MONITOR_DATABASE_URL."
    return None
