"""Heavy reads on a streaming replica: which server serves them, and that none is older than its beginning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from monitor.adapters.postgres import replica as replica_module
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.replica import ReplicaReads
from monitor.bootstrap.container import Container
from monitor.settings.schema import Db
from tests.integration.support import WITHIN_S, Api, api_of, eventually, settings
from tests.replica import Pair, replicated

pytestmark = pytest.mark.topology


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[Pair]:
    async with replicated() as made:
        yield made


@asynccontextmanager
async def reading(primary: str, replica: str) -> AsyncIterator[tuple[Database, ReplicaReads]]:
    async with Database(DatabaseConfig(primary)) as database, ReplicaReads(database, replica) as reads:
        yield database, reads


WHERE = "SELECT pg_is_in_recovery() AS replica"


async def test_a_replica_that_is_up_to_date_serves_heavy_reads(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (_, reads):
        await pair.caught_up()
        assert [row["replica"] for row in await reads.fetch(WHERE)] == [True]
        row = await reads.fetchrow(WHERE)
        assert row is not None
        assert row["replica"]
        assert (reads.served, dict(reads.passed_on)) == (2, {})


async def test_a_replica_that_replays_nothing_is_left_alone_until_it_has(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (database, reads):
        await pair.caught_up()
        await pair.pause()
        try:
            await database.fetch("SELECT pg_logical_emit_message(false, 'monitor', 'x')")
            await database.fetch("SELECT pg_switch_wal()")
            for _ in range(replica_module.MISSES):
                assert [row["replica"] for row in await reads.fetch(WHERE)] == [False]
            assert (reads.is_used, reads.trouble, reads.served) == (False, "behind", 0)
            await reads.probe()
            assert reads.lag is not None
            assert reads.lag.size_bytes > 0
            assert not reads.is_used
        finally:
            await pair.resume()

        async def used() -> bool:
            await reads.probe()
            return reads.is_used

        await eventually(used)
        assert [row["replica"] for row in await reads.fetch(WHERE)] == [True]


class Story:
    """Webhooks as two processes with one cache change and show them, and as they must be."""

    def __init__(self, apis: list[Api], dice: random.Random) -> None:
        self._apis = apis
        self._dice = dice
        self.names: dict[str, str] = {}
        self.stale: list[str] = []

    async def write(self) -> None:
        api = self._dice.choice(self._apis)
        name = f"w{self._dice.randrange(10**9)}"
        kind = self._dice.choice(["create", "create", "rename", "delete"]) if self.names else "create"
        if kind == "create":
            self.names[(await api.create("http://127.0.0.1:9/hook", name=name))["id"]] = name
            return
        id_ = self._dice.choice(sorted(self.names))
        if kind == "rename":
            response = await api.call("PATCH", f"webhooks/{id_}", json={"name": name}, headers={"If-Match": "*"})
            assert response.status_code == 200, response.text
            self.names[id_] = name
        else:
            response = await api.call("DELETE", f"webhooks/{id_}", headers={"If-Match": "*"})
            assert response.status_code in {200, 202, 204}, response.text
            del self.names[id_]

    async def read(self) -> None:
        """Every view that shows the webhooks, of one process after the other: all at once in each."""
        for api in self._dice.sample(self._apis, len(self._apis)):
            listed, found, rows, overview = await asyncio.gather(
                api.read("webhooks", params={"limit": 100}),
                api.read("webhooks", params={"limit": 100, "q": "w"}),
                api.read("dashboard/webhooks", params={"limit": 100}),
                api.read("dashboard/overview"),
            )
            for view, items in (("list", listed), ("search", found), ("rows", rows)):
                shown = {item["id"]: item["name"] for item in items["items"]}
                if shown != self.names:
                    self.stale.append(view)
            if sum(overview["webhooks"].values()) != len(self.names):
                self.stale.append("overview")


@pytest.mark.parametrize("seed", range(2))
async def test_no_process_shows_older_than_the_last_answered_write(pair: Pair, redis_url: str, seed: int) -> None:
    dice = random.Random(seed)
    is_paused = False
    database = Db(acquire_timeout_s=WITHIN_S, read_url=pair.replica.dsn())
    async with AsyncExitStack() as stack:
        made = settings(pair.primary.dsn(), redis_url=redis_url, db=database)
        parts = [await stack.enter_async_context(Container(made)) for _ in range(2)]
        story = Story([await stack.enter_async_context(api_of(one)) for one in parts], dice)
        try:
            for _ in range(40):
                if dice.random() < 0.2:
                    await (pair.resume() if is_paused else pair.pause())
                    is_paused = not is_paused
                if dice.random() < 0.3:
                    for one in parts:
                        assert one.replica is not None
                        await one.replica.probe()
                await story.write()
                await story.read()
        finally:
            await pair.resume()
            for id_ in list(story.names):
                await story._apis[0].call("DELETE", f"webhooks/{id_}", headers={"If-Match": "*"})
        assert story.stale == []
        replicas = [one.replica for one in parts if one.replica is not None]
        served = sum(replica.served for replica in replicas)
        passed_on = sum(sum(replica.passed_on.values()) for replica in replicas)
        assert served > 0
        assert passed_on > 0
