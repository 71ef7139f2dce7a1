"""The database behind a command: what it refuses becomes one line with its own words and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.migrate import NewerSchema, check_not_too_new
from monitor.adapters.postgres.refusals import DATABASE_ERRORS, refusal
from monitor.adapters.postgres.schema import stored_schema
from monitor.cli.common import CommandError

ANSWER_S = 5.0
"""How long a server may take to answer."""

RETRY_S = 0.5
WAIT_S = 10.0
"""How long a process that starts waits for a database that restarts: a service manager starts it again after that."""


@contextmanager
def database_errors(dsn: str) -> Iterator[None]:
    """Turn what the database at *dsn* refuses into :class:`CommandError`."""
    try:
        yield
    except NewerSchema as error:
        raise CommandError(f"{describe(dsn)}: {error}") from None
    except DATABASE_ERRORS as error:
        raise CommandError(f"{describe(dsn)}: {refusal(error)}") from None


async def check_database(dsn: str, *, wait_s: float = WAIT_S) -> None:
    """
    Return when the database answers, and its schema is none of a newer Monitor that this one cannot work with.

    Raises:
        CommandError: it refuses, or does not answer within *wait_s*.
    """
    with database_errors(dsn):
        deadline = asyncio.get_running_loop().time() + wait_s
        async with Database(DatabaseConfig(dsn=dsn, acquire_timeout_s=ANSWER_S)) as database:
            while True:
                try:
                    check_not_too_new(await stored_schema(database))
                except DATABASE_ERRORS as error:
                    if not refusal(error).may_pass or asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(RETRY_S)
                else:
                    return
