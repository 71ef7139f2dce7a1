"""Replays over HTTP, to a receiver that is back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.integration.support import ONCE, Api, Received, Receiver, assert_problem, eventually, working

UNKNOWN = "01900000-0000-7000-8000-000000000000"


def last_hour(**members: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat(), **members}


async def test_what_failed_while_the_receiver_was_down_arrives_after_a_replay(api: Api, parts: Container) -> None:
    down = True

    async def answer(_: Received) -> web.Response:
        return web.Response(status=500 if down else 200)

    async with Receiver(answer) as receiver, working(parts):
        webhook = await api.create(receiver.url, retry=ONCE)
        events = await api.publish(1, 2, 3)
        failed = {"webhook_id": webhook["id"], "state": "failed"}

        async def all_failed() -> bool:
            return len(await api.ids("deliveries", **failed)) == 3

        await eventually(all_failed)
        down = False
        path = f"webhooks/{webhook['id']}/replay"
        counted = await api.post(path, json=last_hour(dry_run=True), role=Role.OPERATOR)
        assert (counted.status_code, counted.json()) == (200, {"count": 3})
        started = await api.post(path, json=last_hour(), role=Role.OPERATOR)
        assert started.status_code == 202
        assert started.headers["location"] == f"/api/v1/replays/{started.json()['id']}"
        await JobCommands(parts.unit_of_work).run()

        async def delivered() -> bool:
            return len(await api.ids("deliveries", webhook_id=webhook["id"], state="delivered")) == 3

        await eventually(delivered)
    progress = await api.read(f"replays/{started.json()['id']}", role=Role.VIEWER)
    assert (progress["state"], progress["total"], progress["queued"]) == ("done", 3, 3)
    assert {request.headers["webhook-id"] for request in receiver.requests[3:]} == set(events)


async def test_the_workers_carry_replays_out(parts: Container) -> None:
    _, job = build_scheduler(parts).jobs["run_jobs"]
    assert job.__qualname__ == "JobCommands.run"


async def test_a_replay_that_cannot_be_is_refused(api: Api) -> None:
    webhook = await api.create("http://127.0.0.1:9/")
    path = f"webhooks/{webhook['id']}/replay"
    assert_problem(await api.post(f"webhooks/{UNKNOWN}/replay", json=last_hour()), 404, "not_found")
    assert_problem(await api.get(f"replays/{UNKNOWN}"), 404, "not_found")
    assert_problem(await api.post(path, json=last_hour(states=["pending"])), 422, "invalid")
    assert_problem(await api.post(path, json=last_hour(states=[])), 422)
    assert_problem(await api.post(path, json=last_hour(to="2020-01-01T00:00:00Z")), 422, "invalid")
    assert_problem(await api.post(path, json={}), 422)
    assert_problem(await api.post(path, json=last_hour(), role=Role.VIEWER), 403)
    assert_problem(await api.post(path, json=last_hour(), role=Role.PUBLISHER), 403)
