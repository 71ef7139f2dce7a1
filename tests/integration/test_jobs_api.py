"""Jobs over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from monitor.adapters.postgres.queue import PostgresDeliveryQueue
from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from monitor.domain.services import jobs as service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.fakes.trouble import Trouble
from tests.integration.support import Api, assert_problem, sql
from tests.integration.test_bounded import ADD_WAITING, add

URL = "http://127.0.0.1:9/"
UNKNOWN = "01900000-0000-7000-8000-000000000000"


async def replay(api: Api, webhook_id: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    body = {"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat(), "states": ["failed"]}
    started: dict[str, Any] = (await api.post(f"webhooks/{webhook_id}/replay", json=body)).json()
    return started


async def test_a_replay_is_a_job_that_can_be_read_and_cancelled(api: Api) -> None:
    webhook = await api.create(URL)
    first, second = [await replay(api, webhook["id"]) for _ in range(2)]
    assert await api.ids("jobs") == [second["id"], first["id"]]
    job = await api.read(f"jobs/{first['id']}", role=Role.VIEWER)
    assert (job["kind"], job["state"], job["done"], job["total"]) == ("replay", "running", 0, 0)
    assert job["parameters"]["webhook_id"] == webhook["id"]
    cancelled = [(await api.post(f"jobs/{first['id']}/cancel", role=Role.OPERATOR)).json() for _ in range(2)]
    assert {one["state"] for one in cancelled} == {"cancelled"}
    assert (await api.read(f"replays/{first['id']}"))["state"] == "cancelled"
    assert await api.ids("jobs", state="running") == [second["id"]]
    assert [ids async for page in api.pages("jobs", limit=1) for ids in page] != []


async def test_what_cannot_be_is_refused(api: Api) -> None:
    assert_problem(await api.get(f"jobs/{UNKNOWN}"), 404, "not_found")
    assert_problem(await api.post(f"jobs/{UNKNOWN}/cancel"), 404, "not_found")
    assert_problem(await api.get("jobs", params={"state": "paused"}), 400)
    assert_problem(await api.get("jobs", params={"cursor": "x"}), 400)


async def test_workers_that_are_stopped_anywhere_lose_and_repeat_nothing(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHUNK", 10)
    webhook = await api.create(URL)
    await add(parts, ADD_WAITING, webhook["id"], 2_000)
    assert (await api.call("DELETE", f"webhooks/{webhook['id']}")).status_code == 204
    (job,) = (await api.read("jobs"))["items"]
    jobs, stops = JobCommands(parts.unit_of_work), 0
    while job["state"] == "running":
        workers = [asyncio.create_task(jobs.run()) for _ in range(3)]
        # The first rounds are stopped early, at another place each.
        await asyncio.wait(workers, timeout=0.02 + 0.007 * stops)
        for worker in workers:
            worker.cancel()
        stops += 1
        await asyncio.gather(*workers, return_exceptions=True)
        job = await api.read(f"jobs/{job['id']}")
    assert (job["state"], job["done"]) == ("done", 2_000)
    async with sql(parts) as db:
        assert await db.fetchval("SELECT count(*) FROM deliveries") == 0
        assert await db.fetchval("SELECT count(*) FROM deliveries_finished WHERE state = 'cancelled'") == 2_000


async def test_a_connection_that_is_lost_in_a_chunk_is_no_error_of_the_job(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = await api.create(URL)
    await add(parts, ADD_WAITING, webhook["id"], service.CHUNK + 1)
    assert (await api.call("DELETE", f"webhooks/{webhook['id']}")).status_code == 204
    jobs = JobCommands(parts.unit_of_work)
    for raised, error in (
        (asyncpg.ConnectionDoesNotExistError("lost"), None),
        (asyncpg.DeadlockDetectedError("deadlock"), None),
        (KeyError("a bug"), "KeyError"),
    ):
        with monkeypatch.context() as patched:
            Trouble(patched, PostgresDeliveryQueue, "cancel_waiting", raised, "after", times=1)
            with pytest.raises(KeyError if error else Unavailable):
                await jobs.step()
        (job,) = (await api.read("jobs"))["items"]
        assert (job["state"], job["done"], (job["error"] or "")[:8]) == ("running", service.CHUNK, error or "")
