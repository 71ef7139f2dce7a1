"""Refusals of a database: each is an outage that names its cause, keeps results and ends without a restart."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from monitor.adapters.embedded import EmbeddedPostgres
from monitor.adapters.embedded.server import SETTINGS
from monitor.adapters.postgres.engine import SESSION, Database, DatabaseConfig
from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from monitor.domain.monitoring.metrics import RollupBuilder
from monitor.domain.ports.repositories.attempts import MinuteRollup
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.vocab import Role
from monitor.settings.schema import Worker
from tests import samples
from tests.integration.lease_support import failing
from tests.integration.support import (
    API,
    WITHIN_S,
    Api,
    Receiver,
    api_of,
    assert_problem,
    eventually,
    execute,
    finished,
    settings,
    signer,
    working,
)
from tests.servers import free_port

EVENT = {"type": "order.paid", "payload": 1}


async def raised_by(parts: Container, code: str) -> str:
    """Return the detail of the outage that a statement with the SQLSTATE *code* is."""
    with pytest.raises(Unavailable) as caught:
        async with parts.unit_of_work() as uow:
            await uow.audit._connection.execute(  # type: ignore[attr-defined]
                f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$"
            )
    return caught.value.detail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("25006", "read-only"),
        ("28P01", "refuses the login"),
        ("28000", "refuses the login"),
        ("42501", "privilege"),
        ("3D000", "does not exist"),
        ("42P01", "lacks a table"),
        ("3F000", "lacks the schema"),
        ("42703", "lacks a column"),
        ("23514", "partition"),
        ("25P03", "waited too long"),
        ("55P03", "lock"),
        ("40P01", "another one"),
        ("53100", "disk is full"),
        ("53300", "no connection left"),
        ("57014", "longer than 5 s"),
        ("57P01", "ended the connection"),
        ("57P03", "starting"),
    ],
)
async def test_a_refusal_is_an_outage_that_names_its_cause(parts: Container, code: str, words: str) -> None:
    assert words in await raised_by(parts, code)


@pytest.mark.parametrize("code", ["22003", "22021", "23505", "23503"])
async def test_a_value_that_is_never_taken_is_no_outage(parts: Container, code: str) -> None:
    with pytest.raises(DataRejected):
        async with parts.unit_of_work() as uow:
            await uow.audit._connection.execute(  # type: ignore[attr-defined]
                f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$"
            )


@pytest.mark.parametrize(
    ("code", "status", "slug"),
    [("22003", 500, "internal"), ("23505", 500, "internal"), ("53100", 503, "unavailable")],
)
async def test_only_what_may_succeed_later_is_answered_with_503(
    api: Api, parts: Container, code: str, status: int, slug: str
) -> None:
    """A producer repeats what is answered with 503: for a value that is never taken, for ever."""
    async with failing(parts, "events", code):
        # Not by the call that holds answers to the document, which promises no 500.
        headers = {"Authorization": f"Bearer {signer(parts)(Role.PUBLISHER, 'ci')}"}
        response = await api.client.post(f"{API}/events", json=EVENT, headers=headers)
    assert_problem(response, status, slug)
    assert ("retry-after" in response.headers) == (status == 503)


async def test_an_argument_out_of_range_is_no_outage(parts: Container) -> None:
    with pytest.raises(DataRejected):
        await parts.database.fetch("SELECT $1::smallint", 1 << 20)


async def test_a_statement_that_takes_too_long_is_named_so(database_url: str) -> None:
    async with Database(DatabaseConfig(database_url, statement_timeout_ms=50)) as database:
        with pytest.raises(Unavailable, match=r"longer than 0.05 s"):
            await database.fetch("SELECT pg_sleep(30)")


async def test_a_database_that_is_not_there_does_not_answer() -> None:
    async with Database(DatabaseConfig("postgresql://monitor@127.0.0.1:9/monitor")) as database:
        with pytest.raises(Unavailable, match="does not answer"):
            await database.fetch("SELECT 1")
        with pytest.raises(Unavailable, match="does not answer"):
            await database.connect()


@asynccontextmanager
async def read_only(dsn: str) -> AsyncIterator[None]:
    """As after a failover to a standby."""
    name = urlsplit(dsn).path[1:]
    administrator = await asyncpg.connect(urlunsplit(urlsplit(dsn)._replace(path="/postgres")))
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    try:
        await administrator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await administrator.execute(cut)
        yield
    finally:
        await administrator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await administrator.close()


async def test_a_read_only_server_is_an_outage_and_nothing_is_sent_twice(
    own_api: Api, own_parts: Container, receiver: Receiver
) -> None:
    await own_api.create(receiver.url)
    go_on = asyncio.Event()
    polite = receiver.answer

    async def answer(received: object) -> object:
        await go_on.wait()
        return await polite(received)  # type: ignore[arg-type]

    receiver.answer = answer  # type: ignore[assignment]
    async with working(own_parts) as worker:
        ids = await own_api.publish(*range(5))
        await receiver.takes(5)
        async with read_only(own_parts.database.dsn):
            go_on.set()
            await eventually(lambda: not receiver.in_flight)
            # The first ones may meet a connection that has just ended.
            await eventually(lambda: names_read_only(own_api, "events", json=EVENT))
            await eventually(lambda: names_read_only(own_api, "/health/ready", role=None))
            assert worker.held == 5
        # Connections to the read-only server are not used again.
        rows = await finished(own_api, 5)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert sorted(receiver.ids) == sorted(ids)
    assert (await own_api.post("events", json=EVENT)).status_code == 202


async def names_read_only(api: Api, path: str, **options: Any) -> bool:
    """Whether the refusal of a call names the read-only server as its cause."""
    response = await api.call("POST" if options.get("json") else "GET", path, **options)
    return "read-only" in assert_problem(response, 503)["detail"]


async def test_a_refused_login_is_an_outage(own_parts: Container) -> None:
    parts = urlsplit(own_parts.database.dsn)
    dsn = urlunsplit(parts._replace(netloc=f"nobody_at_all:wrong@{parts.netloc.rpartition('@')[2]}"))
    async with Container(settings(dsn)) as refused, api_of(refused) as api:
        for response in (await api.post("events", json=EVENT), await api.get("/health/ready", role=None)):
            assert "refuses the login" in assert_problem(response, 503)["detail"]


@pytest.mark.parametrize("code", ["23514", "25P03", "42703", "55P03", "P0001"])
async def test_results_are_kept_until_they_can_be_written(
    own_api: Api, own_parts: Container, receiver: Receiver, code: str
) -> None:
    await own_api.create(receiver.url)
    brief = settings(own_parts.database.dsn, worker=Worker(lease_s=10, renew_s=0.2, poll_s=0.05))
    async with Container(brief) as own, working(own) as worker:
        async with failing(own_parts, "rollups_minute", code):
            ids = await own_api.publish(*range(5))
            await receiver.takes(5)
            await eventually(lambda: worker.held == 5 and not receiver.in_flight)
        rows = await finished(own_api, 5)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert sorted(receiver.ids) == sorted(ids)


async def test_a_column_that_is_added_stops_no_worker(own_api: Api, own_parts: Container, receiver: Receiver) -> None:
    await own_api.create(receiver.url)
    async with working(own_parts):
        await own_api.publish(1)
        await finished(own_api, 1)
        try:
            for table in ("webhooks", "webhook_lanes", "deliveries", "attempts"):
                await execute(own_parts, f"ALTER TABLE {table} ADD COLUMN added text")
            ids = await own_api.publish(*range(5))
            rows = await finished(own_api, 6)
        finally:
            for table in ("webhooks", "webhook_lanes", "deliveries", "attempts"):
                await execute(own_parts, f"ALTER TABLE {table} DROP COLUMN added")
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    assert len(receiver.requests) == 1 + len(ids)


async def test_a_transaction_that_is_left_open_holds_no_other_webhook_back(
    own_api: Api, own_parts: Container, receiver: Receiver
) -> None:
    await own_api.create(receiver.url)
    other = await samples.add_webhook(own_parts.unit_of_work, own_parts.clock, event_types=("other",))
    builder = RollupBuilder()
    builder.add("ok", 1.0)
    async with (
        Container(settings(own_parts.database.dsn)) as vanished,
        working(own_parts),
        vanished.unit_of_work() as uow,
    ):
        at = uow.now.replace(second=0, microsecond=0)
        await uow.attempts.add_minutes([MinuteRollup(other.id, at, builder.build())])
        started_at = time.monotonic()
        await own_api.publish(1)
        await finished(own_api, 1)
        assert time.monotonic() - started_at < 0.5 + 5
    assert len(receiver.requests) == 1


async def test_a_lane_whose_process_vanished_is_free_again(
    own_api: Api, own_parts: Container, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = UUID((await own_api.create(receiver.url))["id"])
    await own_api.publish(1)
    async with Database(DatabaseConfig(own_parts.database.dsn)) as vanished:
        with monkeypatch.context() as sooner:
            sooner.setitem(SESSION, "idle_in_transaction_session_timeout", "1s")
            connection = await vanished.engine.connect()
        await connection.execute(text("SELECT FROM webhook_lanes WHERE webhook_id = :id FOR UPDATE"), {"id": id_})
        # Its transaction stays open here: the server ends it.
        async with working(own_parts):
            (delivery,) = await finished(own_api, 1)
        await connection.invalidate()
        await connection.close()
    assert (delivery["state"], delivery["attempts"], len(receiver.requests)) == ("delivered", 1, 1)


@pytest.fixture
async def tcp_url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A PostgreSQL on a TCP port: on a socket file the server has no options of TCP to show."""
    port = free_port()
    monkeypatch.setitem(SETTINGS, "listen_addresses", "127.0.0.1")
    for module in ("monitor.adapters.embedded", "monitor.adapters.embedded.server"):
        monkeypatch.setattr(f"{module}.PORT", port)
    # Not tmp_path, whose name is too long for some sockets.
    with tempfile.TemporaryDirectory(prefix="monitor-") as base:
        async with EmbeddedPostgres(Path(base) / "data"):
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


async def test_every_session_finds_out_that_its_peer_is_gone(tcp_url: str) -> None:
    statement = f"SELECT name, setting FROM pg_settings WHERE name IN ({', '.join(map(repr, SESSION))})"
    async with Database(DatabaseConfig(tcp_url, acquire_timeout_s=WITHIN_S)) as database:
        async with database.engine.connect() as connection:
            rows = await connection.execute(text(statement))
            written: dict[str, str] = {row.name: row.setting for row in rows}
        raw = await database.connect()
        listening = dict(await raw.fetch(statement))
        await raw.close()
        read, reserved = [dict(await database.fetch(statement, reserved=reserved)) for reserved in (False, True)]
    assert written == listening == read == reserved == {
        "idle_in_transaction_session_timeout": "10000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "3",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "15000",
    }  # fmt: skip
