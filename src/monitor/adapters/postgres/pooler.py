"""
PgBouncer and other poolers in transaction mode, where each transaction may run on another connection of the server.

Nothing of a session lasts there: no named statement, no setting, no lock and no LISTEN (ADR 0021).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from monitor.adapters.postgres.connection import PostgresConnection
from monitor.adapters.postgres.outages import DRIVER_ERRORS
from monitor.adapters.postgres.pooler_answers import WAITED
from monitor.domain.errors import Unavailable

IDLE_IN_TRANSACTION = "10s"
"""After this time the server ends a transaction whose process vanished, and frees its locks."""

BEGIN = """
SELECT now(), set_config('statement_timeout', :statement_timeout, true),
    set_config('idle_in_transaction_session_timeout', :idle_in_transaction, true), set_config('jit', 'off', true)
"""

IS_SAME = "SELECT pg_backend_pid() = $1"
LIMITS = "SELECT current_setting('jit') = 'off' AND current_setting('statement_timeout') <> '0'"

LOOKS = 3


class Pooling(StrEnum):
    """What stands between this process and the server: nothing, or a pooler in one of its modes."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


class PooledConnection(PostgresConnection):
    """
    A connection to a pooler in transaction mode.

    It has unnamed statements only. Their types are described once and kept as long as asyncpg keeps a statement; each
    execution parses the text again in the same round trip as it binds and executes, so nothing is left for the next
    one to find on another connection of the server.
    """

    _server_caps: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Or it would turn JIT off for a whole session, before it reads the definition of a type.
        self._server_caps = self._server_caps._replace(jit=False)

    def _get_unique_id(self, prefix: str) -> str:
        return "" if prefix == "stmt" else super()._get_unique_id(prefix)

    async def _get_statement(self, *args: Any, **options: Any) -> Any:
        statement = await super()._get_statement(*args, **options)
        statement.mark_unprepared()
        return statement

    async def _execute(self, *args: Any, **options: Any) -> Any:
        try:
            return await super()._execute(*args, **options)
        except asyncpg.ProtocolError as error:
            # The rows are not those that were described: a migration added a column. Where statements have names, the
            # server refuses to run the old one.
            self._drop_global_statement_cache()
            raise asyncpg.OutdatedSchemaCacheError(str(error)) from error
        except (asyncpg.DataError, asyncpg.InterfaceError):
            if not self.is_closed() and not self.is_in_transaction():
                # asyncpg refuses an argument after it had the statement described, which it does without a Sync. Until
                # one is sent, the pooler keeps a connection of the server for this one, idle or not.
                with suppress(*DRIVER_ERRORS):
                    await self.execute("SELECT")
            raise


def first_statement(statement_timeout_ms: int) -> sa.TextClause:
    """Return what begins a unit of work: its time, and limits that end with the transaction, in one round trip."""
    limits = {"statement_timeout": str(statement_timeout_ms), "idle_in_transaction": IDLE_IN_TRANSACTION}
    return sa.text(BEGIN).bindparams(**limits)


@contextmanager
def waiting_until(deadline: float, connection: asyncpg.Connection) -> Iterator[None]:
    """
    Limit the first statement of a transaction, which waits at the pooler until a connection of the server is free.

    The connection is terminated then: a request to cancel would wait in the same queue.

    Args:
        deadline: on the clock of the event loop.

    Raises:
        Unavailable: it has passed.
    """
    has_passed = False

    def give_up() -> None:
        nonlocal has_passed
        has_passed = True
        connection.terminate()

    limit = asyncio.get_running_loop().call_at(deadline, give_up)
    try:
        yield
    except (DBAPIError, *DRIVER_ERRORS) as error:
        if has_passed:
            raise Unavailable(f"{WAITED}; try again in a moment.") from error
        raise
    finally:
        limit.cancel()


async def is_pooled(connection: asyncpg.Connection) -> bool:
    """Whether the process that answers is another one than the one that was named when *connection* was made."""
    return not await connection.fetchval(IS_SAME, connection.get_server_pid())


async def pooling(dsn: str, *, timeout_s: float) -> Pooling:
    """
    Look at what *dsn* leads to, by one connection, and two more if there is a pooler.

    A pooler in transaction mode runs the transaction of a second connection where the first one ran its last statement,
    or the next statement of the first one elsewhere. One that changes connections at random may pass for one in session
    mode, which is why it is looked at :data:`LOOKS` times.

    Raises what asyncpg raises.
    """

    async def connect() -> PooledConnection:
        return await PooledConnection.open(dsn, timeout=timeout_s, command_timeout=timeout_s)

    first = await connect()
    try:
        if not await is_pooled(first):
            return Pooling.NONE
        second = await connect()
        try:
            for _ in range(LOOKS):
                pid = await first.fetchval("SELECT pg_backend_pid()")
                async with second.transaction():
                    is_shared = await second.fetchval(IS_SAME, pid)
                    if is_shared or not await first.fetchval(IS_SAME, pid):
                        return Pooling.TRANSACTION
        finally:
            second.terminate()
    finally:
        first.terminate()
    return Pooling.SESSION
