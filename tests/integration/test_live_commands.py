"""The live feed of `monitor serve`, as production runs it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from monitor.adapters.clock import SystemClock
from monitor.domain.alerts.alert import AlertKind
from monitor.domain.events import AlertRaised
from monitor.domain.vocab import Severity
from tests.integration.live_support import close_of, receive
from tests.integration.processes import Client, Running, production, run, running
from tests.integration.support import eventually, lost_after_commit
from tests.servers import free_port

pytestmark = pytest.mark.processes


async def watch_the_end(server: Running, port: int, token: str) -> None:
    """Open two sockets, stop the server, and see them closed."""
    url, headers = f"ws://127.0.0.1:{port}/ws/dashboard", {"Authorization": f"Bearer {token}"}
    async with (
        connect(url, additional_headers=headers, proxy=None) as one,
        connect(url, additional_headers=headers, proxy=None) as two,
    ):
        first, second = await receive(one), await receive(two)
        assert first["type"] == second["type"] == "snapshot"
        assert set(first["data"]) >= {"overview", "webhooks", "alerts", "anomalies"}
        assert first["epoch"] == second["epoch"]
        server.process.send_signal(signal.SIGTERM)
        assert [(await close_of(socket))[0] for socket in (one, two)] == [1012, 1012]
    async with asyncio.timeout(30):
        await server.process.wait()


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_server_shows_the_dashboard_and_says_good_bye_when_it_stops(
    processes: int, database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    token = (await run("token", "--role", "viewer", "--subject", "ci", "--ttl", "1h", env=env)).out.strip()
    client = Client(port, token)
    arguments = ("serve", "--port", str(port), "--processes", str(processes))
    async with running(*arguments, env=env, log=tmp_path / "serve.log") as server:
        try:
            await eventually(client.ready, within_s=60)
            await watch_the_end(server, port, token)
        finally:
            # Killed, the parent would leave its children behind.
            if server.process.returncode is None:
                await server.stop()
        assert server.process.returncode == 0
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    assert sum(line["event"] == "live_opened" for line in lines) == 2
    assert token not in server.output


async def test_what_a_process_did_not_live_to_tell_is_in_a_new_snapshot(
    database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    token = (await run("token", "--role", "viewer", "--subject", "ci", "--ttl", "1h", env=env)).out.strip()
    client = Client(port, token)
    async with running("serve", "--port", str(port), env=env, log=tmp_path / "serve.log") as server:
        await eventually(client.ready, within_s=60)
        url, headers = f"ws://127.0.0.1:{port}/ws/dashboard", {"Authorization": f"Bearer {token}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket, asyncio.timeout(30):
            first = await receive(socket)
            async with lost_after_commit(database_url) as uow:
                about = SystemClock().new_id()
                uow.record(AlertRaised(about, about, AlertKind.FAILING, Severity.CRITICAL, "Lost"))
                await uow.commit()
            while (second := await receive(socket))["type"] != "snapshot":
                pass
        assert second["epoch"] != first["epoch"]
        assert await server.stop() == 0
