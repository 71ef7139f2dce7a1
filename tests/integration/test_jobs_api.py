"""Jobs over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.domain.vocab import Role
from tests.integration.support import Api, assert_problem

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
