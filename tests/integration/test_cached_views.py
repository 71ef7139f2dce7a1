"""Cached views over several processes, with writers that die and databases that go away."""

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
from typing import Any, Self
from uuid import UUID

import httpx
import pytest

from monitor.adapters.postgres.repositories.event_outbox import PostgresEventOutbox
from monitor.bootstrap.container import Container
from monitor.domain.events import WebhookUpdated
from monitor.domain.vocab import Role
from monitor.settings.schema import Db
from tests.integration.detection_support import Watch, alert, fail
from tests.integration.processes import Running, production, running
from tests.integration.support import (
    API,
    Api,
    api_of,
    assert_problem,
    eventually,
    execute,
    served,
    settings,
    signer,
    sql,
)
from tests.servers import free_port

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


async def serve(stack: AsyncExitStack, env: dict[str, str], token: str, log: Path) -> Server:
    port = free_port()
    command = await stack.enter_async_context(running("serve", "--port", str(port), env=env, log=log))
    client = await stack.enter_async_context(
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"})
    )
    return Server(command, client)


@pytest.fixture
async def shared(database_url: str, own_redis_url: str) -> AsyncIterator[Container]:
    """A process of ours among those of the cluster."""
    async with Container(settings(database_url, redis_url=own_redis_url)) as parts:
        yield parts


@pytest.fixture
async def cluster(shared: Container, own_redis_url: str, stack: AsyncExitStack, tmp_path: Path) -> Cluster:
    env = production(
        shared.database.dsn, REDIS_URL=own_redis_url, HTTP__RATE_LIMIT_PER_S="1000000", HTTP__RATE_BURST="1000000"
    )
    token = signer(shared)(Role.ADMIN, "ada")
    servers = [await serve(stack, env, token, tmp_path / f"{i}.log") for i in range(PROCESSES)]
    for server in servers:
        await eventually(server.ready, within_s=60)
    return Cluster(servers)


@pytest.mark.processes
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


@pytest.mark.processes
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


@pytest.mark.processes
async def test_a_fresh_process_is_warm_before_it_is_ready_and_logs_what_it_answers_from_memory(
    cluster: Cluster, shared: Container, own_redis_url: str, stack: AsyncExitStack, tmp_path: Path
) -> None:
    env = production(shared.database.dsn, REDIS_URL=own_redis_url, LOG__FORMAT="json")
    fresh = await serve(stack, env, signer(shared)(Role.ADMIN, "ada"), tmp_path / "fresh.log")
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
    assert line["route"] == "/api/v1/dashboard/overview"


@pytest.mark.processes
async def test_a_writer_that_dies_before_it_tells_anyone_is_made_good_for(cluster: Cluster, shared: Container) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "before", "url": URL}))["id"]
    path = f"webhooks/{id_}"
    await cluster.warm(path)
    # A process that is gone right after its commit: nobody hears of it.
    uow = shared.unit_of_work()
    uow._dispatch = None
    async with uow:
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


@pytest.mark.processes
async def test_killing_a_server_leaves_the_others_coherent(cluster: Cluster) -> None:
    id_ = (await cluster.write("POST", "webhooks", json={"name": "v0", "url": URL}))["id"]
    path = f"webhooks/{id_}"
    await cluster.warm(path)
    await cluster.others.pop().command.stop(signal.SIGKILL)
    await cluster.write("PATCH", path, json={"name": "v1"})
    await cluster.never_shows(path, lambda answer: answer.json()["name"] != "v1")


async def test_a_commit_that_fails_tells_nobody(parts: Container) -> None:
    log = PostgresEventOutbox(parts.database)
    uow = parts.unit_of_work()
    async with uow:
        uow.record(WebhookUpdated(parts.clock.new_id()))
    assert await log.undispatched(parts.clock.now().replace(year=2100), 10) == []


async def test_facts_are_stored_with_the_change_and_forgotten_by_id(parts: Container) -> None:
    log = PostgresEventOutbox(parts.database)
    first, second = (WebhookUpdated(parts.clock.new_id()) for _ in range(2))
    for fact in (first, second):
        uow = parts.unit_of_work()
        uow._dispatch = None
        async with uow:
            uow.record(fact)
            await uow.commit()
    later = parts.clock.now().replace(year=2100)
    found = await log.undispatched(later, 10)
    assert [fact.event for fact in found] == [first, second]
    assert [fact.event for fact in await log.undispatched(later, 1)] == [first]
    assert await log.undispatched(parts.clock.now().replace(year=2000), 10) == []
    await log.delete([found[0].id])
    assert await log.undispatched(later, 10) == found[1:]


