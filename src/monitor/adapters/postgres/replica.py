"""
Heavy reads on a streaming replica, which are never older than the moment at which they begin (ADR 0022).

Each read takes the position of the primary's WAL first, and runs on the replica once that has replayed it. What was
committed before the read, by any process, is in it; so neither a caller nor the cache can see an older value than the
primary would have shown. Whenever the replica is not that far in time, or cannot be used, the read is the primary's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
import msgspec
import structlog

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.connection import PostgresConnection
from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.outages import DRIVER_ERRORS, NO_ANSWER, NO_CONNECTION, outage
from monitor.domain.errors import Unavailable

T = TypeVar("T")

Trouble = Literal[
    "unreachable", "behind", "not_a_replica", "other_database", "privilege", "no_primary", "conflict", "busy"
]
"""Why a read went to the primary. ``conflict``: the replica ended it, to replay what removes rows that it read."""

OF_ONE_READ: tuple[Trouble, ...] = ("conflict", "busy")
"""Those after which the next read tries the replica again."""

CONNECT_S = 1.0
"""How long a connection to the replica may take; the primary is there."""

ANSWER_S = 0.5
"""How long it may take to report how far it is."""

WAIT_S = 0.05
"""How long a read waits for the replica to replay what the primary had written when it began."""

PAUSES_S = (0.001, 0.002, 0.004, 0.008)
"""Between looks at how far it is; the last one from then on."""

MISSES = 3
"""Reads one after the other for which it was too late, after which none waits for it until it is up to date again."""

PROBE_S = 1.0
"""How often it is tried without a caller."""

# What was answered is flushed, or with `synchronous_commit = off` at least inserted. A replica refuses these functions,
# so they are not called there.
POSITION = """
SELECT CASE WHEN pg_is_in_recovery() THEN NULL
    WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn() - '0/0'::pg_lsn
    ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END::bigint AS lsn,
    CASE WHEN NOT pg_is_in_recovery()
        THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline
"""

REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END AS lsn"

IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()) AS cluster,
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS oid
"""

# The receiver has it at once, where the user may see it; the control file after a checkpoint of the replica.
FOLLOWED = """
SELECT greatest((SELECT max(received_tli) FROM pg_stat_wal_receiver),
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
    (SELECT timeline_id FROM pg_control_checkpoint())) AS timeline
"""

LAG = "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS lag_s"

log = structlog.get_logger(__name__)


class Reads(Protocol):
    """Where a query is sent: the primary, or the replica as far as it is up to date."""

    @property
    def rows(self) -> RowReader: ...
    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]: ...
    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None: ...


class Position(NamedTuple):
    """A place in the WAL: bytes since its beginning, on a timeline."""

    lsn: int
    timeline: int


class Lag(NamedTuple):
    """How far the replica was behind when it was last tried."""

    size_bytes: int
    seconds: float


class Unusable(Exception):
    """The replica cannot serve this read."""

    def __init__(self, trouble: Trouble, cause: BaseException | None = None) -> None:
        super().__init__(trouble)
        self.trouble: Trouble = trouble
        self.detail = " ".join(str(getattr(cause, "detail", None) or cause or "").split())


