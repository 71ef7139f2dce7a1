"""Bulk retries, cancellations and resending over HTTP, with workers and real receivers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.services import jobs as service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.integration.support import ONCE, Api, Received, Receiver, assert_problem, eventually, sql, working
from tests.integration.test_bounded import ADD_WAITING, add

URL = "http://127.0.0.1:9/"


async def start(api: Api, action: str, filter_: dict[str, Any], **members: Any) -> dict[str, Any]:
    body = {"action": action, "filter": filter_, **members}
    answer = await api.post("deliveries/bulk", json=body, role=Role.OPERATOR)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    return job


async def count(api: Api, number: int, **params: Any) -> bool:
    return len(await api.ids("deliveries", limit=200, **params)) == number


async def test_what_failed_at_several_webhooks_arrives_once_after_a_bulk_retry(api: Api, parts: Container) -> None:
    down = True

    async def answer(_: Received) -> web.Response:
        return web.Response(status=503 if down else 200)

    async with Receiver(answer) as one, Receiver(answer) as two, Receiver(answer) as other, working(parts):
        for receiver, labels in ((one, {"team": "a"}), (two, {"team": "a"}), (other, {})):
            await api.create(receiver.url, retry=ONCE, labels=labels)
        events = await api.publish(1, 2, 3, labels={"team": "a"})
        await eventually(lambda: count(api, 9, state="failed"))
        down = False
        chosen = {"state": "failed", "error": "503", "label": "team=a", "event_type": "order.*"}
        body = {"action": "retry", "filter": chosen, "dry_run": True}
        counted = await api.post("deliveries/bulk", json=body, role=Role.OPERATOR)
        assert (counted.status_code, counted.json()) == (200, {"count": 6, "complete": True})
        job = await start(api, "retry", chosen)
        assert (job["kind"], job["state"], job["total"], job["done"]) == ("bulk_retry", "running", 6, 0)
        assert job["parameters"]["filter"].items() >= chosen.items()
        await JobCommands(parts.unit_of_work).run()
        await eventually(lambda: count(api, 6, state="delivered"))
        await eventually(lambda: count(api, 0, state="pending"))
        assert await count(api, 3, state="failed")
    for receiver in (one, two):
        assert Counter(receiver.ids) == dict.fromkeys(events, 2)
    assert Counter(other.ids) == dict.fromkeys(events, 1)
    over = await api.read(f"jobs/{job['id']}", role=Role.VIEWER)
    assert (over["state"], over["done"]) == ("done", 6)
    (row,) = [row for row in (await api.read("audit-log"))["items"] if row["action"] == "deliveries.retry"]
    assert (row["target"], row["after"]["total"]) == (f"job:{job['id']}", 6)


async def test_delivered_ones_are_sent_again_on_request_only(api: Api, receiver: Receiver, parts: Container) -> None:
    await api.create(receiver.url)
    async with working(parts):
        events = await api.publish(1, 2)
        await eventually(lambda: count(api, 2, state="delivered"))
        await start(api, "retry", {}, all=True)
        await start(api, "resend", {"state": "delivered", "status_code": 200})
        await JobCommands(parts.unit_of_work).run()
        await receiver.takes(4)
        await eventually(lambda: count(api, 2, state="delivered"))
    assert Counter(receiver.ids) == dict.fromkeys(events, 2)


async def test_what_waits_at_three_webhooks_is_cancelled_and_nothing_else(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    paused = [await api.create(receiver.url, labels={"old": "yes"}) for _ in range(3)]
    await api.create(receiver.url)
    for webhook in paused:
        await api.post(f"webhooks/{webhook['id']}/pause")
    events = await api.publish(1, 2, labels={"old": "yes"})
    job = await start(api, "cancel", {"label": "old"})
    await JobCommands(parts.unit_of_work).run()
    assert (await api.read(f"jobs/{job['id']}"))["done"] == 6
    for webhook in paused:
        assert await count(api, 2, webhook_id=webhook["id"], state="cancelled")
        await api.post(f"webhooks/{webhook['id']}/resume")
    async with working(parts):
        await receiver.takes(2)
        await eventually(lambda: count(api, 0, state="pending"))
    assert Counter(receiver.ids) == dict.fromkeys(events, 1)


async def test_an_ordered_webhook_gets_what_is_retried_in_order(api: Api, receiver: Receiver, parts: Container) -> None:
    down = True

    async def answer(_: Received) -> web.Response:
        return web.Response(status=422 if down else 200)

    receiver.answer = answer
    await api.create(receiver.url, retry=ONCE, ordered=True)
    async with working(parts):
        events = await api.publish(*range(10))
        await eventually(lambda: count(api, 10, state="failed"))
        down, sent = False, len(receiver.requests)
        await start(api, "retry", {"state": "failed"})
        await JobCommands(parts.unit_of_work).run()
        await eventually(lambda: count(api, 10, state="delivered"))
    assert receiver.ids[sent:] == events


async def test_workers_that_are_stopped_between_chunks_lose_and_repeat_nothing(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHUNK", 10)
    webhook = await api.create(URL)
    await add(parts, ADD_WAITING, webhook["id"], 1_000)
    job = await start(api, "cancel", {"webhook_id": webhook["id"]})
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
    assert (job["state"], job["done"], job["total"]) == ("done", 1_000, 1_000)
    async with sql(parts) as db:
        assert await db.fetchval("SELECT count(*) FROM deliveries") == 0
        assert await db.fetchval("SELECT count(*) FROM deliveries_finished WHERE state = 'cancelled'") == 1_000


@pytest.mark.parametrize("lock", ["lane", "row"])
async def test_what_another_transaction_has_is_skipped_and_changed_later(lock: str, api: Api, parts: Container) -> None:
    held, free = [await api.create(URL) for _ in range(2)]
    await api.publish(1, 2)
    job = await start(api, "cancel", {"state": "pending"})
    jobs = JobCommands(parts.unit_of_work)
    async with sql(parts) as db, db.transaction():
        statement = {
            "lane": "SELECT FROM webhook_lanes WHERE webhook_id = $1 FOR UPDATE",
            "row": "SELECT FROM deliveries WHERE webhook_id = $1 FOR UPDATE",
        }[lock]
        await db.execute(statement, held["id"])
        for _ in range(3):
            assert await jobs.step()
        assert await count(api, 2, webhook_id=free["id"], state="cancelled")
        assert await count(api, 2, webhook_id=held["id"], state="pending")
        assert (await api.read(f"jobs/{job['id']}"))["state"] == "running"
    await jobs.run()
    assert await count(api, 4, state="cancelled")
    assert (await api.read(f"jobs/{job['id']}"))["done"] == 4


async def test_a_job_can_be_cancelled(api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)
    await api.create(URL)
    await api.publish(*range(5))
    job = await start(api, "cancel", {}, all=True)
    jobs = JobCommands(parts.unit_of_work)
    await jobs.step()
    assert (await api.post(f"jobs/{job['id']}/cancel", role=Role.OPERATOR)).json()["done"] == 2
    await jobs.run()
    assert await count(api, 3, state="pending")


async def test_what_cannot_be_is_refused(api: Api) -> None:
    def with_filter(**conditions: Any) -> dict[str, Any]:
        return {"action": "retry", "filter": conditions}

    refused = assert_problem(await api.post("deliveries/bulk", json=with_filter()), 422, "invalid")
    assert refused["errors"] == [
        {
            "pointer": "/filter",
            "detail": 'Give a condition, such as "state": "failed"; or "all": true to mean every delivery.',
        }
    ]
    for body in (
        {"action": "retry"},
        {"action": "remove", "filter": {"state": "failed"}},
        {"action": "cancel", "filter": {"state": "failed"}},
        {"action": "resend", "filter": {"state": "pending"}},
        {"action": "retry", "filter": {"state": "failed"}, "all": True},
        with_filter(stat="failed"),
        with_filter(error="nonsense"),
        with_filter(status_code=99),
        with_filter(event_type="*"),
        with_filter(webhook_id="x"),
        with_filter(**{"from": "2026-01-01T00:00:00"}),
        with_filter(**{"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
    ):
        assert_problem(await api.post("deliveries/bulk", json=body), 422)
    for role in (Role.VIEWER, Role.PUBLISHER):
        assert_problem(await api.post("deliveries/bulk", json=with_filter(state="failed"), role=role), 403)
    assert await api.ids("jobs") == []
