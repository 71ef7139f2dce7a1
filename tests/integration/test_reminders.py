"""Reminders of alerts: each goes out once, whatever processes run, die or were away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from monitor.domain.services.reminders import AlertReminders
from tests.integration.detection_support import AT_ONCE, Watch, alert, fail
from tests.integration.support import Api, execute

NOWHERE = "http://127.0.0.1:9/hook"
PATIENCE_S = 60.0


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts)


async def failing_alert(api: Api, watch: Watch) -> dict[str, Any]:
    failing = (await api.create(NOWHERE, name="Orders"))["id"]
    await fail(api, failing)
    await watch.look()
    return await alert(api, failing)


async def pass_time(parts: Container, seconds: int) -> None:
    await execute(
        parts,
        "UPDATE alert_reminders SET since = since - make_interval(secs => $1),"
        " next_at = next_at - make_interval(secs => $1)",
        float(seconds),
    )


async def history(api: Api, alert_id: str) -> Counter[str]:
    return Counter(entry["action"] for entry in (await api.read(f"alerts/{alert_id}"))["history"])


async def reminders(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.read("events", params={"type": "monitor.alert.reminder"}))["items"]
    return found


def looks(parts: Container) -> AlertReminders:
    return AlertReminders(parts.unit_of_work, AT_ONCE.alert)


async def test_any_number_of_processes_remind_once(api: Api, parts: Container, watch: Watch) -> None:
    destination = (await api.create(NOWHERE, event_types=["monitor.alert.*"]))["id"]
    raised = await failing_alert(api, watch)
    for expected, seconds in enumerate([900, 2_700, 10_800], 1):
        await pass_time(parts, seconds)
        await asyncio.gather(*(looks(parts).run() for _ in range(6)))
        await watch.tell()
        assert (await history(api, raised["id"]))["reminded"] == expected
    [last, *_] = found = await reminders(api)
    assert len(found) == 3
    assert last["labels"]["reminder_s"] == "14400"
    deliveries = (await api.read("deliveries", params={"webhook_id": destination}))["items"]
    assert len([one for one in deliveries if one["event_id"] in {event["id"] for event in found}]) == 3


async def test_a_process_that_dies_before_its_commit_tells_nothing_and_the_next_one_tells_it(
    api: Api, parts: Container, watch: Watch
) -> None:
    await api.create(NOWHERE, event_types=["monitor.alert.*"])
    raised = await failing_alert(api, watch)
    await pass_time(parts, 900)
    async with asyncio.timeout(PATIENCE_S), parts.unit_of_work() as dying:
        [held] = await dying.reminders.due(10)
        await dying.reminders.remove(held.alert_id)
        # The lock keeps others away, who do not wait for it.
        assert await looks(parts).look() == 0
    assert await looks(parts).look() == 1
    assert (await history(api, raised["id"]))["reminded"] == 1


async def test_after_an_outage_one_message_tells_what_was_missed(api: Api, parts: Container, watch: Watch) -> None:
    await api.create(NOWHERE, event_types=["monitor.alert.*"])
    raised = await failing_alert(api, watch)
    await pass_time(parts, 5 * 3_600)
    _, job = build_scheduler(parts).jobs["remind"]
    await job()
    await watch.tell()
    [event] = await reminders(api)
    assert event["labels"]["reminder_s"] == "18000"
    details = await api.read(f"alerts/{raised['id']}")
    [entry] = [entry for entry in details["history"] if entry["action"] == "reminded"]
    assert entry["note"].startswith("Still failing after 5 h, nobody acknowledged it: ")
    assert entry["told"]["destinations"] == 1


async def test_an_acknowledged_alert_is_not_reminded_of(api: Api, parts: Container, watch: Watch) -> None:
    await api.create(NOWHERE, event_types=["monitor.alert.*"])
    raised = await failing_alert(api, watch)
    await api.post(f"alerts/{raised['id']}/ack", json={})
    await pass_time(parts, 900)
    await looks(parts).run()
    assert (await history(api, raised["id"]))["reminded"] == 0
    assert await looks(parts).look() == 0


async def test_a_webhook_keeps_its_reminders(api: Api) -> None:
    url = {"name": "Pager", "url": NOWHERE, "event_types": ["monitor.alert.*"]}
    created = (await api.post("webhooks", json=url | {"reminders": [300, 3600]})).json()
    assert created["reminders"] == [300, 3600]
    patched = await api.call("PATCH", f"webhooks/{created['id']}", json={"reminders": []})
    assert patched.json()["reminders"] == []
    patched = await api.call("PATCH", f"webhooks/{created['id']}", json={"reminders": None})
    assert patched.json()["reminders"] is None
    refused = await api.post("webhooks", json=url | {"reminders": [100]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/reminders/0"
