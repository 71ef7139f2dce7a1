"""Order per key, failing heads and replays over HTTP, at a real receiver."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import Role
from tests import samples
from tests.integration.support import (
    ONCE,
    Api,
    Received,
    Receiver,
    answering,
    assert_problem,
    deliverer,
    delivery_of,
    eventually,
    finished,
    ok,
    working,
)

KEYS = [f"customer {n}" for n in range(50)]
STUCK = KEYS[7]
SOON: dict[str, Any] = {"schedule_s": [0, 0.02, 0.02], "jitter_ratio": 0}
LATER: dict[str, Any] = {"schedule_s": [0, 3600], "jitter_ratio": 0}


def payload(received: Received) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(received.body)
    return found


async def publish(api: Api, *events: tuple[str | None, int]) -> list[str]:
    """Publish one event for each pair of key and number."""
    made = [
        {"type": "order.paid", "payload": {"key": key, "n": n}, **({} if key is None else {"order_key": key})}
        for key, n in events
    ]
    response = await api.post("events", json={"events": made}, role=Role.PUBLISHER)
    assert response.status_code == 202, response.text
    return [event["id"] for event in response.json()["events"]]


def by_key(receiver: Receiver) -> dict[str, list[int]]:
    """Return the numbers that arrived, by key."""
    found: dict[str, list[int]] = defaultdict(list)
    for received in receiver.requests:
        found[payload(received)["key"]].append(payload(received)["n"])
    return found


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stuck_key_of_fifty_delays_no_other_and_each_keeps_its_order(
    workers: int, api: Api, receiver: Receiver, parts: Container
) -> None:
    in_flight: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)

    async def answer(received: Received) -> web.Response:
        key = payload(received)["key"]
        in_flight[key] += 1
        most[key] = max(most[key], in_flight[key])
        await asyncio.sleep(0.005)
        in_flight[key] -= 1
        return web.Response(status=422 if key == STUCK else 200)

    receiver.answer = answer
    webhook = await api.create(receiver.url, ordered="key", max_concurrency=20, retry=LATER)
    async with AsyncExitStack() as stack:
        twin = await stack.enter_async_context(Container(parts.settings))
        for part in (parts, twin)[:workers]:
            await stack.enter_async_context(working(part, f"worker {id(part)}"))
        for n in range(8):
            await publish(api, *((key, n) for key in KEYS))
        await receiver.takes(49 * 8 + 1)

        async def only_the_stuck_ones() -> list[dict[str, Any]] | None:
            where = {"state": "pending", "webhook_id": webhook["id"], "limit": 100}
            items: list[dict[str, Any]] = (await api.read("deliveries", params=where))["items"]
            return items if len(items) == 8 else None

        *behind, head = await eventually(only_the_stuck_ones)
        assert (head["held"], head["attempts"], head["order_key"]) == (None, 1, STUCK)
        expected = {
            "reason": "order",
            "until": head["due_at"],
            "detail": None,
            "behind": head["id"],
            "order_key": STUCK,
        }
        assert [one["held"] for one in behind] == [expected] * 7
        assert (await api.read("webhooks", params={"q": "test"}))["items"][0]["held"] == expected
        # What the operator can do: cancel it, and the next one is tried.
        assert (await api.post(f"deliveries/{head['id']}/cancel")).status_code == 200
        await eventually(lambda: by_key(receiver)[STUCK] == [0, 1])
    assert most == dict.fromkeys(KEYS, 1)
    assert {key: ns for key, ns in by_key(receiver).items() if key != STUCK} == {
        key: list(range(8)) for key in KEYS if key != STUCK
    }


async def test_events_without_a_key_go_side_by_side_in_a_webhook_that_is_ordered_by_key(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    released = asyncio.Event()

    async def answer(_: Received) -> web.Response:
        await released.wait()
        return web.Response()

    receiver.answer = answer
    await api.create(receiver.url, ordered="key", max_concurrency=4)
    async with working(parts):
        await publish(api, *((None, n) for n in range(6)))
        await eventually(lambda: receiver.in_flight == 4)
        released.set()
        await finished(api, 6)
    assert receiver.most_in_flight == 4


async def test_retries_of_a_key_keep_its_order(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(received: Received) -> web.Response:
        return web.Response(status=500 if received.number % 3 == 0 else 200)

    receiver.answer = answer
    await api.create(receiver.url, ordered="key", retry=SOON | {"schedule_s": [0] + [0.02] * 20})
    async with working(parts):
        await publish(api, *((key, n) for n in range(6) for key in KEYS[:3]))
        await finished(api, 18)
    for ns in by_key(receiver).values():
        assert ns == sorted(ns)
        assert set(ns) == set(range(6))


async def test_a_worker_that_vanished_leaves_the_order_of_a_key_as_it_was(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url, ordered="key")
    events = await publish(api, *(("a", n) for n in range(4)))
    lost = deliverer(parts, "lost", lease_s=0.5)
    [claimed] = (await lost.claim(None, 10)).deliveries
    assert str(claimed.event_id) == events[0]
    async with working(parts):
        await finished(api, 4)
    assert by_key(receiver) == {"a": [0, 1, 2, 3]}
    assert await samples.send(lost, claimed) is not None


async def test_a_head_that_failed_often_enough_is_overtaken(api: Api, receiver: Receiver, parts: Container) -> None:
    async def answer(received: Received) -> web.Response:
        return web.Response(status=500 if payload(received)["n"] == 0 else 200)

    receiver.answer = answer
    waits = {"schedule_s": [0, 0.02, 3600], "jitter_ratio": 0}
    webhook = await api.create(receiver.url, ordered=True, skip_after=2, retry=waits)
    async with working(parts):
        first, *_ = await publish(api, *(("a", n) for n in range(4)))
        await receiver.takes(5)
        view = await eventually(lambda: delivery_of(api, first))
        assert (view["state"], view["attempts"], view["aside"], view["held"]) == ("pending", 2, True, None)
        receiver.answer = ok
        assert (await api.post(f"deliveries/{view['id']}/retry")).status_code == 200
        await finished(api, 4)
    assert by_key(receiver) == {"a": [0, 0, 1, 2, 3, 0]}
    assert (await api.read(f"webhooks/{webhook['id']}"))["held"] is None


async def test_a_webhook_that_blocks_says_so_and_lets_go_when_it_is_told_to_skip(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    async def answer(received: Received) -> web.Response:
        return web.Response(status=500 if payload(received)["n"] == 0 else 200)

    receiver.answer = answer
    webhook = await api.create(receiver.url, ordered=True, retry=LATER)
    path = f"webhooks/{webhook['id']}"
    async with working(parts):
        first, second = await publish(api, ("a", 0), ("a", 1))
        head = await eventually(lambda: failed_once(api, first))
        expected = {"reason": "order", "until": head["due_at"], "detail": None, "behind": head["id"]}
        assert (await delivery_of(api, second))["held"] == expected
        answer_ = await api.call("PATCH", path, json={"skip_after": 2})
        assert (answer_.json()["skip_after"], answer_.json()["held"]) == (2, expected)
        assert len(receiver.requests) == 1
        assert (await api.call("PATCH", path, json={"skip_after": 1})).json()["held"] is None
        await eventually(lambda: by_key(receiver) == {"a": [0, 1]})


async def failed_once(api: Api, event_id: str) -> dict[str, Any] | None:
    view = await delivery_of(api, event_id)
    return view if view["attempts"] else None


async def test_a_replay_of_an_ordered_webhook_delays_nothing_new(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url, ordered=True, retry=ONCE)
    receiver.answer = answering(422)
    async with working(parts):
        # At 50 a second, the last one is due after 4 s.
        await publish(api, *(("a", n) for n in range(200)))
        await finished(api, 200)
        receiver.answer = ok
        now = datetime.now(UTC)
        hour = timedelta(hours=1)
        span = {"from": (now - hour).isoformat(), "to": (now + hour).isoformat()}
        assert (await api.post(f"webhooks/{webhook['id']}/replay", json=span)).status_code == 202
        await JobCommands(parts.unit_of_work).run()
        await publish(api, *(("new", n) for n in range(5)))
        await eventually(lambda: by_key(receiver)["new"] == [0, 1, 2, 3, 4])
        # The replay is not over: the new ones went before the rest of it.
        assert len(by_key(receiver)["a"]) < 400
        await finished(api, 200)
    assert by_key(receiver)["a"] == [*range(200), *range(200)]


async def test_the_members_of_the_order_are_checked_and_shown(api: Api) -> None:
    webhook = await api.create("http://127.0.0.1:9/", ordered="key", skip_after=3)
    path = f"webhooks/{webhook['id']}"
    assert (webhook["ordered"], webhook["skip_after"]) == ("key", 3)
    for ordered in (True, "key", False):
        changed = await api.call("PATCH", path, json={"ordered": ordered})
        assert changed.json()["ordered"] is ordered or changed.json()["ordered"] == ordered
        assert (await api.read(path))["ordered"] == ordered
        listed = (await api.read("webhooks", params={"q": "test"}))["items"]
        assert [one["ordered"] for one in listed] == [ordered]
    assert (await api.call("PATCH", path, json={"skip_after": None})).json()["skip_after"] is None
    for wrong in ({"ordered": "keys"}, {"ordered": 1}, {"skip_after": 0}, {"skip_after": 51}, {"skip_after": "2"}):
        assert_problem(await api.call("PATCH", path, json=wrong), 422)
    [id_] = await publish(api, ("x" * 256, 1))
    assert (await api.read(f"events/{id_}"))["order_key"] == "x" * 256
    assert (await delivery_of(api, id_))["order_key"] == "x" * 256
    single = {"type": "order.paid", "payload": 1}
    for key in ("", "x" * 257, 5):
        assert_problem(await api.post("events", json=single | {"order_key": key}, role=Role.PUBLISHER), 422)
    assert_problem(await api.post("events", json=single | {"order_key": "a\u0000b"}, role=Role.PUBLISHER))
    assert_problem(await api.post("events", json={"events": [single], "order_key": "a"}, role=Role.PUBLISHER), 422)
    assert (await api.post("events", json=single | {"order_key": None}, role=Role.PUBLISHER)).status_code == 202
