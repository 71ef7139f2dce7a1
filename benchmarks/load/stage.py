"""What the load test runs against: two servers, a worker and receivers, as in production, with a past to look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import psutil

from benchmarks.history import fill
from benchmarks.load.exchange import Stage
from benchmarks.receivers import receivers
from benchmarks.support import ACTOR, database, free_port, process, settings_of
from benchmarks.up import until_ready
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.vocab import Role
from monitor.domain.webhooks.registration import WebhookSpec
from tests.servers import redis

SERVERS = 2
RECEIVERS = 20
READ = 200
"""Webhooks that readers look at one by one."""

WARM_UP_S = 10.0
SLOWED = ("MONITOR_EGRESS__PROFILE", "MONITOR_HTTP__RATE_LIMIT_PER_S", "MONITOR_HTTP__RATE_BURST")
"""What other benchmarks set to be out of the way; here the defaults of production apply."""


class Set(msgspec.Struct, frozen=True):
    """A stage, and what processes on it need: their environment, and the ports of the servers."""

    stage: Stage
    env: dict[str, str]
    ports: list[int]

    @property
    def dsn(self) -> str:
        return self.env["MONITOR_DATABASE_URL"]


@asynccontextmanager
async def set_stage(directory: Path, *, users: int, webhooks: int, attempts: int) -> AsyncIterator[Set]:
    """Fill a database in *directory* with a past, and start Redis and receivers."""
    async with AsyncExitStack() as stack:
        env = await stack.enter_async_context(database(directory))
        history = await fill(env["MONITOR_DATABASE_URL"], webhooks, attempts)
        env = {name: value for name, value in env.items() if name not in SLOWED}
        env |= {"MONITOR_REDIS_URL": stack.enter_context(redis()), "MONITOR_EGRESS__ALLOW_CIDRS": "127.0.0.0/8"}
        urls = (await stack.enter_async_context(receivers(RECEIVERS, directory / "receivers.log"))).urls
        ports = [free_port() for _ in range(SERVERS)]
        result = directory / "measured.json"
        yield Set(await _stage(env, users, urls, history.webhook_ids, ports, result), env, ports)


@asynccontextmanager
async def product(on: Set, logs: Path) -> AsyncIterator[dict[str, psutil.Process]]:
    """Run servers and a worker, ready when the block begins; they have to end in peace with it."""
    commands = {f"serve {n}": ("serve", "--port", str(port)) for n, port in enumerate(on.ports, 1)}
    async with AsyncExitStack() as stack:
        running = {}
        for name, command in (commands | {"work": ("work",)}).items():
            log = logs / f"{name.replace(' ', '-')}.log"
            child = await stack.enter_async_context(process("-m", "monitor", *command, env=on.env, log=log))
            running[name] = psutil.Process(child.pid)
        await asyncio.gather(*map(until_ready, on.stage.servers))
        yield running


async def _stage(
    env: dict[str, str], users: int, urls: list[str], history: list[UUID], ports: list[int], result: Path
) -> Stage:
    """Register what users write to, and sign a token for each of them."""
    async with Container(settings_of(env)) as parts:
        registry = build_services(parts).registry

        async def made(name: str, count: int) -> list[str]:
            specs = (
                WebhookSpec(name=f"{name} {i}", url=urls[i % len(urls)], event_types=[f"load.{name}_{i}"])
                for i in range(count)
            )
            return [str((await registry.create(spec, ACTOR)).id) for spec in specs]

        def signed(role: Role, name: str) -> list[str]:
            return [
                issue(
                    parts.ring, parts.token_policy, subject=f"{name}-{i}", role=role, ttl_s=6 * 3600,
                    now=time.time(), jti=f"{name}-{i}",
                )
                for i in range(users)
            ]  # fmt: skip

        return Stage(
            servers=[f"http://127.0.0.1:{port}" for port in ports],
            viewers=signed(Role.VIEWER, "reader"),
            watchers=signed(Role.VIEWER, "watcher"),
            publishers=signed(Role.PUBLISHER, "producer"),
            admins=signed(Role.ADMIN, "operator"),
            webhooks=[*await made("orders", RECEIVERS), *map(str, history[:READ])],
            event_types=[f"load.orders_{i}" for i in range(RECEIVERS)],
            flipping=await made("flipping", users // 4 + 1),
            changing=await made("changing", users // 4 + 1),
            receiver=urls[0],
            warm_up_s=WARM_UP_S,
            result=str(result),
        )
