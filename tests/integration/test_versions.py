"""
An older version beside this one on the schema of this one, as during a rolling upgrade: nothing fails, nothing is lost.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.integration.cache.processes import LONG
from tests.integration.processes import SOURCE, Client, Running, production, run, running
from tests.integration.support import Received, Receiver, eventually
from tests.servers import free_port

pytestmark = pytest.mark.migrations

ROOT = Path(__file__).parents[2]
OLDER = "485d56a"
"""A commit of this repository: the version that is being replaced."""

RUN_S = 60.0 if LONG else 15.0


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source folder of the older version."""
    packed = subprocess.run(
        ["git", "archive", OLDER, "src", "alembic"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        pytest.skip(f"the history of this checkout does not hold {OLDER}, the version to compare with")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return str(folder / "src")


async def sometimes(received: Received) -> web.Response:
    """Answer as receivers do: most is taken, some fails or is too much at once."""
    match received.number % 30:
        case 3 | 13:
            return web.Response(status=503)
        case 16:
            return web.Response(status=429, headers={"Retry-After": "1"})
        case 8 | 28:
            return web.Response(status=422)
    return web.Response(text="thank you")


class Upgrade:
    """Callers of one server, each answer of which is kept, and the logs of all processes."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self._port = free_port()
        self.failures: list[str] = []
        self.published: list[str] = []
        self.client: Client

    def environment(self, source: str) -> dict[str, str]:
        return production(self._dsn, WORKER__POLL_S="0.2") | {"PYTHONPATH": source}

    async def migrate(self, source: str) -> None:
        done = await run("migrate", env=self.environment(source))
        assert done.code == 0, done.err

    @asynccontextmanager
    async def process(self, command: str, source: str) -> AsyncIterator[Running]:
        """Run ``serve`` or ``work`` of one version; it must stop as asked, and its log hold no traceback."""
        arguments = ("serve", "--port", str(self._port)) if command == "serve" else ("work",)
        log = self._folder / f"{command}.log"
        async with running(*arguments, env=self.environment(source), log=log) as process:
            if command == "serve":
                token = await run(
                    "token", "--role", "admin", "--subject", "ci", "--ttl", "1h", env=self.environment(source)
                )
                self.client = Client(self._port, token.out.strip())
                await eventually(self.client.ready)
            else:
                await process.says("worker_started")
            yield process
            assert await process.stop() == 0, process.output
            assert "Traceback" not in process.output, process.output

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = await self.client.call(method, path, **options)
        if response.status_code >= 500:
            self.failures.append(f"{method} {path}: {response.status_code} {response.text}")
        return response

    async def publish(self, number: int) -> None:
        event = {"type": "order.paid", "payload": {"n": number}, "labels": {"team": "a"}}
        events = [event] * (number % 3 + 1)
        key: Mapping[str, str] = {"Idempotency-Key": str(number)} if number % 2 else {}
        for _ in range(2 if key else 1):
            response = await self.call("POST", "events", json={"events": events}, headers=key)
        assert response.status_code == 202, response.text
        self.published += [event["id"] for event in response.json()["events"]]

    async def operate(self, webhook: str, number: int) -> None:
        """Do what an operator does, and read what a page reads."""
        change = {"name": f"n{number}", "timeout_s": 5 + number % 5}
        for method, path, options in (
            ("PATCH", f"webhooks/{webhook}", {"json": change}),
            ("POST", f"webhooks/{webhook}/pause", {}),
            ("GET", f"webhooks/{webhook}", {}),
            ("POST", f"webhooks/{webhook}/resume", {}),
            ("POST", f"webhooks/{webhook}/rotate-secret", {"json": {"overlap_s": 0}}),
            ("POST", f"webhooks/{webhook}/test", {}),
            ("GET", f"webhooks/{webhook}/attempts?limit=20", {}),
            ("GET", f"webhooks/{webhook}/metrics", {}),
            *(("GET", path, {}) for path in ("webhooks", "deliveries", "events", "alerts", "dashboard", "audit-log")),
        ):
            response = await self.call(method, path, **options)  # type: ignore[arg-type]
            assert response.status_code < 400, f"{method} {path}: {response.text}"
        for delivery in (await self.client.read("deliveries?limit=3"))["items"]:
            await self.call("GET", f"deliveries/{delivery['id']}")
            await self.call("POST", f"deliveries/{delivery['id']}/retry")


@pytest.mark.parametrize(("first", "second"), [("work", "serve"), ("serve", "work")], ids=["old worker", "old server"])
async def test_two_versions_work_side_by_side(
    empty_database_url: str, tmp_path: Path, older: str, first: str, second: str
) -> None:
    upgrade = Upgrade(empty_database_url, tmp_path)
    async with Receiver(sometimes) as receiver, Receiver() as ordered, AsyncExitStack() as stack:
        await upgrade.migrate(older)
        await stack.enter_async_context(upgrade.process(first, older))
        await upgrade.migrate(SOURCE)
        await stack.enter_async_context(upgrade.process(second, SOURCE))
        retry = {"schedule_s": [0, *[0.5] * 11], "jitter_ratio": 0}
        created = [
            await upgrade.call("POST", "webhooks", json={"name": "x", "url": url, "retry": retry, **more})
            for url, more in (
                (receiver.url, {"rate_limit": {"per_s": 200, "burst": 200}, "headers": {"X-Team": "a"}}),
                (ordered.url, {"ordered": True}),
            )
        ]
        ids = [response.json()["id"] for response in created]
        until = time.monotonic() + RUN_S
        for number in itertools.count():
            await upgrade.publish(number)
            if number % 5 == 0:
                await upgrade.operate(ids[number // 5 % 2], number)
            if time.monotonic() > until:
                break
            await asyncio.sleep(0.05)

        async def done() -> bool:
            return not (await upgrade.client.read("deliveries?state=pending&limit=1"))["items"]

        await eventually(done)
        assert set(upgrade.published) <= set(receiver.ids) & set(ordered.ids)
        for state in ("failed", "quarantined"):
            assert (await upgrade.client.read(f"deliveries?state={state}"))["items"] == []
    assert upgrade.failures == []
