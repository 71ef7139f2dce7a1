"""Heavy reads on a streaming replica: which server serves them, and that none is older than its beginning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from monitor.adapters.postgres import replica as replica_module
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.replica import ReplicaReads
from monitor.bootstrap.container import Container
from monitor.cli.doctor import examine
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.settings.schema import Db
from tests.integration.support import WITHIN_S, Api, api_of, eventually, settings
from tests.proxy import Proxy
from tests.replica import Pair, replicated
from tests.servers import free_port

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


async def test_beside_a_pooler_of_the_primary_the_replica_has_sessions(pair: Pair) -> None:
    """They carry its limits: a session of a pooler has none of its own, and JIT compiles what is read once."""
    pooled = DatabaseConfig(pair.primary.dsn(), direct_dsn=pair.primary.dsn())
    async with Database(pooled) as database, ReplicaReads(database, pair.replica.dsn()) as reads:
        await pair.caught_up()
        found = await reads.fetchrow("SELECT current_setting('jit') AS jit, current_setting('statement_timeout') AS it")
        assert found is not None
        assert (reads.served, dict(found)) == (1, {"jit": "off", "it": "5s"})


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


async def test_the_state_of_the_system_shows_what_the_replica_serves(pair: Pair) -> None:
    made = settings(pair.primary.dsn(), db=Db(acquire_timeout_s=WITHIN_S, read_url=pair.replica.dsn()))
    async with Container(made) as parts, api_of(parts) as api:
        assert parts.replica is not None
        await pair.caught_up()
        await parts.replica.probe()
        await parts.replica.fetch(WHERE)
        shown = (await api.read("system/stats"))["replica"]
        assert (shown["used"], shown["trouble"], shown["reads"] > 0) == (True, None, True)
        assert (shown["lag_bytes"] >= 0, shown["lag_s"] >= 0) == (True, True)
        await pair.pause()
        try:
            await parts.database.fetch("SELECT pg_logical_emit_message(false, 'monitor', 'x')")
            await parts.database.fetch("SELECT pg_switch_wal()")
            for _ in range(replica_module.MISSES):
                await parts.replica.fetch(WHERE)
            shown = (await api.read("system/stats"))["replica"]
        finally:
            await pair.resume()
        assert (shown["used"], shown["trouble"]) == (False, "behind")
        assert shown["passed_on"]["behind"] >= replica_module.MISSES


@pytest.mark.parametrize("cause", ["not_a_replica", "other_database", "unreachable", "refused"])
async def test_what_is_no_replica_of_the_primary_serves_nothing(pair: Pair, cause: str) -> None:
    urls = {
        "not_a_replica": pair.primary.dsn(),
        # Of the same cluster, and no other server has this one's name.
        "other_database": pair.replica.dsn("postgres"),
        "unreachable": f"postgresql://postgres@127.0.0.1:{free_port()}/monitor",
        "refused": pair.replica.dsn("missing"),
    }
    async with reading(pair.primary.dsn(), urls[cause]) as (_, reads):
        for _ in range(3):
            assert [row["replica"] for row in await reads.fetch(WHERE)] == [False]
        expected = "unreachable" if cause == "refused" else cause
        assert (reads.trouble, reads.served, dict(reads.passed_on)) == (expected, 0, {expected: 3})
        await reads.probe()
        assert reads.trouble == expected


async def test_a_replica_that_swallows_packets_costs_one_wait(pair: Pair) -> None:
    async with Proxy(pair.replica.dsn()) as proxy, reading(pair.primary.dsn(), proxy.url) as (_, reads):
        await eventually(lambda: _served(reads))
        proxy.swallow()
        proxy.swallows_new = True
        assert [row["replica"] for row in await reads.fetch(WHERE)] == [False]
        assert reads.trouble == "unreachable"
        tried = proxy.accepted
        await asyncio.gather(*(reads.fetch(WHERE) for _ in range(20)))
        assert proxy.accepted == tried
        proxy.swallows_new = False

        async def used() -> bool:
            await reads.probe()
            return reads.is_used

        await eventually(used)
        assert await _served(reads)


async def test_a_read_that_hangs_on_the_replica_is_not_repeated(pair: Pair) -> None:
    """Its caller has waited for as long as a statement may take; the next one does not try the replica."""
    config = DatabaseConfig(pair.primary.dsn(), statement_timeout_ms=500)
    async with Database(config) as database, ReplicaReads(database, pair.replica.dsn()) as reads:
        await eventually(lambda: _served(reads))
        with pytest.raises(Unavailable) as caught:
            await reads.fetch("SELECT pg_sleep(30)")
        assert caught.value.took_too_long


async def test_a_read_that_replay_ends_is_repeated_on_the_primary(pair: Pair) -> None:
    await pair.replica.fetch("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    await pair.replica.fetch("SELECT pg_reload_conf()")
    slow = """
    SELECT pg_is_in_recovery() AS replica, pg_sleep(CASE WHEN pg_is_in_recovery() THEN 60 ELSE 0 END)
    FROM (SELECT count(*) FROM webhooks) AS counted
    """
    config = DatabaseConfig(pair.primary.dsn(), statement_timeout_ms=90_000)
    async with Database(config) as database, ReplicaReads(database, pair.replica.dsn()) as reads:
        await eventually(lambda: _served(reads))
        reading_ = asyncio.create_task(reads.fetch(slow))
        sessions = "SELECT count(*) > 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(CASE%'"
        await eventually(lambda: pair.replica.value(sessions))
        # Locks of this kind are replayed, and replay waits for no reader here.
        await pair.primary.fetch("ALTER TABLE webhooks ALTER COLUMN name SET NOT NULL")
        assert [row["replica"] for row in await reading_] == [False]
        assert (reads.is_used, reads.passed_on["conflict"]) == (True, 1)


async def test_a_connection_that_ends_while_it_is_held_is_trouble_of_the_replica(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (_, reads):
        async with reads._connection() as connection:
            connection.itself().terminate()
            with pytest.raises(replica_module.Unusable, match="unreachable"):
                await reads._catch_up(connection)
        await eventually(lambda: reads.fetch(WHERE))


async def test_what_the_replica_refuses_as_the_primary_would_is_no_trouble_of_it(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (_, reads):
        await eventually(lambda: _served(reads))
        with pytest.raises(DataRejected):
            await reads.fetch("SELECT $1::int", "no number")
        assert reads.is_used


async def test_reads_at_once_share_positions_of_the_primary(pair: Pair) -> None:
    async with reading(pair.primary.dsn(), pair.replica.dsn()) as (database, reads):
        await eventually(lambda: _served(reads))
        asked = 0
        fetchrow = database.fetchrow

        async def counting(sql: str, *args: Any, **options: Any) -> Any:
            nonlocal asked
            asked += sql == replica_module.POSITION
            return await fetchrow(sql, *args, **options)

        database.fetchrow = counting  # type: ignore[method-assign]
        await asyncio.gather(*(reads._position.now() for _ in range(100)))
        # One for the first, and one for all that came while it ran.
        assert asked <= 2


async def test_without_a_primary_no_read_is_served(pair: Pair) -> None:
    """The replica may lack what was answered last. The cache has what may be shown meanwhile, marked as stale."""
    async with Proxy(pair.primary.dsn()) as proxy, reading(proxy.url, pair.replica.dsn()) as (_, reads):
        await eventually(lambda: _served(reads))
        proxy._server.close()
        proxy.cut()
        with pytest.raises(Unavailable):
            await reads.fetch(WHERE)
        assert reads.is_used


async def test_a_primary_that_is_a_replica_itself_has_no_position(pair: Pair) -> None:
    async with reading(pair.replica.dsn(), pair.replica.dsn()) as (_, reads):
        assert [row["replica"] for row in await reads.fetch(WHERE)] == [True]
        assert (reads.trouble, reads.served) == ("no_primary", 0)


async def test_metrics_and_doctor_show_the_replica(pair: Pair) -> None:
    made = settings(pair.primary.dsn(), db=Db(acquire_timeout_s=WITHIN_S, read_url=pair.replica.dsn()))
    async with Container(made) as parts, api_of(parts) as api:

        async def served() -> bool:
            await api.read("webhooks", params={"q": "x"})
            assert parts.replica is not None
            return parts.replica.served > 0

        await eventually(served)
        metrics = (await api.get("/metrics")).text
        assert "monitor_replica_used 1.0" in metrics
        assert "monitor_replica_reads_total" in metrics
    findings = {finding.check: finding for finding in await examine(made)}
    assert findings["replica"].state == "ok", findings["replica"]
    wrong = msgspec.structs.replace(made, db=Db(acquire_timeout_s=WITHIN_S, read_url=pair.primary.dsn()))
    findings = {finding.check: finding for finding in await examine(wrong)}
    assert findings["replica"].state == "error"


async def _served(reads: ReplicaReads) -> bool:
    before = reads.served
    await reads.probe()
    await reads.fetch(WHERE)
    return reads.served > before
