"""A log that cannot be written costs log lines and nothing else: every delivery is settled, every probe answered."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from tests.integration.processes import Client, Invoke, jti_of, production, run_inside
from tests.integration.support import Api, Received, Receiver, eventually
from tests.servers import free_port

EVENTS = 200


@asynccontextmanager
async def unwritable(how: str) -> AsyncIterator[int]:
    """Yield a descriptor to which no log line can be written: a full disk, or a pipe whose reader has gone."""
    if how == "full disk":
        fd = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, fd = os.pipe()
        os.close(reader)
    try:
        yield fd
    finally:
        os.close(fd)


@asynccontextmanager
async def started(*arguments: str, env: Mapping[str, str], stderr: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", *arguments, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(60):
            assert await process.wait() == 0


async def settled(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'")
        return count
    finally:
        await connection.close()


@pytest.mark.parametrize("how", ["full disk", "closed pipe"])
async def test_every_delivery_is_settled_and_revocation_works(
    how: str, database_url: str, own_redis_url: str, receiver: Receiver, invoke: Invoke
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    admin = (await run_inside(invoke, "token", "--role", "admin", "--subject", "ci", env=env)).out.strip()
    other = (await run_inside(invoke, "token", "--role", "viewer", "--subject", "other", env=env)).out.strip()
    client, visitor = Client(port, admin), Client(port, other)
    async with (
        unwritable(how) as stderr,
        started("serve", "--port", str(port), env=env, stderr=stderr),
        started("work", env=env, stderr=stderr),
    ):
        await eventually(client.ready, within_s=120)
        made = {"name": "hook", "url": receiver.url, "event_types": ["*"], "max_concurrency": 50}
        assert (await client.call("POST", "webhooks", json=made)).status_code == 201
        batch = {"events": [{"type": "order.paid", "payload": {"n": n}} for n in range(EVENTS)]}
        assert (await client.call("POST", "events", json=batch)).status_code == 202

        async def all_settled() -> bool:
            return await settled(database_url) == EVENTS

        await eventually(all_settled, within_s=120)
        assert len(receiver.requests) == EVENTS

        assert (await visitor.call("GET", "webhooks")).status_code == 200
        assert (await run_inside(invoke, "token", "--revoke", jti_of(other), env=env)).code == 0

        async def refused() -> bool:
            return (await visitor.call("GET", "webhooks")).status_code == 401

        await eventually(refused, within_s=30)
        assert await client.ready()
        metrics = (await client.call("GET", "/metrics")).text
        (dropped,) = [line for line in metrics.splitlines() if line.startswith("monitor_log_writes_dropped_total")]
        assert float(dropped.split()[-1]) > 0


@pytest.mark.parametrize("how", ["full disk", "closed pipe"])
async def test_a_worker_that_stops_releases_what_it_holds(
    how: str, own_api: Api, own_parts: Container, receiver: Receiver
) -> None:
    """Its first line about stopping comes before anything is released."""

    async def never(_: Received) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    receiver.answer = never
    await own_api.create(receiver.url, max_concurrency=50)
    await own_api.publish(*range(50))
    env = production(own_parts.database.dsn, WORKER__DRAIN_S="0.5", WORKER__CONCURRENCY="10")
    async with unwritable(how) as stderr, started("work", env=env, stderr=stderr):
        await eventually(lambda: receiver.in_flight == 10, within_s=120)
        (row,) = await own_parts.database.fetch("SELECT count(leased_by) AS held FROM deliveries")
        assert row["held"] >= 10
    (row,) = await own_parts.database.fetch(
        "SELECT count(*) AS n, count(leased_by) AS held, sum(attempts) AS attempts, sum(crashes) AS crashes"
        " FROM deliveries WHERE due_at <= now()"
    )
    assert tuple(row) == (50, 0, 0, 0)
