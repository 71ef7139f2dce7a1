"""A receiver or its URL is mended, a user asks for a retry, and the delivery arrives at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from monitor.bootstrap.container import Container
from tests.integration.support import (
    ONCE,
    Api,
    Receiver,
    answering,
    delivery_of,
    eventually,
    finished,
    ok,
    verify,
    working,
)

AT_ONCE_S = 10.0
"""A second, and slack for a busy machine; what holds each webhook here would hold it for half a minute or longer."""

SLOW = {"schedule_s": [0, 3600], "jitter_ratio": 0}

Break = Callable[[Api, Receiver], Awaitable[tuple[dict[str, Any], str]]]
"""Creates a webhook whose receiver fails, and returns it with the event that a user retries."""


async def failed_once(api: Api, event: str) -> None:
    async def has_failed() -> bool:
        delivery = await delivery_of(api, event)
        return delivery["attempts"] == 1 and not delivery["in_flight"]

    await eventually(has_failed)


async def open_breaker(api: Api, receiver: Receiver) -> tuple[dict[str, Any], str]:
    receiver.answer = answering(500)
    webhook = await api.create(receiver.url, retry=ONCE)
    events = await api.publish(*range(5))
    await finished(api, 5)
    held = (await api.read(f"webhooks/{webhook['id']}"))["held"]
    assert held["reason"] == "circuit_open"
    return webhook, events[2]


async def three_trips(api: Api, receiver: Receiver) -> tuple[dict[str, Any], str]:
    webhook, event = await open_breaker(api, receiver)
    for n in range(2):
        assert (await api.post(f"deliveries/{(await delivery_of(api, event))['id']}/retry")).status_code == 200
        await receiver.takes(6 + n)
        await finished(api, 5)
    return webhook, event


async def throttled(api: Api, receiver: Receiver) -> tuple[dict[str, Any], str]:
    receiver.answer = answering(429, headers={"Retry-After": "3600"})
    webhook = await api.create(receiver.url, retry=SLOW)
    (event,) = await api.publish(1)
    await failed_once(api, event)
    assert (await api.read(f"webhooks/{webhook['id']}"))["held"]["reason"] == "throttled"
    return webhook, event


async def ordered(api: Api, receiver: Receiver) -> tuple[dict[str, Any], str]:
    receiver.answer = answering(500)
    webhook = await api.create(receiver.url, ordered=True, retry=SLOW)
    event, waiting = await api.publish(1, 2)
    await failed_once(api, event)
    assert (await delivery_of(api, waiting))["held"]["reason"] == "order"
    return webhook, event


async def rate_limited(api: Api, receiver: Receiver) -> tuple[dict[str, Any], str]:
    receiver.answer = answering(422)
    webhook = await api.create(receiver.url, rate_limit={"per_s": 1, "burst": 1}, retry=ONCE)
    events = await api.publish(*range(3))
    await finished(api, 3)
    return webhook, events[1]


BROKEN = [open_breaker, three_trips, throttled, ordered, rate_limited]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_retry_after_the_url_was_mended_arrives_at_once(
    broken: Break, api: Api, receiver: Receiver, parts: Container, stack: AsyncExitStack
) -> None:
    other = await stack.enter_async_context(Receiver())
    async with working(parts):
        webhook, event = await broken(api, receiver)
        seen = len(receiver.requests)
        patched = await api.call("PATCH", f"webhooks/{webhook['id']}", json={"url": other.url})
        assert patched.status_code == 200, patched.text
        retried = await api.post(f"deliveries/{(await delivery_of(api, event))['id']}/retry")
        assert retried.status_code == 200, retried.text
        [arrived, *_] = await other.takes(1, within_s=AT_ONCE_S)
        assert arrived.id == event
        verify(webhook["secret"], arrived)
        await finished(api, 1)
    assert (await delivery_of(api, event))["state"] == "delivered"
    assert len(receiver.requests) == seen


@pytest.mark.parametrize("broken", [open_breaker, three_trips, ordered, rate_limited])
async def test_a_retry_after_the_receiver_was_mended_arrives_at_once(
    broken: Break, api: Api, receiver: Receiver, parts: Container
) -> None:
    async with working(parts):
        _, event = await broken(api, receiver)
        seen = len(receiver.requests)
        receiver.answer = ok
        retried = await api.post(f"deliveries/{(await delivery_of(api, event))['id']}/retry")
        assert retried.status_code == 200, retried.text
        await receiver.takes(seen + 1, within_s=AT_ONCE_S)
        assert receiver.ids[seen] == event
        await finished(api, 1)


async def test_a_retry_that_a_receiver_asked_to_wait_for_shows_it(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    async with working(parts):
        webhook, event = await throttled(api, receiver)
        retried = await api.post(f"deliveries/{(await delivery_of(api, event))['id']}/retry")
        held = retried.json()["held"]
        assert held["reason"] == "throttled"
        assert held == (await api.read(f"webhooks/{webhook['id']}"))["held"]
