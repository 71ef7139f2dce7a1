"""The delivery worker against receivers on real sockets: what it retries, when it stops, whom it spares."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from statistics import median
from typing import Any

import msgspec
import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
from monitor.domain.delivery.circuit_breaker import BreakerPolicy
from monitor.domain.delivery.lane import LanePolicy
from monitor.settings.schema import Worker
from tests.integration.support import (
    ONCE,
    Answer,
    Api,
    Received,
    Receiver,
    answering,
    delivery_of,
    eventually,
    execute,
    finished,
    settings,
    uuid_ms,
    verify,
    working,
)

SLOW_S = 15.0
"""A busy machine may need as long from the begin of an attempt to its result."""
OFTEN: dict[str, Any] = {"schedule_s": [0] + [0.001] * 40, "jitter_ratio": 0}


@asynccontextmanager
async def twin_of(parts: Container) -> AsyncIterator[Container]:
    """A second process on the same database, with the same policies."""
    async with Container(parts.settings) as twin:
        twin.policy = parts.policy
        yield twin


@pytest.fixture
async def twin(parts: Container) -> AsyncIterator[Container]:
    async with twin_of(parts) as twin:
        yield twin


def held_for(seconds: float, status: int = 200) -> Answer:
    async def answer(_: Received) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response(status=status)

    return answer


async def hang(_: Received) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


# Retries ---------------------------------------------------------------------------------------------------------


async def test_a_delivery_follows_its_schedule_under_one_message_id(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 404, 302, 200)
    created = await api.create(receiver.url, retry={"schedule_s": [0, 0.2, 0.4, 0.2], "jitter_ratio": 0})
    async with working(parts):
        (event,) = await api.publish({"n": 1})
        requests = await receiver.takes(4)
        await finished(api, 1)
    assert set(receiver.ids) == {event}
    assert len({request.body for request in requests}) == 1
    waits = [b.at - a.at for a, b in itertools.pairwise(requests)]
    # A busy machine may stall; early is never right.
    for wait, least in zip(waits, (0.2, 0.4, 0.2), strict=True):
        assert least <= wait
    for request in requests:
        verify(created["secret"], request)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 4)


async def test_a_delivery_fails_for_good_when_its_attempts_are_used_up(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500)
    await api.create(receiver.url, retry={"schedule_s": [0, 0.01, 0.01], "jitter_ratio": 0})
    async with working(parts):
        (event,) = await api.publish(1)
        await finished(api, 1)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"], delivery["last_status_code"]) == ("failed", 3, 500)
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    ("status", "header", "waits_s"),
    [
        (429, "120", (120, 121)),
        (503, "120", (120, 121)),
        (503, "date", (3_500, 3_601)),
        (429, "20", (20, 21)),
        (503, "20", (60, 61)),
        (429, "999999", (86_400, 86_401)),
        (429, "soon", (60, 61)),
        (500, "120", (60, 61)),
    ],
)
async def test_retry_after_lengthens_the_wait_on_429_and_503_and_shortens_it_on_429(
    status: int, header: str, waits_s: tuple[float, float], api: Api, receiver: Receiver, parts: Container
) -> None:
    if header == "date":
        header = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.answer = answering(status, headers={"Retry-After": header})
    await api.create(receiver.url, retry={"schedule_s": [0, 60], "jitter_ratio": 0})
    async with working(parts):
        (event,) = await api.publish(1)
        await receiver.takes(1)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["attempts"]) == ("pending", 1)
    wait_s = datetime.fromisoformat(delivery["due_at"]).timestamp() - uuid_ms(delivery["attempt_log"][0]["id"]) / 1000
    assert waits_s[0] <= wait_s < waits_s[1] + SLOW_S


async def test_410_disables_the_webhook(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(410)
    created = await api.create(receiver.url)
    async with working(parts):
        (event,) = await api.publish(1)
        await finished(api, 1)
        assert (await delivery_of(api, event))["state"] == "failed"
        view = await api.read(f"webhooks/{created['id']}")
        assert (view["enabled"], view["disabled_reason"]) == (False, "The receiver answered 410 Gone.")
        await api.publish(2)
        assert len(await api.ids("deliveries")) == 1
        receiver.answer = answering(200)
        enabled = await api.call("PATCH", f"webhooks/{created['id']}", json={"enabled": True})
        assert enabled.json()["disabled_reason"] is None
        await api.publish(3)
        await receiver.takes(2)


async def test_a_webhook_that_fails_for_five_days_is_disabled_and_may_start_over(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500)
    created = await api.create(receiver.url, retry=ONCE)
    path = f"webhooks/{created['id']}"
    async with working(parts):
        await api.publish(1)
        await finished(api, 1)
        assert (await api.read(path))["enabled"]
        await execute(parts, "UPDATE webhook_lanes SET failing_since = now() - interval '5 days 1 minute'")
        await api.publish(2)
        await finished(api, 2)

        async def disabled() -> bool:
            view = await api.read(path)
            return (view["enabled"], view["disabled_reason"]) == (False, "Every attempt failed for 5 days.")

        # Disabled by a transaction of its own, after the one that finishes the delivery.
        await eventually(disabled)
        await api.call("PATCH", path, json={"enabled": True})
        await api.publish(3)
        await finished(api, 3)
        assert (await api.read(path))["enabled"]


# Protection ------------------------------------------------------------------------------------------------------


async def test_the_breaker_opens_after_five_failures_and_lets_one_probe_through(
    own_api: Api, receiver: Receiver, own_parts: Container
) -> None:
    open_s, api = 0.6, own_api
    own_parts.policy = LanePolicy(breaker=BreakerPolicy(base_open_s=open_s))
    receiver.answer = answering(500)
    await api.create(receiver.url, max_concurrency=1, retry=OFTEN)
    async with twin_of(own_parts) as twin, working(own_parts, "a"), working(twin, "b"):
        ids = await api.publish(*range(30))
        requests = await receiver.takes(7)
        attempts = sum(row["attempts"] for row in (await api.read("deliveries"))["items"])
        known = len(receiver.requests)
        receiver.answer = answering(200)
        rows = await finished(api, 30)
    # The sixth is the first probe. Each probe that fails doubles the opening; waits between are those of closed.
    waits = [b.at - a.at for a, b in itertools.pairwise(requests)]
    for wait, least in zip(waits[4:], (open_s, 2 * open_s), strict=True):
        assert least <= wait
    assert median(waits[:4]) < open_s
    assert receiver.most_in_flight == 1
    assert attempts <= known
    assert {row["state"] for row in rows} == {"delivered"}
    # Waiting behind the breaker has cost nobody an attempt.
    assert sum(row["attempts"] for row in rows) == len(receiver.requests) <= 30 + 7 + 1
    assert set(receiver.ids) == set(ids)


async def test_a_webhook_is_never_sent_more_at_once_than_it_allows(
    api: Api, receiver: Receiver, parts: Container, twin: Container
) -> None:
    receiver.answer = held_for(0.03)
    await api.create(receiver.url, max_concurrency=3)
    async with working(parts, "a"), working(twin, "b"):
        await api.publish(*range(60))
        await finished(api, 60)
    assert receiver.most_in_flight == 3
    assert len(receiver.requests) == 60


async def test_a_rate_limit_holds_over_every_stretch_of_time(
    api: Api, receiver: Receiver, parts: Container, twin: Container
) -> None:
    per_s, burst = 20, 5
    await api.create(receiver.url, rate_limit={"per_s": per_s, "burst": burst}, max_concurrency=100)
    async with working(parts, "a"), working(twin, "b"):
        await api.publish(*range(60))
        requests = await receiver.takes(60)
    slack_s = 1.0  # what a request may take longer on its way than another; twice the rate would still show
    for i, first in enumerate(requests):
        for count, last in enumerate(requests[i:], start=1):
            assert count <= burst + per_s * (last.at - first.at + slack_s) + 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_ordered_webhook_gets_its_events_one_by_one_in_order(
    workers: int, api: Api, receiver: Receiver, parts: Container, twin: Container
) -> None:
    async def answer(received: Received) -> web.Response:
        return web.Response(status=500 if received.number in {4, 5, 9} else 200)

    receiver.answer = answer
    await api.create(receiver.url, ordered=True, retry={"schedule_s": [0, 0.02, 0.02], "jitter_ratio": 0})
    async with AsyncExitStack() as stack:
        for part in (parts, twin)[:workers]:
            await stack.enter_async_context(working(part, f"worker {id(part)}"))
        ids = [id_ for i in range(5) for id_ in await api.publish(*range(i, i + 4))]
        await finished(api, 20)
    expected = [id_ for i, id_ in enumerate(ids) for _ in range({3: 3, 6: 2}.get(i, 1))]
    assert receiver.ids == expected
    assert receiver.most_in_flight == 1


async def test_a_slow_receiver_does_not_slow_another(api: Api, parts: Container) -> None:
    async with Receiver(hang) as slow, Receiver() as fast, AsyncExitStack() as stack:
        small = msgspec.structs.replace(parts.settings, worker=Worker(poll_s=0.1, concurrency=20, drain_s=0.01))
        own = await stack.enter_async_context(Container(small))
        await api.create(slow.url, event_types=["slow"])
        await api.create(fast.url, event_types=["fast"])
        async with working(own):
            await api.publish(*range(100), type="slow")
            await slow.takes(10)
            for i in range(10):
                await api.publish(*range(10), type="fast")
                await fast.takes(10 * (i + 1))
            assert len(slow.requests) == 10
            assert slow.in_flight == 10


async def test_a_receiver_that_hangs_costs_its_timeout_and_no_more(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = hang
    await api.create(receiver.url, timeout_s=1, retry=ONCE)
    async with working(parts):
        (event,) = await api.publish(1)
        await finished(api, 1)
    (attempt,) = (await delivery_of(api, event))["attempt_log"]
    assert attempt["error"] == "timeout"
    assert attempt["latency_ms"] >= 1000


async def test_a_change_of_a_webhook_holds_for_what_still_waits(api: Api, parts: Container) -> None:
    async with Receiver(answering(500)) as old, Receiver() as new, working(parts):
        created = await api.create(old.url, retry={"schedule_s": [0, 0.01] + [0.01] * 48, "jitter_ratio": 0})
        (event,) = await api.publish(1)
        await old.takes(1)
        changed = await api.call(
            "PATCH", f"webhooks/{created['id']}", json={"url": new.url, "headers": {"X-New": "yes"}}
        )
        assert changed.status_code == 200
        await new.takes(1)
        await finished(api, 1)
    assert new.requests[0].id == event
    assert new.requests[0].headers["x-new"] == "yes"
    verify(created["secret"], new.requests[0])


# All of it -------------------------------------------------------------------------------------------------------


async def test_two_hundred_events_reach_ten_receivers_once_each_and_signed(api: Api, parts: Container) -> None:
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(Receiver()) for _ in range(10)]
        secrets = [(await api.create(receiver.url))["secret"] for receiver in receivers]
        async with working(parts):
            ids = [
                id_ for batch in range(10) for id_ in await api.publish(*({"batch": batch, "n": n} for n in range(20)))
            ]
            await finished(api, 1, within_s=60)
        overview = await api.read("dashboard/overview")
        webhooks = (await api.read("webhooks"))["items"]
    for receiver, secret in zip(receivers, secrets, strict=True):
        assert Counter(receiver.ids) == Counter(ids)
        for request in receiver.requests:
            verify(secret, request)
    assert overview["traffic"]["attempts"] == 2000
    assert overview["traffic"]["success_ratio"] == 1
    assert overview["queue"]["pending"] == 0
    assert {row["last_hour"]["attempts"] for row in webhooks} == {200}


async def test_two_workers_share_the_work_and_send_nothing_twice(
    api: Api, parts: Container, twin: Container, receiver: Receiver
) -> None:
    receiver.answer = held_for(0.01)
    await api.create(receiver.url, max_concurrency=50)
    own = settings(parts.database.dsn, worker=Worker(poll_s=0.1, concurrency=10))
    async with Container(own) as third, working(third, "c"), working(parts, "a"), working(twin, "b"):
        ids = await api.publish(*range(200))
        rows = await finished(api, 200)
    assert sorted(receiver.ids) == sorted(ids)
    assert {(row["state"], row["attempts"]) for row in rows} == {("delivered", 1)}
    await eventually(lambda: receiver.in_flight == 0)
