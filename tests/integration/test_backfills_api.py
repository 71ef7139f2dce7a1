"""Backfills and resends over HTTP, to a real receiver."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.delivery import backfill
from monitor.domain.services import jobs as job_service
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests.integration.support import Api, Receiver, answering, assert_problem, eventually, execute, sql, working
from tests.integration.test_reenable import gone

UNKNOWN = "01900000-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    # Events are old enough at once; that they are waited for is tested with a clock.
    monkeypatch.setattr(backfill, "COMMITTED_S", 0.0)
    monkeypatch.setattr(job_service, "CHUNK", 2)


def spec(**members: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    range_ = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    return {"source": "events", **range_, **members}


async def run_jobs(parts: Container, api: Api) -> None:
    async def is_over() -> bool:
        await JobCommands(parts.unit_of_work).run()
        return not await api.ids("jobs", state="running")

    await eventually(is_over)


async def pairs(parts: Container) -> list[tuple[str, str]]:
    async with sql(parts) as db:
        rows = await db.fetch(
            "SELECT event_id, webhook_id FROM deliveries UNION ALL SELECT event_id, webhook_id FROM deliveries_finished"
        )
    return [(str(row["event_id"]), str(row["webhook_id"])) for row in rows]


async def test_what_found_a_webhook_disabled_arrives_once_after_it_was_enabled_with_a_backfill(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await gone(api, parts, receiver)
    [refused] = receiver.ids
    missed = await api.publish(*range(5))
    disabled_at = (await api.read(f"webhooks/{created['id']}"))["disabled_at"]
    counted = await api.post(f"webhooks/{created['id']}/replay", json=spec(dry_run=True, **{"from": disabled_at}))
    assert counted.json() == {"count": 5}
    receiver.answer = answering(200)
    enabled = await api.call("PATCH", f"webhooks/{created['id']}", json={"enabled": True, "backfill": True})
    assert enabled.status_code == 200, enabled.text
    [later] = await api.publish("later")
    job = enabled.json()["backfill_job"]
    assert "backfill_job" not in await api.read(f"webhooks/{created['id']}")
    # Of the same version; the rest of the tag is that of the backlog, too.
    tags = [one.headers["etag"].partition(".") for one in (enabled, await api.get(f"webhooks/{created['id']}"))]
    assert tags[0][0] == tags[1][0]
    async with working(parts):
        await run_jobs(parts, api)
        await receiver.takes(7)
    assert sorted(receiver.ids) == sorted([refused, *missed, later])
    progress = await api.read(f"replays/{job}")
    assert (progress["source"], progress["state"], progress["queued"], progress["total"]) == ("events", "done", 5, None)
    assert (await api.read(f"jobs/{job}"))["kind"] == "backfill"
    actions = [row["action"] for row in (await api.read("audit-log"))["items"]]
    assert actions[:2] == ["webhook.replay", "webhook.update"]


async def test_a_backfill_needs_a_webhook_that_is_being_enabled(api: Api) -> None:
    created = await api.create("http://127.0.0.1:9/")
    path = f"webhooks/{created['id']}"
    for changes in ({"backfill": True}, {"enabled": True, "backfill": True}, {"enabled": False, "backfill": True}):
        problem = assert_problem(await api.call("PATCH", path, json=changes), 422, "invalid")
        assert [error["pointer"] for error in problem["errors"]] == ["/backfill"]
    await api.call("PATCH", path, json={"enabled": False})
    await api.call("PATCH", path, json={"description": "Later than its end."})
    whole = {"name": "test", "url": "http://127.0.0.1:9/", "backfill": True}
    replaced = await api.call("PUT", path, json=whole)
    assert "backfill_job" in replaced.json()
    assert replaced.json()["disabled_at"] is None


async def test_backfills_side_by_side_with_a_fan_out_make_each_delivery_once(
    api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.domain.services.fan_outs.REQUEST_MAX", 3)
    monkeypatch.setattr("monitor.domain.services.fan_outs.CHUNK", 1)
    events = await api.publish("before any webhook")
    webhooks = [(await api.create("http://127.0.0.1:9/"))["id"] for _ in range(4)]
    # More than a request makes: workers are to make them, one by one.
    events += await api.publish("fanned out")
    assert len(await pairs(parts)) == 0
    for webhook_id in webhooks[1:3] * 2:
        started = await api.post(f"webhooks/{webhook_id}/replay", json=spec(), role=Role.OPERATOR)
        assert started.status_code == 202, started.text

    async def fan_outs() -> None:
        while await FanOutCommands(parts.unit_of_work).step() is not None:
            pass

    await asyncio.gather(run_jobs(parts, api), run_jobs(parts, api), fan_outs())
    wanted = [(events[1], id_) for id_ in webhooks] + [(events[0], id_) for id_ in webhooks[1:3]]
    assert sorted(await pairs(parts)) == sorted(wanted)


async def test_a_backfill_that_is_killed_between_chunks_goes_on(api: Api, parts: Container) -> None:
    events = await api.publish(*range(5))
    webhook = await api.create("http://127.0.0.1:9/")
    await api.post(f"webhooks/{webhook['id']}/replay", json=spec(), role=Role.OPERATOR)
    jobs = JobCommands(parts.unit_of_work)
    assert await jobs.step()
    # Killed before the commit of its next chunk.
    async with sql(parts) as db, db.transaction():
        await db.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        killed = asyncio.create_task(jobs.step())

        async def waits() -> bool:
            return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually(waits)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    await run_jobs(parts, api)
    assert sorted(await pairs(parts)) == sorted((event, webhook["id"]) for event in events)


async def test_an_event_is_sent_again_with_its_id(api: Api, receiver: Receiver, parts: Container) -> None:
    first = await api.create(receiver.url)
    async with working(parts):
        [event] = await api.publish(1)
        await receiver.takes(1)

        async def is_delivered() -> bool:
            return bool(await api.ids("deliveries", state="delivered"))

        await eventually(is_delivered)
        second = await api.create(receiver.url)
        sent = await api.post(f"events/{event}/resend", role=Role.OPERATOR, headers={"Idempotency-Key": "again"})
        assert sent.status_code == 202, sent.text
        answer = {"event_id": event, "requeued": 1, "created": 1, "pending": 0, "job": None}
        assert sent.json() == answer
        await receiver.takes(3)
    again = await api.post(f"events/{event}/resend", role=Role.OPERATOR, headers={"Idempotency-Key": "again"})
    assert again.json() == answer
    assert receiver.ids == [event] * 3
    assert sorted(await pairs(parts)) == sorted([(event, first["id"]), (event, second["id"])])
    other = await api.create(receiver.url, event_types=["stock.low"])
    refused = await api.post(f"events/{event}/resend", json={"webhook_ids": [other["id"]]})
    assert [error["pointer"] for error in assert_problem(refused, 422, "invalid")["errors"]] == ["/webhook_ids/0"]
    assert_problem(await api.post(f"events/{UNKNOWN}/resend"), 404, "not_found")
    await execute(parts, "DELETE FROM events")
    assert_problem(await api.post(f"events/{event}/resend"), 409, "conflict")


async def test_a_resend_to_many_webhooks_is_a_job(api: Api, parts: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.domain.services.resends.REQUEST_MAX", 2)
    monkeypatch.setattr(job_service, "RESEND_CHUNK", 2)
    [event] = await api.publish(1)
    webhooks = [(await api.create("http://127.0.0.1:9/"))["id"] for _ in range(3)]
    sent = await api.post(f"events/{event}/resend", json={}, role=Role.OPERATOR)
    assert sent.headers["location"] == f"/api/v1/jobs/{sent.json()['job']}"
    await run_jobs(parts, api)
    assert sorted(await pairs(parts)) == sorted((event, id_) for id_ in webhooks)
    shown = await api.read(f"jobs/{sent.json()['job']}")
    assert (shown["kind"], shown["done"], shown["parameters"]) == ("resend", 3, {"event_id": event})
