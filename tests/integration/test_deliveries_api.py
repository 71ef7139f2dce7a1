"""Deliveries over HTTP: found by what is known of them, retried and cancelled by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import (
    ONCE,
    Api,
    Received,
    Receiver,
    answering,
    assert_problem,
    delivery_of,
    eventually,
    execute,
    finished,
    working,
)
from tests.servers import free_port


async def test_deliveries_are_found_by_each_filter(api: Api, parts: Container) -> None:
    async with Receiver() as good, Receiver(answering(503)) as bad, working(parts):
        made = {
            "good": await api.create(good.url),
            "bad": await api.create(bad.url, retry=ONCE),
            "dead": await api.create(f"http://127.0.0.1:{free_port()}/", retry=ONCE),
            "waiting": await api.create(bad.url, retry={"schedule_s": [0, 3600]}),
        }
        (event,) = await api.publish(1)
        await eventually(lambda: _count(api, 1, state="pending"))
        await bad.takes(2)
        await eventually(lambda: _count(api, 1, state="delivered"))
        await eventually(lambda: _count(api, 2, state="failed"))
        await eventually(lambda: _count(api, 2, error="status"))
    names = {webhook["id"]: name for name, webhook in made.items()}
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    for params, expected in (
        ({}, {"good", "bad", "dead", "waiting"}),
        ({"webhook_id": made["bad"]["id"]}, {"bad"}),
        ({"state": "delivered"}, {"good"}),
        ({"state": "failed"}, {"bad", "dead"}),
        ({"state": "pending"}, {"waiting"}),
        ({"state": "cancelled"}, set()),
        ({"error": "status"}, {"bad", "waiting"}),
        ({"error": "connect"}, {"dead"}),
        ({"state": "failed", "error": "status"}, {"bad"}),
        ({"event_id": event}, {"good", "bad", "dead", "waiting"}),
        ({"event_id": made["bad"]["id"]}, set()),
        ({"from": (now - hour).isoformat(), "to": (now + hour).isoformat()}, {"good", "bad", "dead", "waiting"}),
        ({"to": (now - hour).isoformat()}, set()),
    ):
        rows = (await api.read("deliveries", params=params))["items"]
        assert {names[row["webhook_id"]] for row in rows} == expected, params
        assert len(rows) == len(expected)
    rows = {names[row["webhook_id"]]: row for row in (await api.read("deliveries"))["items"]}
    assert (rows["bad"]["last_status_code"], rows["bad"]["last_error"], rows["bad"]["attempts"]) == (503, "status", 1)
    assert (rows["dead"]["last_status_code"], rows["dead"]["last_error"]) == (None, "connect")
    assert (rows["good"]["due_at"], rows["good"]["event_type"]) == (None, "order.paid")
    assert rows["good"]["finished_at"] is not None
    assert rows["waiting"]["due_at"] is not None
    assert not rows["waiting"]["in_flight"]


async def test_pages_hold_waiting_and_finished_deliveries_once_each(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    held = await api.create(receiver.url)
    await api.post(f"webhooks/{held['id']}/pause")
    async with working(parts):
        await api.publish(*range(60))
        await receiver.takes(60)
        await eventually(lambda: _count(api, 60, state="delivered"))
    pages = [[item["id"] for item in items] async for items in api.pages("deliveries", limit=50)]
    ids = [id_ for page in pages for id_ in page]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert ids == sorted(set(ids), reverse=True)


async def test_a_delivery_shows_its_attempts_newest_first(api: Api, parts: Container) -> None:
    async def answer(received: Received) -> web.Response:
        return web.Response(status=500 if received.number < 3 else 200, body=b"\xff" * 5000)

    async with Receiver(answer) as receiver, working(parts):
        webhook = await api.create(receiver.url, retry={"schedule_s": [0, 0.01, 0.01], "jitter_ratio": 0})
        (event,) = await api.publish(1)
        await finished(api, 1)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)
    log = delivery["attempt_log"]
    assert [attempt["number"] for attempt in log] == [3, 2, 1]
    assert [attempt["status_code"] for attempt in log] == [200, 500, 500]
    assert [attempt["error"] for attempt in log] == [None, "status", "status"]
    assert {attempt["webhook_id"] for attempt in log} == {webhook["id"]}
    for attempt in log:
        assert attempt["event_id"] == event
        assert attempt["response_body"] == "\ufffd" * 4096
        assert 0 < attempt["phases"]["first_byte_ms"] <= attempt["latency_ms"]
    assert len((await api.read(f"webhooks/{webhook['id']}/attempts", params={"ok": "false"}))["items"]) == 2
    assert len((await api.read(f"webhooks/{webhook['id']}/attempts", params={"error": "500"}))["items"]) == 2
    assert len((await api.read(f"webhooks/{webhook['id']}/attempts", params={"error": "status"}))["items"]) == 2
    assert (await api.read(f"webhooks/{webhook['id']}/attempts", params={"error": "timeout"}))["items"] == []


@pytest.mark.parametrize("how", ["failed", "cancelled", "waiting"])
async def test_a_retry_sends_now_with_the_same_message_id(
    how: str, api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 200)
    schedule = [0] if how == "failed" else [0, 3600]
    await api.create(receiver.url, retry={"schedule_s": schedule, "jitter_ratio": 0})
    async with working(parts):
        (event,) = await api.publish(1)
        await receiver.takes(1)
        (id_,) = await api.ids("deliveries", event_id=event)
        await eventually(lambda: _settled(api, id_, 1))
        if how == "cancelled":
            assert (await api.post(f"deliveries/{id_}/cancel")).json()["state"] == "cancelled"
        answer = await api.post(f"deliveries/{id_}/retry", role=Role.OPERATOR)
        assert answer.status_code == 200
        assert answer.json()["state"] == "pending"
        await receiver.takes(2)
        await finished(api, 1)
    assert receiver.ids == [event, event]
    delivery = await api.read(f"deliveries/{id_}")
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
    assert [attempt["number"] for attempt in delivery["attempt_log"]] == [2, 1]


async def test_what_is_finished_cannot_be_cancelled_and_what_arrived_cannot_be_retried(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    async with working(parts):
        await api.publish(1)
        (delivered,) = await finished(api, 1)
    await execute(parts, "UPDATE deliveries_finished SET state = 'delivered'")
    for action in ("retry", "cancel"):
        assert_problem(await api.post(f"deliveries/{delivered['id']}/{action}"), 409, "conflict")
        assert_problem(await api.post(f"deliveries/{delivered['event_id']}/{action}"), 404, "not_found")
    for state in ("failed", "quarantined"):
        await execute(parts, "UPDATE deliveries_finished SET state = $1", state)
        assert_problem(await api.post(f"deliveries/{delivered['id']}/cancel"), 409, "conflict")


async def test_a_cancelled_delivery_is_not_sent_and_cancelling_again_is_harmless(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    first, second = await api.publish(1, 2)
    (id_,) = await api.ids("deliveries", event_id=first)
    answers = [await api.post(f"deliveries/{id_}/cancel", role=Role.OPERATOR) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["state"] == "cancelled"
    async with working(parts):
        await finished(api, 2)
    assert receiver.ids == [second]


async def test_a_delivery_cancelled_while_it_is_sent_stays_cancelled(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    answered = False

    async def answer(_: Received) -> web.Response:
        nonlocal answered
        (id_,) = await api.ids("deliveries")
        assert (await api.read(f"deliveries/{id_}"))["in_flight"]
        assert (await api.post(f"deliveries/{id_}/cancel")).status_code == 200
        answered = True
        return web.Response(status=500)

    receiver.answer = answer
    await api.create(receiver.url, retry={"schedule_s": [0, 0.01], "jitter_ratio": 0})
    async with working(parts) as worker:
        await api.publish(1)
        await eventually(lambda: answered and worker.held == 0)
    (delivery,) = (await api.read("deliveries"))["items"]
    assert delivery["state"] == "cancelled"
    assert len(receiver.requests) == 1


async def _count(api: Api, count: int, **params: Any) -> bool:
    return len(await api.ids("deliveries", limit=200, **params)) == count


async def _settled(api: Api, id_: str, attempts: int) -> bool:
    delivery = await api.read(f"deliveries/{id_}")
    return bool(delivery["attempts"] == attempts and not delivery["in_flight"])
