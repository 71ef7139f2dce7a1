"""The database behind a command: what it refuses becomes one line with its own words and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.migrate import NewerSchema, check_not_too_new
from monitor.adapters.postgres.refusals import DATABASE_ERRORS, DATABASE_URL, refusal
from monitor.adapters.postgres.schema import stored_schema
from monitor.cli.common import CommandError
from monitor.cli.pooling import examine_pooler

ANSWER_S = 5.0
"""How long a server may take to answer."""

RETRY_S = 0.5
WAIT_S = 10.0
"""How long a process that starts waits for a database that restarts: a service manager starts it again after that."""

log = structlog.get_logger(__name__)


@contextmanager
def database_errors(dsn: str, setting: str = DATABASE_URL) -> Iterator[None]:
    """Turn what the database at *dsn*, the value of *setting*, refuses into :class:`CommandError`."""
    try:
        yield
    except NewerSchema as error:
        raise CommandError(f"{describe(dsn)}: {error}") from None
    except DATABASE_ERRORS as error:
        raise CommandError(f"{describe(dsn)}: {refusal(error, setting)}") from None


async def check_database(dsn: str, direct_dsn: str | None = None, *, wait_s: float = WAIT_S) -> None:
    """
    Return when the database answers, and its schema is none of a newer Monitor that this one cannot work with.

    Raises:
        CommandError: it refuses, does not answer within *wait_s*, or the settings do not fit its pooler.
    """
    with database_errors(dsn):
        deadline = asyncio.get_running_loop().time() + wait_s
        async with Database(DatabaseConfig(dsn=dsn, acquire_timeout_s=ANSWER_S, direct_dsn=direct_dsn)) as database:
            while True:
                try:
                    check_not_too_new(await stored_schema(database))
                    with database.translating():
                        found = await examine_pooler(database)
                except DATABASE_ERRORS as error:
                    if not refusal(error).may_pass or asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(RETRY_S)
                else:
                    break
            if found is not None and found.stops:
                raise CommandError(f"{describe(dsn)}: {found.text}")
            if found is not None and found.state == "error":
                log.warning("direct_connection_unavailable", detail=found.text)
