"""Cached views of several processes on one database and one Redis: coherent through changes, lost events and kills."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.events import WebhookUpdated
from monitor.domain.vocab import Role
from tests import servers
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.processes import Running, production, running
from tests.integration.support import (
    API,
    api_of,
    eventually,
    lost_after_commit,
    settings,
    signer,
    sql,
)
from tests.servers import free_port

pytestmark = pytest.mark.processes

URL = "http://127.0.0.1:9/hook"
PROCESSES = 4
READS = int(os.environ.get("COHERENCE_READS", "300"))
"""Reads after each write, over all the processes that did not write."""


class Server:
    """One real ``monitor serve``, and a client of it that keeps its connections."""

    def __init__(self, command: Running, client: httpx.AsyncClient) -> None:
        self.command = command
        self.client = client

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"{API}/{path}")

    async def ready(self) -> bool:
        assert self.command.process.returncode is None, self.command.output
        try:
            return (await self.client.get("/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


class Cluster:
    """Servers on one database and one Redis. The first one writes."""

    def __init__(self, servers: list[Server]) -> None:
        self.writer, *self.others = servers

    async def write(self, method: str, path: str, **options: Any) -> Any:
        response = await self.writer.client.request(method, f"{API}/{path}", **options)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    async def warm(self, *paths: str) -> None:
        """Have every process hold every answer in memory."""
        for server in (self.writer, *self.others):
            for path in paths:
                for _ in range(3):
                    assert (await server.get(path)).status_code == 200

    async def never_shows(self, path: str, is_old: Callable[[httpx.Response], bool]) -> None:
        """Read at once and often from every process that did not write."""

        async def read(server: Server) -> int:
            return sum([is_old(await server.get(path)) for _ in range(READS // len(self.others))])

        assert sum(await asyncio.gather(*map(read, self.others))) == 0


async def serve(stack: AsyncExitStack, shared: Container, log: Path) -> Server:
    """Start a server beside *shared*, on the same database and Redis."""
    redis_url, port = shared.settings.redis_url or "", free_port()
    unlimited = {"HTTP__RATE_LIMIT_PER_S": "1000000", "HTTP__RATE_BURST": "1000000"}
    env = production(shared.database.dsn, REDIS_URL=redis_url, LOG__FORMAT="json", **unlimited)
    command = await stack.enter_async_context(running("serve", "--port", str(port), env=env, log=log))
    headers = {"Authorization": f"Bearer {signer(shared)(Role.ADMIN, 'ada')}"}
    base_url = f"http://127.0.0.1:{port}"
    return Server(command, await stack.enter_async_context(httpx.AsyncClient(base_url=base_url, headers=headers)))


@pytest.fixture(scope="module")
async def shared(postgres: servers.Postgres, own_redis_url: str) -> AsyncIterator[Container]:
    """A process of ours among those of the cluster."""
    async with postgres.database() as dsn, Container(settings(dsn, redis_url=own_redis_url)) as parts:
        yield parts


@pytest.fixture(scope="module")
async def cluster(shared: Container, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    async with AsyncExitStack() as stack:
        started = [await serve(stack, shared, directory / f"{i}.log") for i in range(PROCESSES)]
        for server in started:
            await eventually(server.ready, within_s=60)
        yield Cluster(started)


async def test_after_a_change_no_process_shows_what_was_before(cluster: Cluster) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "v0", "url": URL}))["id"]
    path = f"webhooks/{id_}"
    pages = [path, "webhooks", "dashboard/webhooks", "dashboard"]
    change: dict[str, Callable[[str], Awaitable[Any]]] = {
        "PUT": lambda name: cluster.write("PUT", path, json={"name": name, "url": URL}),
        "PATCH": lambda name: cluster.write("PATCH", path, json={"name": name}),
    }
    for (method, by), page in itertools.product(change.items(), pages):
        await cluster.warm(page)
        name = f"{method} {page}"
        await by(name)
        await cluster.never_shows(page, lambda answer, name=name: name not in answer.text)  # type: ignore[misc]

    await cluster.warm("dashboard/overview", path)
    await cluster.write("POST", f"{path}/pause")
    await cluster.never_shows("dashboard/overview", lambda answer: answer.json()["paused"] != 1)
    await cluster.never_shows(path, lambda answer: answer.json()["paused_at"] is None)

    await cluster.warm("webhooks", path, "dashboard")
    await cluster.write("DELETE", path)
    await cluster.never_shows(path, lambda answer: answer.status_code != 404)
    await cluster.never_shows("webhooks", lambda answer: id_ in answer.text)
    await cluster.never_shows("dashboard", lambda answer: id_ in answer.text)


async def test_after_an_acknowledgement_no_process_shows_the_alert_as_pending(
    cluster: Cluster, shared: Container
) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "shop", "url": URL}))["id"]
    await cluster.write("POST", "webhooks", json={"name": "another", "url": URL})
    async with api_of(shared) as api:
        await fail(api, id_)
        await Watch(shared).look()
        raised = await alert(api, id_)
    for server in cluster.others:

        async def shows(server: Server = server) -> bool:
            return raised["id"] in (await server.get("alerts")).text

        await eventually(shows)
    await cluster.warm("alerts", "dashboard", "dashboard/overview")
    await cluster.write("POST", f"alerts/{raised['id']}/ack")
    await cluster.never_shows("alerts", lambda answer: raised["id"] in answer.text)
    await cluster.never_shows("dashboard", lambda answer: raised["id"] in answer.text)
    await cluster.never_shows("dashboard/overview", lambda answer: answer.json()["acknowledged"] != 1)


async def test_a_fresh_process_is_warm_before_it_is_ready_and_logs_what_it_answers_from_memory(
    cluster: Cluster, shared: Container, stack: AsyncExitStack, tmp_path: Path
) -> None:
    fresh = await serve(stack, shared, tmp_path / "fresh.log")
    await eventually(fresh.ready, within_s=60)
    for path in (
        "dashboard",
        "dashboard/overview",
        "dashboard/webhooks",
        "dashboard/performance",
        "alerts",
        "webhooks",
    ):
        assert (await fresh.get(path)).status_code == 200
    lines = (await fresh.client.get("/metrics")).text.splitlines()
    reads = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith("monitor_cache_reads")}
    # Whoever asked first, found it in memory: no reader waited for a computation.
    for view in ("dashboard", "overview", "webhook_health", "performance_long", "alerts", "webhooks"):
        assert (
            reads[f'monitor_cache_reads_total{{source="memory",view="{view}"}}']
            + reads[f'monitor_cache_reads_total{{source="stale",view="{view}"}}']
            >= 1
        )

    await fresh.client.get(f"{API}/dashboard/overview", headers={"X-Request-ID": "hot-1"})
    await fresh.command.says('"hot-1"')
    (line,) = [json.loads(line) for line in fresh.command.output.splitlines() if '"hot-1"' in line]
    assert (line["event"], line["method"], line["status"], line["subject"]) == ("http_request", "GET", 200, "ada")
    assert (line["route"], line["client"]) == ("/api/v1/dashboard/overview", "127.0.0.1")


async def test_a_writer_that_dies_before_it_tells_anyone_is_made_good_for(cluster: Cluster, shared: Container) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "before", "url": URL}))["id"]
    path = f"webhooks/{id_}"
    await cluster.warm(path)
    # A process that is gone right after its commit: nobody hears of it.
    async with lost_after_commit(shared.database.dsn) as uow:
        await uow._raw_connection.execute("UPDATE webhooks SET name = 'after' WHERE id = $1", id_)
        uow.record(WebhookUpdated(UUID(id_)))
        await uow.commit()
    committed = time.monotonic()

    async def healed() -> bool:
        answers = await asyncio.gather(*(server.get(path) for server in (cluster.writer, *cluster.others)))
        return all(answer.json()["name"] == "after" for answer in answers)

    await eventually(healed)
    # It takes one and a half seconds; left alone, the view would live for ten.
    assert time.monotonic() - committed < 10

    async def forgotten() -> bool:
        async with sql(shared) as connection:
            return not await connection.fetchval("SELECT count(*) FROM event_outbox")

    await eventually(forgotten)


async def test_killing_a_server_leaves_the_others_coherent(
    cluster: Cluster, shared: Container, stack: AsyncExitStack, tmp_path: Path
) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "v0", "url": URL}))["id"]
    path = f"webhooks/{id_}"
    await cluster.warm(path)
    victim = await serve(stack, shared, tmp_path / "victim.log")
    await eventually(victim.ready, within_s=60)
    assert (await victim.get(path)).status_code == 200
    await victim.command.stop(signal.SIGKILL)
    await cluster.write("PATCH", path, json={"name": "v1"})
    await cluster.never_shows(path, lambda answer: answer.json()["name"] != "v1")
