"""Cached views in one process: computed once, dropped by changes, and what is answered without the database."""

from __future__ import annotations

import asyncio
from typing import Self

import httpx

from monitor.adapters.postgres.repositories.event_outbox import PostgresEventOutbox
from monitor.bootstrap.container import Container
from monitor.domain.events import WebhookUpdated
from monitor.settings.schema import Db
from tests.integration.support import (
    Api,
    api_of,
    assert_problem,
    eventually,
    execute,
    lost_after_commit,
    served,
    settings,
)

URL = "http://127.0.0.1:9/hook"


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
        async with lost_after_commit(parts.database.dsn) as uow:
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
        changed = settings(way.dsn, db=Db(acquire_timeout_s=10.0))
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
