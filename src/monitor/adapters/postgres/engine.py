"""
Connections. Writes go through SQLAlchemy's pool, one unit of work each; reads go through an asyncpg pool, because
a read on it costs a third of one through SQLAlchemy (ADR 0002).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy import AdaptedConnection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.connection import IdleConnections, PostgresConnection
from monitor.adapters.postgres.hosts import Hosts, host_urls
from monitor.adapters.postgres.outages import DRIVER_ERRORS, NO_ANSWER, NO_CONNECTION, outage, translating
from monitor.adapters.postgres.pooler import IDLE_IN_TRANSACTION, PooledConnection, first_statement
from monitor.domain.errors import Unavailable

T = TypeVar("T")

CLOSE_S = 1.0
"""How long closing waits for connections that are still being used."""

RESERVED = 2
"""Connections that callers cannot take: for readiness, revocations, destinations and the event outbox."""

SESSION = {
    # A process that vanished in the middle of a transaction holds its locks for this long, and not for hours.
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
}
"""Settings of every session, by which the server finds out that its peer is gone."""


class DatabaseConfig(msgspec.Struct, frozen=True):
    """``read_pool`` and ``write_pool`` count connections of this process; the timeouts are milliseconds. ``command`` is
    the one that runs: a part of the name of its sessions. With a ``direct_dsn``, ``dsn`` leads to a pooler in
    transaction mode, and what needs a session of its own goes there instead. ``target`` is what is looked for among
    several hosts."""

    dsn: str
    read_pool: int = 8
    write_pool: int = 8
    statement_timeout_ms: int = 5_000
    acquire_timeout_s: float = 2.0
    command: str = "serve"
    direct_dsn: str | None = None
    target: str = "read-write"


def application_name(command: str) -> str:
    """Return the name of this process in ``pg_stat_activity``: ``monitor <command> <host>:<pid>``."""
    # PostgreSQL cuts names at 63 bytes, and the number must stay.
    return f"monitor {command} {socket.gethostname()[:36]}:{os.getpid()}"


def raw_dsn(dsn: str) -> str:
    """Return *dsn* as asyncpg reads it, without a SQLAlchemy driver name."""
    return dsn.replace("postgresql+asyncpg://", "postgresql://", 1)


class Database:
    """
    The pools of one process: writes, reads, and :data:`RESERVED` connections.

    Opening it does not wait for the database: the first use does.
    """

    def __init__(self, config: DatabaseConfig) -> None:
        self.config = config
        self.dsn = raw_dsn(config.direct_dsn or config.dsn)
        """Of the server itself, past a pooler."""
        self.is_pooled = config.direct_dsn is not None
        self.first_statement: sa.Executable = (
            first_statement(config.statement_timeout_ms) if self.is_pooled else sa.select(sa.func.now())
        )
        """What begins a unit of work; its only row begins with the time of the transaction."""
        self._connection_class = PooledConnection if self.is_pooled else PostgresConnection
        self._known_hosts: dict[str, Hosts] = {}
        self.rows = RowReader()
        self.listening: bool | None = None
        """Whether wake-ups arrive; ``None`` in a process without a worker."""
        self.partitions_missing: int | None = None
        """Of the coming days, at the last look; ``None`` in a process that did not look."""
        self._idle = IdleConnections()
        self._reads: asyncpg.Pool | None = None
        self._reserved: asyncpg.Pool | None = None
        self.engine: AsyncEngine = create_async_engine(
            # The driver alone: SQLAlchemy cannot read a URL of several hosts.
            "postgresql+asyncpg://",
            pool_size=config.write_pool,
            max_overflow=0,
            pool_timeout=config.acquire_timeout_s,
            pool_use_lifo=True,
            async_creator=self._connect_to_write,
            # Parameters hold URLs, which may be secrets, and errors are logged.
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "checkout", self._check_out)
        event.listen(self.engine.sync_engine, "checkin", self._check_in)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Prepare the pools; connections are made when first needed, so a database that is away does no harm."""
        self._reads = await self._pool(self.config.read_pool)
        self._reserved = await self._pool(RESERVED)

    async def close(self) -> None:
        pools = [pool for pool in (self._reads, self._reserved) if pool is not None]
        self._reads = self._reserved = None
        await asyncio.gather(*map(_end, pools))
        await self.engine.dispose()

    async def fetch(self, sql: str, *args: Any, reserved: bool = False) -> list[asyncpg.Record]:
        """Run one read.

        Args:
            reserved: on one of the few connections for what must work while callers hold all others.

        Raises:
            Unavailable: there is no connection in time, the statement takes too long, or the database refuses it.
        """
        rows: list[asyncpg.Record] = await self._read(lambda connection: connection.fetch(sql, *args), reserved)
        return rows

    async def fetchrow(self, sql: str, *args: Any, reserved: bool = False) -> asyncpg.Record | None:
        """Run one read for its first row. Arguments and errors are those of :meth:`fetch`."""
        return await self._read(lambda connection: connection.fetchrow(sql, *args), reserved)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Hold one connection of the reads. Raises ``Unavailable`` if there is none in time."""
        connection = await self._acquire(self.reads)
        try:
            yield connection
        finally:
            await self.reads.release(connection)

    async def _read(self, run: Callable[[asyncpg.Connection], Awaitable[T]], reserved: bool) -> T:
        pool = self._reserved if reserved else self._reads
        if pool is None:
            raise RuntimeError("the database is used before it was opened")

        async def once() -> T:
            connection = await self._acquire(pool)
            try:
                return await run(connection)
            finally:
                await pool.release(connection)

        with self.translating():
            return await _retry_once(once)

    async def _acquire(self, pool: asyncpg.Pool) -> Any:
        try:
            async with asyncio.timeout(self.config.acquire_timeout_s):
                while True:
                    connection = await pool.acquire()
                    if await self._is_usable(pool, connection):
                        return connection
        except TimeoutError as error:
            # Connecting takes the same time at most.
            cause = NO_CONNECTION if pool.get_size() >= pool.get_max_size() else NO_ANSWER
            raise Unavailable(f"{cause}; try again in a moment.") from error

    async def _is_usable(self, pool: asyncpg.Pool, connection: Any) -> bool:
        usable = False
        try:
            usable = await self._idle.take(connection.itself())
        finally:
            if not usable:
                await pool.release(connection)
        return usable

    async def _pool(self, size: int) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            raw_dsn(self.config.dsn),
            min_size=0,
            max_size=size,
            command_timeout=self.config.statement_timeout_ms / 1000,
            server_settings=self._server_settings(),
            reset=self._give_back,
            connect=self._connect,
            connection_class=self._connection_class,
        )

    async def connect(self) -> asyncpg.Connection:
        """Open one connection outside the pools, past a pooler: for LISTEN or maintenance. Raises as :meth:`fetch`."""
        with self.translating():
            name = application_name(self.config.command)
            options = {"server_settings": {"application_name": name, **SESSION}, "connection_class": PostgresConnection}
            return await self._connect(self.dsn, **options)

    @property
    def has_failover_hosts(self) -> bool:
        """Whether the URL names several hosts, of which one takes writes."""
        return self._hosts(self.dsn).is_fenced

    async def follow_failovers(self) -> None:
        """See :meth:`monitor.adapters.postgres.hosts.Hosts.follow`."""
        name = application_name(self.config.command)
        await self._hosts(self.dsn).follow(server_settings={"application_name": name})

    def _hosts(self, dsn: str) -> Hosts:
        return self._known_hosts.setdefault(dsn, Hosts(dsn, self.config.target))

    def translating(self) -> AbstractContextManager[None]:
        """Return :func:`translating` with the limit of a statement here."""
        return translating(self.config.statement_timeout_ms / 1000, is_pooled=self.is_pooled)

    @property
    def unreadable_rows(self) -> Mapping[str, int]:
        """How many rows were set aside, by table."""
        return self.rows.unreadable

    @property
    def reads(self) -> asyncpg.Pool:
        if self._reads is None:
            raise RuntimeError("the database is used before it was opened")
        return self._reads

    def _server_settings(self) -> dict[str, str]:
        if self.is_pooled:
            # PgBouncer takes no others; the limits are those of :attr:`first_statement`.
            return {"application_name": application_name(self.config.command)}
        # jit costs more than it brings on queries of a few milliseconds.
        return {
            "application_name": application_name(self.config.command),
            "jit": "off",
            "statement_timeout": str(self.config.statement_timeout_ms),
            **SESSION,
        }

    async def _connect_to_write(self) -> asyncpg.Connection:
        return await self._connect(
            raw_dsn(self.config.dsn),
            server_settings=self._server_settings(),
            # The server's own limit is no help when the server itself hangs.
            command_timeout=self.config.statement_timeout_ms / 1000 + 1,
        )

    async def _connect(self, dsn: str, **options: Any) -> PostgresConnection:
        options |= {"timeout": self.config.acquire_timeout_s}
        connection_class: type[PostgresConnection] = options.pop("connection_class", self._connection_class)
        try:
            return await self._hosts(dsn).open(connection_class=connection_class, **options)
        except TimeoutError as error:
            # Elsewhere a statement that takes too long raises the same.
            raise ConnectionError("no connection in time") from error

    async def _give_back(self, connection: PostgresConnection) -> None:
        """
        Give a connection back without asking the server to reset it, which takes as long as a small read itself.

        No statement here sets, locks or listens beyond a transaction, and asyncpg rolls an open one back in any case.
        """
        self._idle.add(connection)

    def _check_out(self, connection: AdaptedConnection, _record: object, _proxy: object) -> None:
        """Have SQLAlchemy's pool replace a connection that ended while idle, or does not answer any more."""
        if not connection.run_async(self._idle.take):
            raise DisconnectionError

    def _check_in(self, _connection: object, record: ConnectionPoolEntry) -> None:
        if isinstance(record.driver_connection, PostgresConnection):
            self._idle.add(record.driver_connection)


async def _retry_once(read: Callable[[], Awaitable[T]]) -> T:
    """
    Return what *read* returns, on a second connection if the first one ended: pooled connections are not checked
    before a read, which is safe to repeat.
    """
    try:
        return await read()
    except (asyncpg.ConnectionDoesNotExistError, asyncpg.AdminShutdownError, asyncpg.InternalClientError) as error:
        if outage(error) is None:
            raise
    return await read()


async def _end(pool: asyncpg.Pool) -> None:
    """Close *pool* once cancelled callers have released their connections; terminate those still in use then."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await pool.close()
    except DRIVER_ERRORS:
        pool.terminate()


def describe(dsn: str) -> str:
    """Return the hosts, ports and the database of *dsn*, without user and password."""
    urls = [urlsplit(url) for url in host_urls(raw_dsn(dsn), "")]
    return f"{','.join(map(_host, urls))}{urls[0].path}"


def _host(url: SplitResult) -> str:
    query = parse_qs(url.query)
    host = url.hostname or query.get("host", ["local socket"])[0]
    port = url.port or query.get("port", [None])[0]
    return f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
