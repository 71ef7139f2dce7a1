"""Notifications of alerts: who gets them, signed and in which format, and that each goes out once."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.alerts.notification import AlertNotification
from tests.integration.detection_support import Watch, actions, alert, fail, recover
from tests.integration.support import (
    Api,
    Receiver,
    execute,
    finished,
    verify,
    working,
)

NOWHERE = "http://127.0.0.1:9/hook"
FAST: dict[str, Any] = {"schedule_s": [0, 0.01, 0.01, 0.01, 0.01, 0.01], "jitter_ratio": 0}


@pytest.fixture
def watch(parts: Container) -> Watch:
    return Watch(parts)


async def test_a_later_notification_waits_for_the_one_before(parts: Container) -> None:
    first, second = (AlertNotification(f"monitor.{n}", b"{}", {}, parts.clock.new_id()) for n in ("raised", "resolved"))
    async with parts.unit_of_work() as uow:
        await uow.notifications.add([first, second])
        await uow.commit()

    async with parts.unit_of_work() as slow:
        held = await slow.notifications.take(1)
        async with parts.unit_of_work() as quick:
            meanwhile = await quick.notifications.take(10)
        await slow.commit()
    async with parts.unit_of_work() as quick:
        after = await quick.notifications.take(10)
        await quick.commit()

    assert (held, meanwhile, after) == ([first], [], [second])


# ----------------------------------------------------------------------------------------------------------- being told


async def test_subscribers_hear_of_alerts_signed_but_never_through_the_webhook_concerned(
    api: Api, parts: Container, watch: Watch, stack: AsyncExitStack
) -> None:
    pager, itself, everything = [await stack.enter_async_context(Receiver()) for _ in range(3)]
    secret = (await api.create(pager.url, event_types=["monitor.alert.*"]))["secret"]
    await api.create(everything.url, event_types=["*"])
    failing = (await api.create(itself.url, name="Orders", event_types=["monitor.*"], labels={}))["id"]
    async with working(parts):
        await fail(api, failing)
        await watch.look()
        await pager.takes(1)
        found = await alert(api, failing)
        await api.post(f"alerts/{found['id']}/ack", json={"note": "On it."}, subject="grace")
        await watch.tell()
        await pager.takes(2)
        await recover(api, failing)
        await watch.look()
        requests = await pager.takes(3)
        await finished(api, 3)
    told = {request.headers["monitor-event-type"]: request for request in requests}
    assert set(told) == {f"monitor.alert.{verb}" for verb in ("raised", "acknowledged", "resolved")}
    for event_type, request in told.items():
        verify(secret, request)
        body = msgspec.json.decode(request.body)
        assert body["type"] == event_type
        assert body["data"]["alert"]["id"] == found["id"]
        assert body["data"]["webhook"] == {"id": failing, "name": "Orders"}
    assert msgspec.json.decode(told["monitor.alert.acknowledged"].body)["data"]["alert"]["acknowledged_by"] == "grace"
    assert (itself.requests, everything.requests) == ([], [])
    assert {event["type"] for event in (await api.read("events"))["items"]} == set(told)


async def test_labels_select_whose_alerts_one_hears_of(
    api: Api, parts: Container, watch: Watch, stack: AsyncExitStack
) -> None:
    blue, red, warnings = [await stack.enter_async_context(Receiver()) for _ in range(3)]
    for receiver, labels in ((blue, {"team": "blue"}), (red, {"team": "red"}), (warnings, {"severity": "warning"})):
        await api.create(receiver.url, event_types=["monitor.alert.raised"], labels=labels)
    failing = (await api.create(NOWHERE, event_types=["order.*"], labels={"team": "blue"}))["id"]
    await fail(api, failing)
    await watch.look()
    async with working(parts):
        await blue.takes(1)
        await finished(api, 1)
    assert (len(blue.requests), red.requests, warnings.requests) == (1, [], [])


@pytest.mark.parametrize("body_format", ["slack", "discord", "teams"])
async def test_a_chat_gets_a_message_it_understands_signed_over_what_is_sent(
    body_format: str, api: Api, parts: Container, watch: Watch, receiver: Receiver
) -> None:
    chat = await api.create(receiver.url, event_types=["monitor.alert.raised"], body_format=body_format)
    failing = (await api.create(NOWHERE, name="Orders", event_types=["order.*"]))["id"]
    await fail(api, failing)
    await watch.look()
    async with working(parts):
        (request,) = await receiver.takes(1)
    verify(chat["secret"], request)
    assert request.headers["content-type"].startswith("application/json")
    body = msgspec.json.decode(request.body)
    assert (
        set(body)
        == {
            "slack": {"text", "attachments"},
            "discord": {"embeds", "allowed_mentions"},
            "teams": {"type", "attachments"},
        }[body_format]
    )
    assert b"Orders is unavailable: all of the last 5 attempts failed: HTTP 503." in request.body
    ping = await api.post(f"webhooks/{chat['id']}/test")
    assert ping.json()["ok"]
    verify(chat["secret"], receiver.requests[-1])
    assert set(msgspec.json.decode(receiver.requests[-1].body)) == set(body)


async def test_a_silenced_alert_is_told_when_the_silence_ends(
    api: Api, parts: Container, watch: Watch, receiver: Receiver
) -> None:
    await api.create(receiver.url, event_types=["monitor.alert.*"])
    failing = (await api.create(NOWHERE, event_types=["order.*"], labels={"team": "blue"}))["id"]
    spec = {"reason": "Maintenance.", "ends_at": "2199-01-01T00:00:00Z", "label": "team=blue"}
    refused = await api.post("silences", json=spec)
    assert refused.status_code == 422
    now = (await api.read("dashboard/overview"))["as_of"]
    year = str(int(now[:4]) + 1)
    silence = (await api.post("silences", json=spec | {"ends_at": f"{year}-01-01T00:00:00Z"})).json()
    await fail(api, failing)
    await watch.look()
    found = await alert(api, failing)
    assert (found["state"], found["silenced"], actions(found)) == ("pending", True, ["raised"])
    assert (await api.read("events"))["items"] == []
    assert (await api.call("DELETE", f"silences/{silence['id']}")).status_code == 204
    await watch.look()
    async with working(parts):
        (request,) = await receiver.takes(1)
    assert request.headers["monitor-event-type"] == "monitor.alert.raised"
    assert (await alert(api, failing))["silenced"] is False


@pytest.mark.parametrize("event_type", ["monitor.alert.raised", "monitor", "monitor.x"])
async def test_nobody_publishes_in_monitors_name(api: Api, event_type: str) -> None:
    refused = await api.post("events", json={"type": event_type, "payload": 1})
    assert refused.status_code == 422


async def test_two_relays_at_once_tell_each_alert_once(api: Api, parts: Container, watch: Watch) -> None:
    ids = [(await api.create(NOWHERE, event_types=["order.*"]))["id"] for _ in range(4)]
    await fail(api, *ids)
    await execute(parts, "UPDATE webhook_lanes SET evaluate_at = now()")
    await watch.watcher.tick()
    await asyncio.gather(*(Watch(parts).tell() for _ in range(10)))
    assert len((await api.read("events"))["items"]) == 4


async def test_a_resolved_alert_is_told_with_what_is_well_now_and_links_to_the_page(
    api: Api, parts: Container, receiver: Receiver
) -> None:
    watch = Watch(parts, page="https://monitor.example.com/")
    await api.create(receiver.url, event_types=["monitor.alert.resolved"], body_format="slack")
    failing = (await api.create(NOWHERE, name="Orders", event_types=["order.*"]))["id"]
    await fail(api, failing)
    await watch.look()
    await recover(api, failing)
    await watch.look()
    async with working(parts):
        (request,) = await receiver.takes(1)
    (attachment,) = msgspec.json.decode(request.body)["attachments"]
    assert re.match(r"Resolved after \d+ seconds?\. Back to normal: All of the last 20 ", attachment["text"])
    found = await alert(api, failing)
    assert attachment["actions"][0]["url"] == f"https://monitor.example.com/#/alerts/{found['id']}"
