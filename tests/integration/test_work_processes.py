"""`monitor work --processes`: workers that are replaced, stopped together and counted together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.processes import PLAIN, Running, production, running
from tests.integration.support import eventually
from tests.servers import free_port

pytestmark = pytest.mark.processes


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def pair(database_url: str, own_redis_url: str, port: int, tmp_path: Path) -> AsyncIterator[Running]:
    env = production(database_url, REDIS_URL=own_redis_url)
    arguments = ("work", "--processes", "2", "--concurrency", "7", "--port", str(port))
    async with running(*arguments, env=env, log=tmp_path / "work.log") as group:
        await eventually(lambda: group.output.count("worker_started") == 2, within_s=180)
        yield group


async def metrics(port: int) -> str:
    # Any of the workers may take the connection, so each reading is one of its own.
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=PLAIN) as probes:
        return (await probes.get("/metrics")).text


async def test_a_worker_that_dies_is_replaced_and_all_are_stopped_together(pair: Running, port: int) -> None:
    parent = psutil.Process(pair.pid)
    victim, other = parent.children()

    async def both_answer() -> bool:
        text = await metrics(port)
        return all(line in text for line in ("monitor_processes 2.0", *of_each))

    of_each = [f'monitor_worker_concurrency{{process="{slot}"}} 7.0' for slot in (0, 1)]
    await eventually(both_answer, within_s=90)
    victim.kill()
    await eventually(lambda: pair.output.count("worker_started") == 3, within_s=180)
    family = parent.children()
    assert len(family) == 2
    assert other in family
    assert await pair.stop() == 0
    assert not any(child.is_running() for child in family)
    assert pair.output.count('"drained"') == 2


async def test_workers_of_a_parent_that_is_killed_drain_and_end(pair: Running) -> None:
    family = psutil.Process(pair.pid).children()
    assert len(family) == 2
    pair.process.kill()
    await eventually(lambda: not any(child.is_running() for child in family), within_s=90)
    assert pair.output.count('"drained"') == 2