class PrimaryPosition:
    """The position of the primary's WAL. Callers that come while one query runs share the next one."""

    def __init__(self, primary: Database) -> None:
        self._primary = primary
        self._running: asyncio.Task[Position | None] | None = None
        self._next: asyncio.Task[Position | None] | None = None

    async def now(self) -> Position | None:
        """
        Return a position that was read after this call began; ``None`` if the server is no primary.

        Raises:
            Unavailable: the primary does not answer.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read(self._running))
            # Its callers may have been cancelled.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._next)

    async def _read(self, running: asyncio.Task[Position | None] | None) -> Position | None:
        if running is not None:
            # What it reads may be older than these callers.
            await asyncio.wait([running])
        self._running, self._next = self._next, None
        row = await self._primary.fetchrow(POSITION)
        return None if row is None or row["lsn"] is None else Position(row["lsn"], row["timeline"])


class ReplicaReads:
    """
    Reads of *primary* that its replica at *url* serves whenever it is up to date.

    Attributes:
        trouble: why no read tries the replica at present; ``None`` while reads do.
        served: reads by the replica.
        passed_on: reads that the primary had to serve, by the cause.
        lag: as last measured; ``None`` if the replica could not be queried.
    """

    def __init__(self, primary: Database, url: str) -> None:
        self._primary = primary
        self._replica = Database(
            msgspec.structs.replace(
                primary.config,
                dsn=url,
                direct_dsn=None,
                target="standby",
                acquire_timeout_s=min(CONNECT_S, primary.config.acquire_timeout_s),
            )
        )
        self._position = PrimaryPosition(primary)
        self._identity: asyncpg.Record | None = None
        self._timelines: WeakKeyDictionary[asyncpg.Connection, int] = WeakKeyDictionary()
        self._misses = 0
        self.trouble: Trouble | None = None
        self.served = 0
        self.passed_on: Counter[str] = Counter()
        self.lag: Lag | None = None

    async def __aenter__(self) -> Self:
        await self._replica.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._replica.close()

    @property
    def rows(self) -> RowReader:
        return self._primary.rows

    @property
    def is_used(self) -> bool:
        return self.trouble is None

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Run one read. See :meth:`Database.fetch`."""
        rows: list[asyncpg.Record] = await self._read(
            lambda connection: connection.fetch(sql, *args), lambda: self._primary.fetch(sql, *args)
        )
        return rows

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """Run one read for its first row."""
        return await self._read(
            lambda connection: connection.fetchrow(sql, *args), lambda: self._primary.fetchrow(sql, *args)
        )

    async def examine(self) -> Trouble | None:
        """
        Measure the lag, and return what keeps the replica from serving a read now.

        Raises:
            Unavailable: the primary does not answer.
        """
        self.lag = None
        try:
            async with self._connection() as connection:
                self.lag = await self._measure(connection)
                await self._catch_up(connection)
        except Unusable as error:
            self._note(error)
            return error.trouble
        return None

    async def probe(self) -> None:
        """Try the replica without a caller. While the primary is away nothing changes, since no read is served."""
        with suppress(Unavailable):
            if await self.examine() is None:
                self._misses = 0
                if self.trouble is not None:
                    log.info("replica_used", after=self.trouble)
                    self.trouble = None
            elif self.trouble is not None:
                # The replica may be another server by now, as after a failover.
                await self._replica.reads.expire_connections()

    async def loop(self) -> None:
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_S)

    async def _read(
        self, on_replica: Callable[[asyncpg.Connection], Awaitable[T]], on_primary: Callable[[], Awaitable[T]]
    ) -> T:
        if self.trouble is not None:
            self.passed_on[self.trouble] += 1
            return await on_primary()
        try:
            async with self._connection() as connection:
                await self._catch_up(connection)
                found = await on_replica(connection)
        except Unusable as error:
            unusable = error
        except DRIVER_ERRORS as error:
            trouble = _trouble(error)
            unusable = Unusable(trouble or "unreachable", error)
            if isinstance(error, TimeoutError):
                # The server hangs, and the caller has waited long enough.
                self._note(unusable)
            if trouble is None:
                with self._replica.translating():
                    raise
        else:
            self._misses = 0
            self.served += 1
            return found
        self._note(unusable)
        self.passed_on[unusable.trouble] += 1
        return await on_primary()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._replica.connection())
            except Unavailable as error:
                is_busy = error.detail.startswith(NO_CONNECTION)
                raise Unusable("busy" if is_busy else "unreachable", error) from error
            except DRIVER_ERRORS as error:
                raise Unusable("unreachable", error) from error
            yield connection

    async def _catch_up(self, connection: asyncpg.Connection) -> None:
        """
        Wait until the server of *connection* has replayed what the primary has written by now.

        Raises:
            Unusable: it is too late, or not a replica of the primary.
            Unavailable: the primary does not answer.
        """
        position = await self._position.now()
        if position is None:
            raise Unusable("no_primary")
        if self._identity is None:
            self._identity = await self._primary.fetchrow(IDENTITY)
        async with _answering(connection):
            await self._check_server(connection, position.timeline)
            started_s, looks = asyncio.get_running_loop().time(), 0
            while True:
                replayed: int | None = await connection.fetchval(REPLAYED)
                if replayed is None:
                    raise Unusable("not_a_replica")
                if replayed >= position.lsn:
                    return
                if asyncio.get_running_loop().time() - started_s > WAIT_S:
                    raise Unusable("behind")
                await asyncio.sleep(PAUSES_S[min(looks, len(PAUSES_S) - 1)])
                looks += 1

    async def _check_server(self, connection: asyncpg.Connection, timeline: int) -> None:
        """Positions compare on one timeline of one cluster. A server stays of one cluster, and its timeline grows."""
        itself = _itself(connection)
        if itself not in self._timelines:
            if await connection.fetchrow(IDENTITY) != self._identity:
                raise Unusable("other_database")
            self._timelines[itself] = 0
        if self._timelines[itself] < timeline:
            self._timelines[itself] = await connection.fetchval(FOLLOWED) or 0
        if self._timelines[itself] != timeline:
            raise Unusable("behind" if self._timelines[itself] < timeline else "not_a_replica")

    async def _measure(self, connection: asyncpg.Connection) -> Lag | None:
        position = await self._position.now()
        async with _answering(connection):
            replayed = await connection.fetchval(REPLAYED)
            if position is None or replayed is None:
                return None
            behind = max(position.lsn - replayed, 0)
            seconds = await connection.fetchval(LAG) if behind else 0.0
        return Lag(behind, max(seconds or 0.0, 0.0))

    def _note(self, unusable: Unusable) -> None:
        """Stop using the replica, unless the trouble is that of one read or may be over with the next."""
        trouble = unusable.trouble
        if trouble in OF_ONE_READ:
            return
        self._misses += 1
        if trouble == "behind" and self._misses < MISSES:
            return
        if self.trouble is None:
            log.warning("replica_not_used", cause=trouble, detail=unusable.detail)
        self.trouble = trouble


@asynccontextmanager
async def _answering(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """End *connection* if the replica does not answer in time. What it refuses here is a reason not to use it."""
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise Unusable("privilege", error) from error
    except TimeoutError as error:
        with suppress(ConnectionError):
            _itself(connection).terminate()
        raise Unusable("unreachable", error) from error
    except DRIVER_ERRORS as error:
        raise Unusable("unreachable", error) from error


def _itself(connection: asyncpg.Connection) -> PostgresConnection:
    """Return the connection behind its proxy. Raises ``ConnectionError`` if it has ended."""
    try:
        itself: PostgresConnection = connection.itself()
    except AttributeError as error:
        # The pool takes it from its proxy when it ends.
        raise ConnectionError("the connection has ended") from error
    return itself


def _trouble(error: BaseException) -> Trouble | None:
    """Return why a read failed for which the primary may have an answer; ``None`` if it has none either."""
    if isinstance(error, asyncpg.TransactionRollbackError):
        return "conflict"
    if isinstance(error, asyncpg.QueryCanceledError | TimeoutError):
        return None
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError):
        return "unreachable"
    return "unreachable" if outage(error) == NO_ANSWER else None
