"""The product in production's shape, and the harm that a test does to it: kills, crashes, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from benchmarks.support import scratch
from monitor.adapters.embedded import EmbeddedPostgres
from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import issue
from monitor.domain.vocab import Role
from tests.integration.cache.processes import LONG, Redis, redis
from tests.integration.live_support import POLICY, name
from tests.integration.processes import Client, Running, production, run, running
from tests.integration.support import JWT_KEY, eventually
from tests.pgbouncer import if_asked_for
from tests.servers import accepts, free_port

PATIENCE_S = 180.0
"""Longest wait for what a fault delays; one that takes longer has failed."""

SETTLED_S = 60.0
SLACK = 1 if LONG else 5
"""What the bars of times are multiplied by: the short form runs on machines that do other things meanwhile."""


POOLER_WAIT_S = 2
"""As deploy/ has it: with a longer one, a request that waits at the pooler ends by the limit of a statement, late."""


class Database:
    """A PostgreSQL of one's own at an address that outlives it. It has production's settings: fsync is on."""

    def __init__(self, directory: Path) -> None:
        self.dsn = ""
        self._directory = directory
        self._server = EmbeddedPostgres(directory)

    async def start(self) -> float:
        """Start it and return when it first took a connection, on the monotonic clock."""
        starting = asyncio.create_task(self._server.start())
        try:
            accepted_at = await self._accepting() if self.dsn else 0.0
        finally:
            self.dsn = await starting
        return accepted_at

    async def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is a restart as an operator makes it, SIGQUIT a crash without a checkpoint."""
        if how != signal.SIGINT:
            os.kill(int((self._directory / "postgres" / "postmaster.pid").read_text().splitlines()[0]), how)
        await self._server.stop()

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return rows
        finally:
            await connection.close()

    async def value(self, sql: str, *args: object) -> Any:
        """Return the only value of the only row."""
        ((value,),) = await self.fetch(sql, *args)
        return value

    @property
    def recovered(self) -> bool:
        """Whether it had to recover from a crash when it started last."""
        return "automatic recovery in progress" in (self._directory / "postgres.log").read_text()

    async def _accepting(self) -> float:
        while True:
            try:
                connection = await asyncpg.connect(self.dsn, timeout=1)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.005)
            else:
                accepted_at = time.monotonic()
                await connection.close()
                return accepted_at


class Served:
    """One ``monitor serve`` and the port that its successors take over."""

    def __init__(self, process: Running, port: int, client: Client) -> None:
        self.process = process
        self.port = port
        self.client = client

    @property
    def url(self) -> str:
        return self.client.base