class Way:
    """A way to the database that can be cut and mended."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.dsn = ""
        self.open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        # Either a host and port, or the folder of a Unix socket.
        parts = httpx.URL(self._dsn.replace("postgresql://", "http://", 1).replace("@/", "@socket/", 1))
        folder, port = parts.params.get("host"), parts.params.get("port", parts.port or 5432)
        self._to = (f"{folder}/.s.PGSQL.{port}",) if folder else (parts.host, int(port))
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        here = self._server.sockets[0].getsockname()[1]
        user = f"{parts.userinfo.decode()}@" if parts.userinfo else ""
        self.dsn = f"postgresql://{user}127.0.0.1:{here}{parts.path}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self.open = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.open = True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        there = await (
            asyncio.open_unix_connection(*self._to) if len(self._to) == 1 else asyncio.open_connection(*self._to)
        )
        self._writers |= {writer, there[1]}
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(_copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        pass
    finally:
        target.close()


async def test_without_its_database_it_answers_what_it_last_knew_and_says_so(database_url: str) -> None:
    async with Way(database_url) as way:
        changed = settings(way.dsn, db=Db(acquire_timeout_s=0.5))
        async with Container(changed) as parts, api_of(parts) as api:
            created = await api.create(URL, name="shop")
            path = f"webhooks/{created['id']}"
            pages = ["dashboard", "dashboard/overview", "dashboard/webhooks", "webhooks", path]
            good = {page: await api.read(page) for page in pages}
            way.cut()
            await parts.cache.invalidate(["dashboard", "webhooks", f"webhook:{created['id']}"], acknowledged=True)
            for page in pages:
                answer = await api.get(page)
                assert answer.status_code == 200
                body = answer.json()
                assert body.pop("stale") is True
                assert 0 <= body.pop("age_s") < 60
                assert body == good[page]
                assert "etag" not in answer.headers
            # What nobody asked for before cannot be answered now.
            for page in ("alerts/stats/summary", "dashboard/performance?window=7d", "dashboard/webhooks?limit=3"):
                assert_problem(await api.get(page), 503, "unavailable")
            metrics = await api.get("/metrics")
            assert metrics.status_code == 200
            assert 'monitor_cache_reads_total{source="fail_safe",view="overview"}' in metrics.text

            way.mend()

            async def fresh() -> bool:
                return "stale" not in await api.read("dashboard/overview")

            await eventually(fresh)
            assert (await api.get("alerts/stats/summary")).status_code == 200


async def test_without_redis_one_process_is_coherent_by_itself(parts: Container) -> None:
    assert parts.settings.redis_url is None
    async with served(parts) as api:
        id_ = (await api.create(URL, name="v0"))["id"]
        for version in range(1, 20):
            await api.read(f"webhooks/{id_}")
            await api.read("webhooks")
            await api.call("PATCH", f"webhooks/{id_}", json={"name": f"v{version}"})
            assert (await api.read(f"webhooks/{id_}"))["name"] == f"v{version}"
            assert [hook["name"] for hook in (await api.read("webhooks"))["items"]] == [f"v{version}"]


async def test_a_view_is_computed_once_for_all_who_ask_at_the_same_time(own_parts: Container) -> None:
    async with api_of(own_parts) as api:
        await api.create(URL)
        await asyncio.gather(*(api.read("dashboard") for _ in range(50)))
        views = {view.view: view for view in own_parts.cache.stats().views}
        assert (views["dashboard"].creations, views["dashboard"].reads) == (1, 50)


async def test_attempts_alone_drop_nothing(parts: Container, api: Api) -> None:
    id_ = (await api.create(URL))["id"]
    for _ in range(2):
        await api.read("dashboard/overview")
    await execute(parts, "UPDATE webhook_lanes SET health_status = 'healthy'")
    before = (await api.get("dashboard/overview")).headers["etag"]
    now = (await parts.queries.now()).isoformat()
    for _ in range(3):
        body = {"attempts": [{"delivered_at": now, "status_code": 200, "latency_ms": 1}]}
        assert (await api.post(f"webhooks/{id_}/attempts", json=body)).status_code == 202
    assert (await api.get("dashboard/overview")).headers["etag"] == before
