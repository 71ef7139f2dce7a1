"""A primary that is lost, and its replica promoted: serving and working go on, and nothing answered is lost."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import pytest
import structlog

from monitor.adapters.postgres.engine import Database, DatabaseConfig, describe
from monitor.adapters.postgres.identity import database_identity
from monitor.adapters.postgres.migrate import upgrade
from monitor.adapters.postgres.wakeups import PostgresWakeups
from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from tests.faults.system import UNLIMITED, admin_token
from tests.integration.cache.processes import redis
from tests.integration.processes import Client, production, running
from tests.integration.support import API, Receiver, api_of, assert_problem, eventually, settings
from tests.proxy import Proxy
from tests.replica import Pair, replicated
from tests.servers import accepts, free_port

pytestmark = pytest.mark.topology

SLACK = 5
"""What the bars of the specification are multiplied by: this machine does other things meanwhile."""

API_BACK_S = 5.0 * SLACK
WORKERS_BACK_S = 10.0 * SLACK
FAST_S = 2.5 * SLACK
LEASES = {"WORKER__LEASE_S": "6", "WORKER__RENEW_S": "2"}
"""What was claimed just when the primary was lost is nobody's for one lease."""

READS = "monitor_replica_reads_total"
EVENT = msgspec.json.encode({"type": "order.paid", "payload": {"x": 1}})


log = structlog.get_logger(__name__)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with replicated(synchronous=True) as made:
        yield made