class System:
    """One database, one Redis, and as many processes of the product as a test starts. They end with it."""

    def __init__(
        self, directory: Path, database: Database, cache: Redis, token: str, env: dict[str, str], stack: AsyncExitStack
    ) -> None:
        self.directory = directory
        self.database = database
        self.redis = cache
        self.token = token
        self._env = env
        self._stack = stack
        self._logs: list[Path] = []

    async def serve(
        self, port: int | None = None, *, module: str = "monitor", until_ready: bool = True, **settings: str
    ) -> Served:
        """Start a server and wait until it is ready, or at least answers."""
        port = port or free_port()
        process = await self._start("serve", "--port", str(port), module=module, **settings)
        client = Client(port, self.token)

        async def ready() -> bool:
            assert process.process.returncode is None, process.output
            return accepts(port) and (await client.ready() or not until_ready)

        await eventually(ready, within_s=PATIENCE_S)
        return Served(process, port, client)

    def configure(self, **settings: str) -> None:
        """Change settings of the processes that are started from now on."""
        self._env |= {f"MONITOR_{name}": value for name, value in settings.items()}

    async def work_unlogged(self) -> Running:
        """Start a worker whose log cannot be written, for its disk is full; whether it works must show elsewhere."""
        return await self._stack.enter_async_context(running("work", env=self._env, log=Path("/dev/full")))

    async def work(self, *, module: str = "monitor", **settings: str) -> Running:
        """Start a worker and wait until it works."""
        process = await self._start("work", module=module, **settings)
        await process.says("worker_started", within_s=PATIENCE_S)
        return process

    async def start(self, servers: int, workers: int) -> tuple[list[Served], list[Running]]:
        """Start so many of each at once."""
        serving = [asyncio.create_task(self.serve()) for _ in range(servers)]
        working = [asyncio.create_task(self.work()) for _ in range(workers)]
        return await asyncio.gather(*serving), await asyncio.gather(*working)

    async def _start(self, *arguments: str, module: str = "monitor", **settings: str) -> Running:
        log = self.directory / f"{len(self._logs)}-{arguments[0]}.log"
        self._logs.append(log)
        env = self._env | {f"MONITOR_{name}": value for name, value in settings.items()}
        return await self._stack.enter_async_context(running(*arguments, env=env, log=log, module=module))

    async def held_by(self, worker: Running) -> int:
        """Return how many deliveries are leased in the name of *worker*."""
        held: int = await self.database.value(
            "SELECT count(*) FROM deliveries WHERE split_part(leased_by, ':', 2) = $1", str(worker.pid)
        )
        return held

    async def nothing_waits(self, *, within_s: float = PATIENCE_S) -> None:
        """Wait until every delivery has ended."""

        async def empty() -> bool:
            await asyncio.sleep(0.05)
            return bool(await self.database.value("SELECT NOT EXISTS (SELECT FROM deliveries)"))

        await eventually(empty, within_s=within_s)

    @property
    def logs(self) -> list[Path]:
        return [*self._logs]

    def errors(self) -> list[str]:
        """Return what processes logged as an error. An outage is none: what is foreseen is a warning."""
        return [
            line
            for log in self._logs
            for line in log.read_text().splitlines()
            if not line.startswith("{") or json.loads(line).get("level") in {"error", "critical"}
        ]

    @asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
        """A caller with an admin's token, fast enough to be a load."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers, **options) as session:
            yield session


@asynccontextmanager
async def system(template: Path, **settings: str) -> AsyncIterator[System]:
    """
    A system without a process yet.

    Args:
        template: a directory with a migrated database, which is copied.
        settings: of every process, without their ``MONITOR_``.
    """
    with scratch() as directory:
        # Owners are kept: as root, PostgreSQL runs as somebody else.
        copying = await asyncio.create_subprocess_exec("cp", "-a", str(template), str(directory / "database"))
        assert await copying.wait() == 0
        database = Database(directory / "database")
        await database.start()
        try:
            async with redis() as cache, AsyncExitStack() as stack:
                stack.enter_context(if_asked_for(database.dsn, wait_s=POOLER_WAIT_S))
                env = production(database.dsn, REDIS_URL=cache.url, **UNLIMITED, **settings)
                made = System(directory, database, cache, admin_token(), env, stack)
                try:
                    yield made
                finally:
                    # Shown by pytest when the test has failed.
                    print(*made.errors(), sep="\n")
        finally:
            await database.stop()


UNLIMITED = {"HTTP__RATE_LIMIT_PER_S": "1000000", "HTTP__RATE_BURST": "1000000"}
"""One caller stands for many here."""


def admin_token() -> str:
    """Return a token that every system accepts: all have the same keys."""
    ring = KeyRing([Key("test", "HS256", JWT_KEY)])
    return issue(ring, POLICY, subject="faults", role=Role.ADMIN, ttl_s=7200, now=time.time(), jti=name())


async def make_template(directory: Path) -> None:
    """Make a migrated database in *directory*, and stop it."""
    database = EmbeddedPostgres(directory)
    dsn = await database.start()
    try:
        migrated = await run("migrate", env=production(dsn))
        assert migrated.code == 0, migrated.err
    finally:
        await database.stop()
