"""The servers that a URL names: connecting to the one that takes writes, and following a failover to another one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakKeyDictionary

import asyncpg
import structlog

from monitor.adapters.postgres.connection import PostgresConnection
from monitor.adapters.postgres.outages import DRIVER_ERRORS

STAGGER_S = 0.25
"""Lead of a host over the next one, so that one which drops packets does not take all the time there is."""

FOLLOW_S = 5.0
"""How often other hosts are looked at for a primary that was promoted."""

LOOK_S = 1.0
"""How long a host may take to answer."""

TARGET = "target_session_attrs"
WRITES = ("read-write", "primary")

# A promotion begins a new timeline. The name of a WAL segment has it at once, the control file only after a checkpoint.
TIMELINE = """
SELECT CASE WHEN pg_is_in_recovery() THEN 0
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""

log = structlog.get_logger(__name__)


def host_urls(dsn: str, target: str) -> tuple[str, ...]:
    """
    Return *dsn* once for each host that it names. Of several, one that is *target* is looked for, unless the URL
    specifies another by ``target_session_attrs``.
    """
    scheme, _, rest = dsn.partition("://")
    # By hand, since newer versions of Python take brackets in the second host for an invalid address.
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    parts = urlsplit(f"{scheme}://{rest.removeprefix(authority)}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    user, at, named = authority.rpartition("@")
    if named:
        hosts: list[tuple[str, dict[str, str]]] = [(host, {}) for host in named.split(",")]
    else:
        names = query.get("host", "").split(",")
        ports = query.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(names)
        hosts = [
            ("", {"host": name, "port": port} if port else {"host": name})
            for name, port in zip(names, ports, strict=False)
        ]
    if len(hosts) == 1:
        return (dsn,)
    wanted = query.get(TARGET, target)
    # Monitor itself prefers: without a replica it reads from the primary.
    query[TARGET] = "standby" if wanted == "prefer-standby" else wanted
    return tuple(f"{scheme}://{user}{at}{host}{parts.path}?{urlencode(query | own)}" for host, own in hosts)


class Hosts:
    """
    The hosts of one URL. With a single one it only connects.

    Of several, the one that answered last is tried first, and each next one as soon as the former refused, or
    :data:`STAGGER_S` later. When a connection reaches a server of a later timeline, which is one that was promoted,
    those to the former primary are ended, and it is not used again: it may still run, and accept what is then lost.
    """

    def __init__(self, dsn: str, target: str = "read-write") -> None:
        self.urls = host_urls(dsn, target)
        self.is_fenced = len(self.urls) > 1 and any(f"{TARGET}={kind}" in self.urls[0] for kind in WRITES)
        self._first = 0
        self._timeline = 0
        self._timelines: WeakKeyDictionary[PostgresConnection, int] = WeakKeyDictionary()

    async def open(self, *, timeout: float, **options: Any) -> PostgresConnection:  # noqa: ASYNC109 - asyncpg's name
        """
        Connect within *timeout*.

        Raises:
            TimeoutError: no host answered in time.
            ConnectionError: none is what the URL requires.
        """
        if len(self.urls) == 1:
            return await self._open(0, timeout=timeout, **options)
        async with asyncio.timeout(timeout):
            return await self._race(timeout=timeout, **options)

    async def follow(self, **options: Any) -> None:
        """Look now and then for a server that was promoted while the former primary still answers."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self.look(**options)

    async def look(self, **options: Any) -> None:
        """Look once at each host but the one in use."""
        for index in range(len(self.urls)):
            if index != self._first:
                before = self._timeline
                try:
                    async with asyncio.timeout(LOOK_S):
                        found = await self._open(index, timeout=LOOK_S, **options)
                except DRIVER_ERRORS:
                    continue
                found.terminate()
                if self._timeline > before:
                    self._first = index

    async def _race(self, **options: Any) -> PostgresConnection:
        waiting = [self._first, *(index for index in range(len(self.urls)) if index != self._first)]
        tasks: dict[asyncio.Task[PostgresConnection], int] = {}
        errors: list[BaseException] = []
        winner = None
        try:
            pending: set[asyncio.Task[PostgresConnection]] = set()
            while waiting or pending:
                if waiting:
                    index = waiting.pop(0)
                    task = asyncio.create_task(self._open(index, **options))
                    tasks[task] = index
                    pending.add(task)
                done, pending = await asyncio.wait(
                    pending, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if (error := task.exception()) is not None:
                        errors.append(error)
                    elif winner is None:
                        winner, self._first = task, tasks[task]
                if winner is not None:
                    return winner.result()
            raise _worst(errors)
        finally:
            await _drop([task for task in tasks if task is not winner])

    async def _open(
        self, index: int, *, connection_class: type[PostgresConnection] = PostgresConnection, **options: Any
    ) -> PostgresConnection:
        try:
            connection = await connection_class.open(self.urls[index], **options)
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionError(f"a server there, but {error}") from error
        if self.is_fenced:
            try:
                # A transaction, for poolers that give each one another server.
                async with connection.transaction():
                    timeline = await connection.fetchval(TIMELINE)
                self._fence(connection, timeline)
            except BaseException:
                connection.terminate()
                raise
        return connection

    def _fence(self, connection: PostgresConnection, timeline: int) -> None:
        if timeline < self._timeline:
            raise ConnectionError("the server is a primary no more: another one was promoted after it")
        self._timelines[connection] = timeline
        if timeline > self._timeline > 0:
            former = [one for one, its in self._timelines.items() if its < timeline and not one.is_closed()]
            for one in former:
                one.terminate()
            log.warning("primary_changed", timeline=timeline, connections_ended=len(former))
        self._timeline = timeline


async def _drop(tasks: Sequence[asyncio.Task[PostgresConnection]]) -> None:
    """End attempts to connect, and the connections of those that succeeded meanwhile."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, PostgresConnection):
            result.terminate()


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """Return the error to show: what a server refused for a reason of its own, else why no host can be used."""
    for error in errors:
        if not isinstance(error, OSError | asyncpg.CannotConnectNowError | asyncpg.PostgresConnectionError):
            return error
    words = "; ".join(dict.fromkeys(" ".join(str(error).split()) for error in errors))
    return ConnectionError(f"none of {len(errors)} hosts can be used: {words}")
