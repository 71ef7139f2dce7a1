"""What Monitor disabled says until when its events are kept, and probes enable it again by choice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from structlog.testing import capture_logs

from monitor.bootstrap.container import Container
from monitor.bootstrap.worker import build_scheduler
from tests.integration.detection_support import Watch, alert
from tests.integration.support import Api, Receiver, answering, eventually, execute, finished, verify, working

GONE = "The receiver answered 410 Gone."


async def gone(api: Api, parts: Container, receiver: Receiver, **members: Any) -> dict[str, Any]:
    """Return a new webhook, with its secret, that a 410 disabled."""
    receiver.answer = answering(410)
    created = await api.create(receiver.url, **members)
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)

        async def is_disabled() -> bool:
            return not (await api.read(f"webhooks/{created['id']}"))["enabled"]

        await eventually(is_disabled)
    return created


async def probe(parts: Container) -> None:
    """Run the job of probes, all of them due."""
    await execute(parts, "UPDATE webhooks SET probe_at = now() WHERE probe_at IS NOT NULL")
    _, run = build_scheduler(parts).jobs["reenable"]
    await run()


async def test_a_disabled_webhook_and_its_alert_show_until_when_its_events_are_kept(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await gone(api, parts, receiver)
    assert (created["reenable"], created["disabled"]) == ("never", None)
    view = await api.read(f"webhooks/{created['id']}")
    (listed,) = (await api.read("webhooks"))["items"]
    assert listed["disabled"] == view["disabled"]
    at = datetime.fromisoformat(view["disabled"]["disabled_at"])
    until = datetime.fromisoformat(view["disabled"]["events_kept_until"])
    assert until - at == timedelta(days=parts.settings.retention.events_d)
    assert (view["disabled"]["reason"], view["disabled"]["next_probe_at"]) == (GONE, None)
    await Watch(parts).look()
    raised = await alert(api, created["id"], "disabled")
    sentence = f"Its events are kept until {until:%d %B, %H:%M} UTC; enable it and ask for a backfill before."
    assert raised["title"] == f"test was disabled: the receiver answered 410 Gone. {sentence}"
    evidence = raised["evidence"]["disabled"]
    assert datetime.fromisoformat(evidence["events_kept_until"]) == until
    enabled = await api.call("PATCH", f"webhooks/{created['id']}", json={"enabled": True})
    assert (enabled.json()["disabled"], enabled.json()["disabled_reason"]) == (None, None)


async def test_a_probe_enables_what_a_410_disabled(api: Api, receiver: Receiver, parts: Container) -> None:
    created = await gone(api, parts, receiver, reenable="probe")
    path = f"webhooks/{created['id']}"
    watch = Watch(parts)
    await watch.look()
    assert (await alert(api, created["id"], "disabled"))["state"] == "pending"
    first = (await api.read(path))["disabled"]
    wait = datetime.fromisoformat(first["next_probe_at"]) - datetime.fromisoformat(first["disabled_at"])
    assert wait == timedelta(minutes=10)

    await probe(parts)
    assert len(receiver.requests) == 2
    assert not (await api.read(path))["enabled"]
    receiver.answer = answering(200)
    with capture_logs() as lines:
        await probe(parts)
    assert {"event": "webhook_enabled", "webhook_id": created["id"], "log_level": "info"} in lines
    (sent,) = receiver.requests[2:]
    verify(created["secret"], sent)
    assert b'"monitor.ping"' in sent.body
    view = await api.read(path)
    assert (view["enabled"], view["disabled"], view["disabled_reason"]) == (True, None, None)
    (row, *_) = (await api.read("audit-log"))["items"]
    assert (row["subject"], row["action"]) == ("system", "webhook.enable")
    assert [one["kind"] for one in (await api.read(f"{path}/attempts"))["items"]] == ["test", "test", "delivery"]

    await watch.look()
    resolved = await alert(api, created["id"], "disabled")
    assert resolved["state"] == "resolved"
    await api.publish(2)
    async with working(parts):
        await receiver.takes(4)


async def test_workers_that_look_at_the_same_time_send_one_probe(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await gone(api, parts, receiver, reenable="probe")
    await execute(parts, "UPDATE webhooks SET probe_at = now()")
    await asyncio.gather(*(build_scheduler(parts).jobs["reenable"][1]() for _ in range(5)))
    assert len(receiver.requests) == 2


async def test_what_a_user_disabled_gets_no_probe(api: Api, receiver: Receiver, parts: Container) -> None:
    created = await api.create(receiver.url, reenable="probe")
    path = f"webhooks/{created['id']}"
    view = (await api.call("PATCH", path, json={"enabled": False})).json()
    assert (view["enabled"], view["disabled"]) == (False, None)
    await execute(parts, "UPDATE webhooks SET probe_at = now()")
    await probe(parts)
    assert receiver.requests == []
    assert not (await api.read(path))["enabled"]


async def test_a_user_who_disables_what_monitor_disabled_ends_its_probes(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    created = await gone(api, parts, receiver, reenable="probe")
    path = f"webhooks/{created['id']}"
    receiver.answer = answering(200)
    view = (await api.call("PATCH", path, json={"enabled": False})).json()
    assert (view["reenable"], view["disabled"]["next_probe_at"]) == ("never", None)
    await probe(parts)
    assert len(receiver.requests) == 1
    assert not (await api.read(path))["enabled"]


async def test_probes_may_be_chosen_and_given_up_afterwards(api: Api, receiver: Receiver, parts: Container) -> None:
    created = await gone(api, parts, receiver)
    path = f"webhooks/{created['id']}"
    chosen = (await api.call("PATCH", path, json={"reenable": "probe"})).json()
    assert chosen["disabled"]["next_probe_at"] is not None
    given_up = (await api.call("PATCH", path, json={"reenable": None})).json()
    assert (given_up["reenable"], given_up["disabled"]["next_probe_at"]) == ("never", None)
    await probe(parts)
    assert len(receiver.requests) == 1
