"""Probes and metrics of `monitor work`, as a supervisor of processes and Prometheus read them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import PLAIN, production, run, running
from tests.integration.support import Receiver, eventually
from tests.servers import free_port

pytestmark = pytest.mark.processes


async def test_a_worker_says_that_it_works_and_counts_what_it_sends(
    database_url: str, own_redis_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    serving = free_port()
    token = (await run("token", "--role", "admin", "--subject", "ci", "--ttl", "1h", env=env)).out.strip()
    async with (
        running("serve", "--port", str(serving), env=env, log=tmp_path / "serve.log") as server,
        running("work", "--port", str(port), "--concurrency", "7", env=env, log=tmp_path / "work.log") as worker,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=PLAIN) as probes,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{serving}", headers={"Authorization": f"Bearer {token}"}, verify=PLAIN
        ) as api,
    ):
        await eventually(lambda: answers(probes), within_s=60)
        await eventually(lambda: answers(api), within_s=60)
        created = await api.post("/api/v1/webhooks", json={"name": "n", "url": receiver.url})
        assert created.status_code == 201, created.text
        accepted = await api.post("/api/v1/events", json={"type": "order.paid", "payload": {}})
        assert accepted.status_code == 202, accepted.text

        async def counted() -> bool:
            return 'monitor_worker_attempts_total{outcome="ok"} 1.0' in (await probes.get("/metrics")).text

        await eventually(counted, within_s=60)
        text = (await probes.get("/metrics")).text
        for line in (
            "monitor_worker_concurrency 7.0",
            "monitor_worker_attempts_in_flight 0.0",
            "monitor_worker_deliveries_held 0.0",
            "monitor_wakeups_connected 1.0",
            'monitor_background_task_up{task="worker.claim"} 1.0',
        ):
            assert line in text
        assert "monitor_sockets" not in text
        assert (await probes.get("/health/live")).json() == {"status": "live"}
        missing = await probes.get("/api/v1/webhooks")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        assert await worker.stop() == 0
        assert await server.stop() == 0
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    assert not [line for line in lines if line["level"] == "error"]


async def answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def test_a_worker_names_a_port_that_is_taken(database_url: str, tmp_path: Path) -> None:
    env = production(database_url)
    async with running("work", "--port", str(port := free_port()), env=env, log=tmp_path / "one.log") as worker:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=PLAIN) as probes:
            await eventually(lambda: answers(probes), within_s=60)
        second = await run("work", "--port", str(port), env=env)
        assert second.code != 0
        assert "choose another --port" in second.err
        assert await worker.stop() == 0