@contextmanager
def silent() -> Iterator[str]:
    """The address of a host that takes connections and answers nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_of_several_hosts_the_one_that_takes_writes_is_used(pair: Pair) -> None:
    replica, primary = f"127.0.0.1:{pair.replica.port}", f"127.0.0.1:{pair.primary.port}"
    dead = f"127.0.0.1:{free_port()}"
    with silent() as swallowing:
        url = f"postgresql+asyncpg://postgres@{swallowing},{dead},{replica},{primary}/monitor"
        assert describe(url) == f"{swallowing},{dead},{replica},{primary}/monitor"
        await upgrade(url)
        async with Container(settings(url)) as parts, api_of(parts) as api:
            started_s = time.monotonic()
            await api.create("http://127.0.0.1:9/hook")
            assert (await parts.database.fetchrow("SELECT pg_is_in_recovery() AS it"))["it"] is False  # type: ignore[index]
            assert time.monotonic() - started_s < 2.0 * SLACK


async def test_without_a_host_that_takes_writes_the_answer_is_503_at_once(pair: Pair) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()},127.0.0.1:{pair.replica.port}/monitor"
    async with Container(settings(url)) as parts, api_of(parts) as api:
        started_s = time.monotonic()
        response = await api.get("webhooks")
        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert time.monotonic() - started_s < 2.0 * SLACK


async def test_a_former_primary_that_still_answers_is_left(pair: Pair) -> None:
    """Its connections are ended, that of the listener too, and it is not connected to again."""
    await pair.primary.fetch("ALTER SYSTEM SET synchronous_standby_names = ''")
    await pair.primary.fetch("SELECT pg_reload_conf()")
    woken = asyncio.Event()
    async with Database(DatabaseConfig(pair.url)) as database:
        listening = asyncio.create_task(PostgresWakeups(database).listen(lambda _: woken.set()))
        await eventually(lambda: database.listening)
        port = "SELECT inet_server_port() AS port"
        assert (await database.fetch(port))[0]["port"] == pair.primary.port
        await pair.caught_up()
        await pair.replica.promote()
        woken.clear()
        await database._hosts(database.dsn).look(server_settings={})
        assert (await database.fetch(port))[0]["port"] == pair.replica.port
        async with database.engine.connect() as connection:
            found = await connection.exec_driver_sql(port)
            assert found.scalar_one() == pair.replica.port
        await eventually(lambda: woken.is_set() and database.listening)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await pair.replica.stop(signal.SIGKILL)
        with pytest.raises(Unavailable):
            await database.fetch(port)


async def test_behind_one_address_another_server_may_answer(pair: Pair) -> None:
    """As with a proxy or a name that an operator moves to the promoted server."""
    async with (
        Proxy(pair.primary.dsn()) as proxy,
        Container(settings(proxy.url)) as parts,
        api_of(parts) as api,
    ):
        created = await api.create("http://127.0.0.1:9/hook")
        identity = await database_identity(parts.database)
        await pair.primary.stop(signal.SIGKILL)
        await pair.replica.promote()
        proxy.lead_to(pair.replica.dsn())
        proxy.cut()
        assert (await api.read(f"webhooks/{created['id']}"))["name"] == created["name"]
        assert (await api.post("events", json={"type": "order.paid", "payload": 1})).status_code == 202
        assert await database_identity(parts.database) == identity


async def test_a_host_that_is_not_what_its_url_asks_for_is_an_outage(pair: Pair) -> None:
    async with Database(DatabaseConfig(f"{pair.replica.dsn()}?target_session_attrs=read-write")) as database:
        with pytest.raises(Unavailable):
            await database.fetch("SELECT 1")


class Caller:
    """Makes one request again and again, and notes each answer."""

    def __init__(self, session: aiohttp.ClientSession, method: str, url: str, body: bytes | None = None) -> None:
        self.answers: list[tuple[float, float, int, Any]] = []
        self.retry_after: set[str | None] = set()
        self._session = session
        self._request = (method, url)
        self._body = body

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            async with self._session.request(*self._request, data=self._body) as answer:
                body = msgspec.json.decode(await answer.read())
                if answer.status == 503:
                    self.retry_after.add(answer.headers.get("retry-after"))
            self.answers.append((started, time.monotonic(), answer.status, body))
            await asyncio.sleep(0.02)

    def first(self, since: float) -> float | None:
        """Return when the first good answer came to a request made after *since*."""
        return next((ended for started, ended, status, _ in self.answers if started >= since and status < 300), None)

    @property
    def statuses(self) -> set[int]:
        return {status for _, _, status, _ in self.answers}


class Traffic:
    """One who posts events, and one who reads a list that no cache holds."""

    def __init__(self, session: aiohttp.ClientSession, client: Client) -> None:
        self.posts = Caller(session, "POST", f"{client.base}{API}/events", EVENT)
        self.lists = Caller(session, "GET", f"{client.base}{API}/events?limit=10")

    @property
    def callers(self) -> tuple[Caller, Caller]:
        return self.posts, self.lists

    @property
    def accepted(self) -> set[UUID]:
        return {UUID(body["id"]) for _, _, status, body in self.posts.answers if status == 202}

    def back(self, since: float) -> float | None:
        """Return when both had a good answer to a request made after *since*."""
        first = [caller.first(since) for caller in self.callers]
        return None if None in first else max(at for at in first if at is not None)

    def slowest_s(self, begin: float, end: float) -> float:
        return max(
            ended - started
            for caller in self.callers
            for started, ended, _, _ in caller.answers
            if begin <= started <= end
        )


@asynccontextmanager
async def traffic(client: Client) -> AsyncIterator[Traffic]:
    headers = {"authorization": f"Bearer {admin_token()}", "content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        made = Traffic(session, client)
        tasks = [asyncio.create_task(caller.run()) for caller in made.callers]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def processes(pair: Pair, folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """A server and a worker on *pair*; neither may end."""
    ports = [free_port(), free_port()]
    read_url = f"postgresql://postgres@127.0.0.1:{pair.replica.port},127.0.0.1:{pair.primary.port}/monitor"
    async with redis() as cache:
        urls = {"REDIS_URL": cache.url, "DB__READ_URL": read_url}
        env = production(pair.url, **urls, **UNLIMITED, **LEASES, HTTP__METRICS_OPEN="true")
        async with (
            running("serve", "--port", str(ports[0]), env=env, log=folder / "serve.log") as server,
            running("work", "--port", str(ports[1]), env=env, log=folder / "work.log") as worker,
        ):
            client = Client(ports[0], admin_token())
            await eventually(lambda: accepts(ports[0]))
            await eventually(client.ready)
            await worker.says("worker_started")
            yield client, Client(ports[1], "none")
            assert (server.process.returncode, worker.process.returncode) == (None, None)


async def test_processes_go_on_after_a_failover(pair: Pair, tmp_path: Path) -> None:
    async with processes(pair, tmp_path) as (client, probes), Receiver() as receiver:
        answer = await client.call("POST", "webhooks", json={"name": "good", "url": receiver.url})
        assert answer.status_code == 201, answer.text
        async with traffic(client) as made:
            await receiver.takes(20)
            await eventually(lambda: _metric(client, READS))
            share = await _share(client)
            lost_at = time.monotonic()
            await pair.primary.stop(signal.SIGKILL)
            await pair.replica.promote()
            promoted_at = time.monotonic()
            back_at = await eventually(lambda: made.back(promoted_at))
            await eventually(lambda: receiver.requests[-1].at > back_at)
            delivered_at = next(one.at for one in receiver.requests if one.at > promoted_at)
            await eventually(lambda: _metric(probes, "monitor_wakeups_connected"))
            # The former primary comes back as a replica, and serves reads.
            await pair.follow()
            served = await _metric(client, READS)
            await eventually(lambda: _rises(client, served))
        await eventually(lambda: made.accepted <= {UUID(id_) for id_ in receiver.ids})
    figures = {
        "promoted_after_s": promoted_at - lost_at,
        "api_back_s": back_at - promoted_at,
        "workers_back_s": delivered_at - promoted_at,
        "slowest_request_s": made.slowest_s(lost_at, promoted_at),
    }
    log.info("failover_measured", accepted=len(made.accepted), share_on_replica=share, **figures)
    assert made.posts.statuses <= {202, 503}
    assert made.lists.statuses <= {200, 503}
    assert None not in made.posts.retry_after | made.lists.retry_after
    assert figures["api_back_s"] < API_BACK_S
    assert figures["workers_back_s"] < WORKERS_BACK_S
    assert figures["slowest_request_s"] < FAST_S


async def _metric(client: Client, name: str) -> float:
    text = (await client.call("GET", "/metrics")).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def _rises(client: Client, since: float) -> bool:
    return await _metric(client, READS) > since


async def _share(client: Client) -> float:
    """Return which share of the heavy reads the replica served."""
    served = await _metric(client, READS)
    return served / (served + await _metric(client, "monitor_replica_reads_passed_on_total"))
