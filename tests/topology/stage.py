"""
nginx in front of two servers, four workers, PgBouncer, a primary with its replica, and Redis under Sentinel: each a
process that can be killed.

What a high-availability manager of PostgreSQL does is done here: it promotes the replica and leads PgBouncer to it.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.faults.system import UNLIMITED, admin_token
from tests.integration.processes import Client, Running, production, running
from tests.integration.sender.support import certificate
from tests.integration.support import eventually
from tests.pgbouncer import PgBouncer, pgbouncer
from tests.redis_parts import SentinelSet, sentinel_set
from tests.replica import Pair, replicated
from tests.reverse_proxies import nginx
from tests.servers import accepts, free_port

SERVERS, WORKERS = 2, 4
PATIENCE_S = 180.0
LEASES = {"WORKER__LEASE_S": "6", "WORKER__RENEW_S": "2"}
"""What a killed worker held is nobody's for one lease."""


class Part:
    """A process of Monitor that is killed and started again at its port."""

    def __init__(self, stack: AsyncExitStack, env: dict[str, str], log: Path, *command: str, port: int) -> None:
        self.port = port
        self.started = 0
        self._stack = stack
        self._env = env
        self._log = log
        self._command = command
        self._running: Running | None = None

    async def start(self) -> None:
        self.started += 1
        self._running = await self._stack.enter_async_context(running(*self._command, env=self._env, log=self._log))
        await eventually(self.ready, within_s=PATIENCE_S)

    async def ready(self) -> bool:
        assert self.lives, self.output
        return accepts(self.port) and await Client(self.port, admin_token()).ready()

    async def kill(self) -> None:
        assert self._running is not None
        await self._running.stop(signal.SIGKILL)

    @property
    def lives(self) -> bool:
        return self._running is not None and self._running.process.returncode is None

    @property
    def output(self) -> str:
        return self._log.read_text()


class Topology:
    """
    The parts, and what befalls them.

    Attributes:
        port: of nginx on loopback.
        tls: what trusts its certificate.
    """

    def __init__(self, folder: Path, pair: Pair, pooler: PgBouncer, sentinels: SentinelSet) -> None:
        self.pair = pair
        self.servers: list[Part] = []
        self.workers: list[Part] = []
        self.port = free_port()
        self._pem = certificate(folder)[1]
        self.tls = ssl.create_default_context(cafile=self._pem)
        self._folder = folder
        self._pooler = pooler
        self._sentinels = sentinels
        self._proxy = AsyncExitStack()

    async def start_proxy(self) -> None:
        one, other = (server.port for server in self.servers)
        folder = self._folder / "nginx"
        folder.mkdir(exist_ok=True)
        self._proxy.enter_context(nginx(folder, port=self.port, to=(one, other), pem=self._pem))
        await eventually(lambda: accepts(self.port), within_s=PATIENCE_S)

    async def stop_proxy(self) -> None:
        await self._proxy.aclose()

    async def kill_server(self) -> None:
        await self.servers[0].kill()
        await self.servers[0].start()

    async def kill_worker(self) -> None:
        await self.workers[0].kill()
        await self.workers[0].start()

    async def kill_proxy(self) -> None:
        await self.stop_proxy()
        await self.start_proxy()

    async def kill_pooler(self) -> None:
        self._pooler.stop()
        await asyncio.to_thread(self._pooler.start)

    async def kill_redis(self) -> None:
        master = await self._sentinels.master()
        await self._sentinels.fail_over()
        await self._sentinels.revive(master)

    async def kill_replica(self) -> None:
        """A manager lets the primary commit alone meanwhile."""
        await self.pair.replica.stop(signal.SIGKILL)
        await self.pair.commit_alone()
        await self.pair.replica.start()
        await self.pair.commit_together()

    async def fail_over(self) -> None:
        await self.pair.primary.stop(signal.SIGKILL)
        await self.pair.replica.promote()
        self._pooler.lead_to(self.pair.replica.dsn())
        await self.all_ready()
        await self.pair.follow()

    async def all_ready(self) -> None:
        for part in (*self.servers, *self.workers):
            await eventually(part.ready, within_s=PATIENCE_S)

    @property
    def outputs(self) -> list[str]:
        return [part.output for part in (*self.servers, *self.workers)]


@asynccontextmanager
async def topology(folder: Path) -> AsyncIterator[Topology]:
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(replicated(synchronous=True))
        pooler = stack.enter_context(pgbouncer(pair.primary.dsn(), wait_s=2))
        sentinels = await stack.enter_async_context(sentinel_set())
        made = Topology(folder, pair, pooler, sentinels)
        read_url = f"postgresql://postgres@127.0.0.1:{pair.replica.port},127.0.0.1:{pair.primary.port}/monitor"
        urls = {"DB__DIRECT_URL": pair.url, "DB__READ_URL": read_url, "REDIS_URL": sentinels.url}
        proxied = {"HTTP__HSTS": "true", "HTTP__TRUSTED_PROXIES": "127.0.0.1", "HTTP__METRICS_OPEN": "true"}
        env = production(pooler.url("monitor"), **urls, **UNLIMITED, **LEASES, **proxied)
        for command, parts, count in (("serve", made.servers, SERVERS), ("work", made.workers, WORKERS)):
            for number in range(count):
                port = free_port()
                log = folder / f"{command}-{number}.log"
                parts.append(Part(stack, env, log, command, "--port", str(port), port=port))
        await asyncio.gather(*(part.start() for part in (*made.servers, *made.workers)))
        await made.start_proxy()
        stack.push_async_callback(made.stop_proxy)
        yield made
