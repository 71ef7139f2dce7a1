"""The pools of one process, when it stops."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from monitor.adapters.postgres import wakeups
from monitor.adapters.postgres.engine import CLOSE_S, Database, DatabaseConfig
from monitor.adapters.postgres.repositories.events import CHANNEL
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import readiness
from monitor.domain.errors import Unavailable
from monitor.domain.ports.wakeups import DueWebhooks
from monitor.settings.schema import Db
from tests.integration.support import eventually, settings


async def test_closing_while_a_connection_is_given_back_leaves_no_failure_behind(database_url: str) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    database = Database(DatabaseConfig(database_url))
    await database.open()
    connection = await database.reads.acquire()
    giving_back = asyncio.create_task(database.reads.release(connection))
    # Far enough for the server to have been asked to reset it.
    for _ in range(3):
        await asyncio.sleep(0)
    giving_back.cancel()
    await database.close()
    await asyncio.gather(giving_back, return_exceptions=True)
    await asyncio.sleep(0)
    gc.collect()
    assert failures == []


async def test_closing_does_not_wait_for_a_query_that_hangs(database_url: str) -> None:
    database = Database(DatabaseConfig(database_url))
    await database.open()
    reads = database.reads
    hanging = asyncio.create_task(reads.fetch("SELECT pg_sleep(30)"))
    while not reads.get_size():
        await asyncio.sleep(0.01)
    started_at = time.monotonic()
    await database.close()
    assert time.monotonic() - started_at < CLOSE_S + 10
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await hanging


async def test_a_read_waits_for_a_connection_for_a_bounded_time(database_url: str) -> None:
    config = DatabaseConfig(database_url, read_pool=1, acquire_timeout_s=0.2)
    async with Database(config) as database, database.reads.acquire():
        started_at = time.monotonic()
        with pytest.raises(Unavailable, match="are in use"):
            await database.fetch("SELECT 1")
        assert time.monotonic() - started_at < 0.2 + 10


async def test_callers_that_hold_every_connection_leave_readiness_and_revocations_alone(database_url: str) -> None:
    brief = msgspec.structs.replace(settings(database_url), db=Db(read_pool=1, write_pool=1, acquire_timeout_s=0.5))
    async with Container(brief) as parts, parts.database.reads.acquire(), parts.unit_of_work():
        assert await readiness(parts) == []
        assert await parts.queries.revoked() == set()
        assert await parts.queries.destinations([]) == {}
        await parts.dispatcher.sweep()
        with pytest.raises(Unavailable, match="are in use"):
            await parts.unit_of_work().__aenter__()


class SilentProxy:
    """Passes bytes on to a database until ``silent``; then it takes them and answers nothing, as a firewall does."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._streams: list[asyncio.Event] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.dsn = urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=""))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()

    def silence(self) -> None:
        """Forget every connection that there is; new ones work."""
        for silent in self._streams:
            silent.set()

    async def _pass_on(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        silent = asyncio.Event()
        self._streams.append(silent)
        folder = parse_qs(self._parts.query).get("host")
        port = self._parts.port or 5432
        if folder:
            far_in, far_out = await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.{port}")
        else:
            far_in, far_out = await asyncio.open_connection(self._parts.hostname, port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                if not silent.is_set():
                    sink.write(data)

        await asyncio.wait(
            [asyncio.create_task(copy(near_in, far_out)), asyncio.create_task(copy(far_in, near_out))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        far_out.close()
        near_out.close()


async def test_wake_ups_come_again_after_a_connection_that_went_silent(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "ANSWER_S", 0.2)
    woken: list[DueWebhooks] = []
    async with SilentProxy(database_url) as proxy, Database(DatabaseConfig(proxy.dsn)) as database:
        listening = asyncio.create_task(wakeups.PostgresWakeups(database, probe_s=0.05).listen(woken.append))
        await eventually(lambda: database.listening)
        proxy.silence()
        await eventually(lambda: not database.listening)
        await eventually(lambda: database.listening)
        woken.clear()
        other = await asyncpg.connect(database_url)
        await other.execute(f"NOTIFY {CHANNEL}, '*'")
        await other.close()
        await eventually(lambda: woken)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
