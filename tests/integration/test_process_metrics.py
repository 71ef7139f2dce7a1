"""`/metrics` of `monitor serve --processes`: whichever process answers, it counts for all, those that ended too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.processes import Client, production, run, running
from tests.integration.support import eventually
from tests.servers import free_port

pytestmark = pytest.mark.processes

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
HISTOGRAM = "monitor_http_request_seconds_count"
SCRAPE = (("method", "GET"), ("route", "/metrics"), ("status", "200"))
PROBE = (("method", "GET"), ("route", "/health/live"), ("status", "200"))


async def scrape(client: Client) -> Samples:
    # Each over a connection of its own, so that any process may take it.
    response = await client.call("GET", "/metrics")
    assert response.status_code == 200, response.text
    families = list(text_string_to_metric_families(response.text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def accumulated(samples: Samples) -> Samples:
    return {key: value for key, value in samples.items() if key[0].endswith(("_total", "_count", "_sum", "_bucket"))}


async def test_sums_never_fall_while_processes_answer_end_and_are_replaced(
    database_url: str, own_redis_url: str, tmp_path: Path
) -> None:
    env, port = production(database_url, REDIS_URL=own_redis_url), free_port()
    admin = (await run("token", "--role", "admin", "--subject", "ci", env=env)).out.strip()
    client = Client(port, admin)
    last: Samples = {}
    scrapes = 0

    async def scraped() -> Samples:
        nonlocal last, scrapes
        scrapes += 1
        samples = await scrape(client)
        fallen = {key for key, value in accumulated(last).items() if samples.get(key, -1) < value}
        assert not fallen
        # The last ones of other processes come within a second; none is counted twice.
        assert samples.get((HISTOGRAM, SCRAPE), 0) < scrapes
        last = samples
        return samples

    arguments = ("serve", "--port", str(port), "--processes", "3")
    async with running(*arguments, env=env, log=tmp_path / "serve.log") as server:
        await eventually(client.ready, within_s=90)

        async def covers(count: int) -> bool:
            return (await scraped())["monitor_processes", ()] == count

        await eventually(lambda: covers(3), within_s=60)
        for _ in range(20):
            assert (await client.call("GET", "/health/live")).status_code == 200
            await scraped()

        async def settled() -> bool:
            return (await scraped()).get((HISTOGRAM, PROBE)) == 20

        # Probes of other processes are written within a second.
        await eventually(settled)
        victim = psutil.Process(server.pid).children()[0]
        victim.kill()
        await eventually(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
        for _ in range(10):
            await scraped()
        await eventually(lambda: "process_died" in server.output)
        await eventually(lambda: len(psutil.Process(server.pid).children()) == 3)
        await eventually(lambda: covers(3), within_s=60)
        samples = await scraped()
        assert samples[HISTOGRAM, PROBE] == 20
        own = {dict(labels)["process"] for name, labels in samples if name == "monitor_cache_entries"}
        assert own == {"0", "1", "2"}
        # Of the installation, once and without the label.
        assert [labels for name, labels in samples if name == "monitor_deliveries_pending"] == [()]
        async with asyncio.timeout(60):
            assert await server.stop() == 0
    assert "Traceback" not in server.output
