"""Settling: every attempt is stored once, whoever holds its delivery, and judges only its own configuration."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.errors import Unavailable
from tests.integration.lease_support import claim_one, failing, sent_by
from tests.integration.support import (
    Api,
    Received,
    Receiver,
    answering,
    deliverer,
    delivery_of,
    eventually,
    finished,
    sql,
    working,
)


async def test_a_worker_that_lost_its_lease_stores_its_attempt_and_changes_no_delivery(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 200)
    await api.create(receiver.url, retry={"schedule_s": [0, 3600], "jitter_ratio": 0})
    (event,) = await api.publish(1)
    a, b = deliverer(parts, "a", lease_s=0.05), deliverer(parts, "b")
    first = await claim_one(a)
    assert first is not None
    late = await sent_by(a, first)
    second = await eventually(lambda: claim_one(b))
    assert (second.id, second.fencing_token) == (first.id, first.fencing_token + 1)
    # The lease is B's now, whether B has settled yet or not.
    lost = await a.settle([late])
    assert (lost.settled, lost.lost) == (0, [first.id])
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("pending", 0)
    assert [attempt["ok"] for attempt in delivery["attempt_log"]] == [False]
    settled = await b.settle([await sent_by(b, second)])
    assert (settled.settled, settled.lost) == (1, [])
    assert (await a.settle([late])).lost == [first.id]
    await a.renew([first])
    await a.release([first])
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)
    assert sorted(attempt["ok"] for attempt in delivery["attempt_log"]) == [False, True]
    assert (await api.read("dashboard/overview"))["traffic"]["attempts"] == len(receiver.requests) == 2


@pytest.mark.parametrize("ends", ["cancel", "delete"])
async def test_an_attempt_is_stored_although_its_delivery_was_ended_under_way(
    api: Api, receiver: Receiver, parts: Container, ends: str
) -> None:
    receiver.answer = answering(204)
    webhook = await api.create(receiver.url)
    (event,) = await api.publish(1)
    worker = deliverer(parts, "a")
    held = await claim_one(worker)
    assert held is not None
    sent = await sent_by(worker, held)
    if ends == "cancel":
        assert (await api.post(f"deliveries/{held.id}/cancel")).status_code == 200
    else:
        assert (await api.call("DELETE", f"webhooks/{webhook['id']}")).status_code == 204
    for _ in range(2):
        assert (await worker.settle([sent])).lost == [held.id]
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("cancelled", 0)
    assert [attempt["status_code"] for attempt in delivery["attempt_log"]] == [204]
    async with sql(parts) as db:
        counts = "SELECT sum(attempts) FROM rollups_minute WHERE webhook_id = $1"
        assert await db.fetchval(counts, held.webhook_id) == len(receiver.requests) == 1


async def test_a_late_410_of_an_old_url_disables_nothing(api: Api, receiver: Receiver, parts: Container) -> None:
    async with Receiver(answering(410)) as old:
        webhook = await api.create(old.url, retry={"schedule_s": [0, 0], "jitter_ratio": 0})
        await api.publish(1)
        worker = deliverer(parts, "a")
        held = await claim_one(worker)
        assert held is not None
        sent = await sent_by(worker, held)
        changed = await api.call("PATCH", f"webhooks/{webhook['id']}", json={"url": receiver.url})
        assert changed.status_code == 200
    assert (await worker.settle([sent])).disabled == {}
    view = await api.read(f"webhooks/{webhook['id']}")
    assert (view["enabled"], view["health"]["status"]) == (True, "unknown")
    again = await eventually(lambda: claim_one(worker))
    assert (await worker.settle([await sent_by(worker, again)])).settled == len(receiver.requests) == 1
    assert (await api.read(f"webhooks/{webhook['id']}"))["health"]["status"] == "healthy"


async def test_a_410_disables_in_the_transaction_that_settles_it(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(410)
    webhook = await api.create(receiver.url)
    await api.publish(1)
    worker = deliverer(parts, "a")
    held = await claim_one(worker)
    assert held is not None
    sent = await sent_by(worker, held)
    async with failing(parts, "attempts", "57P01"):
        with pytest.raises(Unavailable):
            await worker.settle([sent])
        assert (await api.read(f"webhooks/{webhook['id']}"))["enabled"]
    assert set((await worker.settle([sent])).disabled) == {held.webhook_id}
    assert not (await api.read(f"webhooks/{webhook['id']}"))["enabled"]


async def test_a_settle_is_safe_to_repeat(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(500)
    await api.create(receiver.url, retry={"schedule_s": [0, 3600], "jitter_ratio": 0})
    (event,) = await api.publish(1)
    worker = deliverer(parts, "a")
    delivery = await claim_one(worker)
    assert delivery is not None
    sent = await sent_by(worker, delivery)
    assert (await worker.settle([sent])).settled == 1
    due_at = (await delivery_of(api, event))["due_at"]
    assert (await worker.settle([sent])).lost == [delivery.id]
    # Neither may a worker that stops give back what it has postponed already.
    await worker.release([delivery])
    after = await delivery_of(api, event)
    assert (after["attempts"], len(after["attempt_log"]), after["due_at"]) == (1, 1, due_at)


async def test_a_429_slows_the_webhook_until_the_receiver_is_ready(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(429, 200, headers={"Retry-After": "2"})
    webhook = await api.create(receiver.url, max_concurrency=1)
    await api.publish(*range(3))
    async with working(parts):
        (first,) = await receiver.takes(1)
        view = await eventually(lambda: _throttled(api, webhook["id"]))
        assert view["health"]["reason"] == "The last attempt exceeded the rate that the receiver allows: 429."
        requests = await receiver.takes(4)
        await finished(api, 3)
    assert requests[1].at - first.at >= 1.9
    assert (await api.read(f"webhooks/{webhook['id']}"))["health"]["status"] == "throttled"


async def _throttled(api: Api, webhook_id: str) -> dict[str, Any] | None:
    view: dict[str, Any] = await api.read(f"webhooks/{webhook_id}")
    return view if view["health"]["status"] == "throttled" else None


async def test_a_retry_after_the_last_attempt_starts_the_schedule_over(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 500, 500, 200)
    await api.create(receiver.url, retry={"schedule_s": [0, 0], "jitter_ratio": 0})
    (event,) = await api.publish(1)
    async with working(parts):
        (failed,) = await finished(api, 1)
        assert (failed["state"], failed["attempts"]) == ("failed", 2)
        assert (await api.post(f"deliveries/{failed['id']}/retry")).status_code == 200
        await finished(api, 1)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 4)
    assert sorted(attempt["number"] for attempt in delivery["attempt_log"]) == [1, 2, 3, 4]


async def test_attempts_that_time_out_count_beside_quick_ones(api: Api, receiver: Receiver, parts: Container) -> None:
    never = asyncio.Event()

    async def answer(received: Received) -> web.Response:
        if int(received.body) % 2:
            await never.wait()
        return web.Response()

    receiver.answer = answer
    later = {"schedule_s": [0, 3600], "jitter_ratio": 0}
    webhook = await api.create(receiver.url, timeout_s=1, max_concurrency=20, retry=later)
    await api.publish(*range(20))

    async def failed_by_half() -> dict[str, Any] | None:
        health: dict[str, Any] = (await api.read(f"webhooks/{webhook['id']}"))["health"]
        return health if health["reason"] == "10 of the last 20 attempts failed: timed out." else None

    async with working(parts):
        health = await eventually(failed_by_half)
        never.set()
    assert health["status"] == "unavailable"
