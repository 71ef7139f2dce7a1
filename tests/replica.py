"""
A primary and its streaming replica, of Debian's PostgreSQL, as processes of a user without privileges. Each can be
killed, promoted and started again at its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from monitor.adapters.postgres.migrate import upgrade
from tests.integration.support import eventually
from tests.servers import free_port

START_S = 60.0
NAME = "replica"
"""What the replica calls itself to its primary, for `synchronous_standby_names`."""

SETTINGS = (
    *("listen_addresses=127.0.0.1", "max_connections=200", "wal_level=replica", "hot_standby=on", "fsync=off"),
    *("max_wal_senders=8", "wal_keep_size=256MB", "wal_receiver_status_interval=1", "wal_retrieve_retry_interval=200"),
)


def executable(name: str) -> str:
    """Return the path of a program of the newest PostgreSQL of Debian, else of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name) or name


class Server:
    """One PostgreSQL at an address that outlives it."""

    def __init__(self, directory: Path, user: str | None) -> None:
        self.data = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._user = user

    def dsn(self, database: str = "monitor") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        subprocess.run(
            [executable(program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.data.parent,
            user=self._user,
        )

    async def start(self) -> None:
        options = [part for setting in SETTINGS for part in ("-c", setting)]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it has a user of its own, which asyncio's cannot set
                [
                    *(executable("postgres"), "-D", str(self.data), "-p", str(self.port)),
                    *("-k", str(self.data.parent), *options),
                ],
                stdout=log,
                stderr=log,
                cwd=self.data.parent,
                user=self._user,
            )
        await eventually(self.answers, within_s=START_S)

    async def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT stops it, SIGQUIT and SIGKILL are crashes; after the last one, its backends end by themselves."""
        if self.process is not None:
            self.process.send_signal(how)
            await asyncio.to_thread(self.process.wait)
            self.process = None

    async def promote(self) -> None:
        """Make it a primary; it takes writes when this returns."""
        await asyncio.to_thread(self.run, "pg_ctl", "promote", "-D", str(self.data), "-w")

    async def fetch(self, sql: str, *args: Any, database: str = "monitor") -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn(database), timeout=5)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return rows
        finally:
            await connection.close()

    async def value(self, sql: str, *args: Any, database: str = "monitor") -> Any:
        """Return the only value of the only row."""
        ((value,),) = await self.fetch(sql, *args, database=database)
        return value

    async def answers(self) -> bool:
        try:
            await self.value("SELECT 1", database="postgres")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True


class Pair:
    """A primary with a migrated database, and a replica that follows it."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary = primary
        self.replica = replica

    @property
    def url(self) -> str:
        """That of both, for what looks for the one that takes writes."""
        return f"postgresql://postgres@127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}/monitor"

    async def caught_up(self) -> None:
        """Wait until the replica has replayed what the primary has written by now."""
        at = await self.primary.value("SELECT pg_current_wal_flush_lsn()::text")

        async def there() -> bool:
            return bool(await self.replica.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", at))

        await eventually(there, within_s=START_S)

    async def pause(self) -> None:
        """Have the replica receive, and replay nothing."""
        await self.replica.fetch("SELECT pg_wal_replay_pause()")

        async def paused() -> bool:
            return bool(await self.replica.value("SELECT pg_get_wal_replay_pause_state() = 'paused'"))

        await eventually(paused, within_s=START_S)

    async def commit_alone(self) -> None:
        """Have the primary answer commits without its replica."""
        await self._synchronize("")

    async def commit_together(self) -> None:
        """Have the primary answer a commit once the replica has it."""
        await self._synchronize(NAME)
        await eventually(lambda: _is_synchronous(self.primary), within_s=START_S)

    async def _synchronize(self, names: str) -> None:
        await self.primary.fetch(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await self.primary.fetch("SELECT pg_reload_conf()")

    async def resume(self) -> None:
        await self.replica.fetch("SELECT pg_wal_replay_resume()")

    async def follow(self) -> None:
        """Begin the former primary anew, as a replica of the promoted one."""
        shutil.rmtree(self.primary.data)
        await asyncio.to_thread(_copy, self.replica, self.primary)
        await self.primary.start()


@asynccontextmanager
async def replicated(*, synchronous: bool = False) -> AsyncIterator[Pair]:
    """
    Run a pair in a directory that is removed afterwards.

    Args:
        synchronous: a commit is answered once the replica has it.
    """
    user = _unprivileged()
    directory = Path(tempfile.mkdtemp(prefix="monitor-replica-", dir="/tmp"))
    if user is not None:
        shutil.chown(directory, user)
    primary, replica = Server(directory / "primary", user), Server(directory / "replica", user)
    try:
        await asyncio.to_thread(
            primary.run, "initdb", "-D", str(primary.data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "-N"
        )
        await primary.start()
        await primary.fetch("CREATE DATABASE monitor", database="postgres")
        await upgrade(primary.dsn())
        await asyncio.to_thread(_copy, primary, replica)
        await replica.start()
        pair = Pair(primary, replica)
        if synchronous:
            await pair.commit_together()
        await pair.caught_up()
        yield pair
    finally:
        for server in (replica, primary):
            await server.stop(signal.SIGQUIT)
        # Backends of a killed server may still write.
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _copy(source: Server, to: Server) -> None:
    conninfo = f"host=127.0.0.1 port={source.port} user=postgres application_name={NAME}"
    to.run("pg_basebackup", "-D", str(to.data), "-d", conninfo, "-R", "-X", "stream", "-c", "fast")
    # Copied with the rest: a promoted server would wait for a replica that it has not.
    auto = to.data / "postgresql.auto.conf"
    lines = [line for line in auto.read_text().splitlines() if not line.startswith("synchronous_standby_names")]
    auto.write_text("\n".join(lines) + "\n")


async def _is_synchronous(primary: Server) -> bool:
    return bool(await primary.value("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))


def _unprivileged() -> str | None:
    """Return the user to run servers as; ``None`` for this one, which is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)
