"""A connection to PostgreSQL that notices when the network has silently dropped it."""

from __future__ import annotations

import asyncio
from typing import Any, Self
from weakref import WeakSet

import asyncpg
import structlog

from monitor.adapters.postgres.outages import DRIVER_ERRORS
from monitor.adapters.tcp import keep_alive

IDLE_S = 1.0
"""Idle time after which a connection is probed before it is used: a round trip that a busy connection does not take."""

PROBE_S = 0.5
"""How long it may take to answer."""

log = structlog.get_logger(__name__)


class PostgresConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection of :class:`IdleConnections`, or one outside the pools."""

    _idle_since: float | None = None

    @classmethod
    async def open(cls, dsn: str, **options: Any) -> Self:
        """Connect. A stateful firewall may drop the connection, so the operating system checks it when it is idle."""
        connection: Self = await asyncpg.connect(dsn, **options, connection_class=cls)
        keep_alive(connection._transport.get_extra_info("socket"))
        return connection

    def begin_idle(self) -> None:
        """Note that it waits from now on."""
        self._idle_since = self._loop.time()

    def end_idle(self) -> float:
        """Return for how many seconds it waited; 0 for a new one."""
        since, self._idle_since = self._idle_since, None
        return 0.0 if since is None else self._loop.time() - since

    def itself(self) -> Self:
        """Return the connection behind a pool's proxy."""
        return self

    async def answers(self) -> bool:
        """Run an empty query; a connection that does not answer within :data:`PROBE_S` is terminated."""
        limit = asyncio.get_running_loop().call_later(PROBE_S, self.terminate)
        try:
            await self.execute("SELECT")
        except DRIVER_ERRORS:
            self.terminate()
        finally:
            limit.cancel()
        return not self.is_closed()


class IdleConnections:
    """
    Connections that wait in the pools of one process.

    What drops one silently, such as a NAT over night, drops all: when one does not answer, all are terminated
    that waited then, so that the pools replace them, and only one probe is waited for.
    """

    def __init__(self) -> None:
        self._idle: WeakSet[PostgresConnection] = WeakSet()

    def add(self, connection: PostgresConnection) -> None:
        """Note that *connection* is given back."""
        connection.begin_idle()
        self._idle.add(connection)

    async def take(self, connection: PostgresConnection) -> bool:
        """Return whether *connection*, which a pool is about to hand out, can be used."""
        self._idle.discard(connection)
        idle_s = connection.end_idle()
        if connection.is_closed():
            return False
        if idle_s <= IDLE_S or await connection.answers():
            return True
        others = [other for other in self._idle if not other.is_closed()]
        for other in others:
            other.terminate()
        log.warning("connections_replaced", count=1 + len(others), idle_s=round(idle_s, 1))
        return False
