"""A receiver that refuses the credentials, or has nothing at the URL, holds its deliveries, and the answers say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from monitor.bootstrap.container import Container
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
    working,
)

Change = Callable[[Api, str, str], Awaitable[Any]]


def requiring(token: str) -> Answer:
    """Answer 401 unless a request has *token* in ``x-token``."""

    async def answer(received: Received) -> web.Response:
        return web.Response(status=200 if received.headers.get("x-token") == token else 401)

    return answer


async def refuse(api: Api, receiver: Receiver, **members: Any) -> tuple[str, list[str]]:
    """Let three deliveries of a new webhook be refused; return its id and their events."""
    webhook = await api.create(receiver.url, retry=ONCE, **members)
    events = await api.publish(*range(3))
    await finished(api, 3)
    return webhook["id"], events


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "the receiver refuses the credentials"),
        (403, "the receiver forbids the requests"),
        (404, "the receiver has nothing at this URL"),
    ],
)
async def test_refused_deliveries_are_held_with_the_cause_and_burn_no_attempt(
    api: Api, receiver: Receiver, parts: Container, status: int, words: str
) -> None:
    receiver.answer = answering(status)
    async with working(parts):
        id_, _ = await refuse(api, receiver)
        waiting = await api.publish(*range(5))
        deliveries = [await delivery_of(api, event) for event in waiting]
        webhook = await api.read(f"webhooks/{id_}")
    for one in deliveries:
        assert (one["state"], one["attempts"]) == ("pending", 0)
        assert one["held"] == webhook["held"]
    assert webhook["held"]["reason"] == "refused"
    assert webhook["held"]["detail"].startswith(f"{status} since ")
    assert f"UTC: {words}; next try at " in webhook["held"]["detail"]
    assert f"{status}, {words}" in webhook["health"]["reason"]
    assert len(receiver.requests) == 3


async def test_a_probe_goes_out_when_the_hold_ends_and_releases_the_others(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(401)
    async with working(parts):
        id_, _ = await refuse(api, receiver)
        await api.publish(*range(4))
        receiver.answer = answering(200)
        await execute(parts, "UPDATE webhook_lanes SET breaker_until = now()")
        await finished(api, 4)
    assert (await api.read(f"webhooks/{id_}"))["held"] is None
    assert len(receiver.requests) == 3 + 4


async def test_a_server_error_keeps_the_breaker_without_a_cause(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(500)
    async with working(parts):
        id_, _ = await refuse(api, receiver)
        assert (await api.read(f"webhooks/{id_}"))["held"] is None
        await api.publish(*range(2))
        await finished(api, 5)
    held = (await api.read(f"webhooks/{id_}"))["held"]
    assert (held["reason"], held["detail"]) == ("circuit_open", None)


async def change_headers(api: Api, id_: str, _: str) -> Any:
    return await api.call("PATCH", f"webhooks/{id_}", json={"headers": {"x-token": "right"}})


async def rotate_secret(api: Api, id_: str, _: str) -> Any:
    return await api.post(f"webhooks/{id_}/rotate-secret")


async def change_url(api: Api, id_: str, url: str) -> Any:
    return await api.call("PATCH", f"webhooks/{id_}", json={"url": f"{url}?new"})


async def retry_by_hand(api: Api, id_: str, _: str) -> Any:
    failed = await api.read("deliveries", params={"webhook_id": id_, "state": "failed", "limit": 1})
    return await api.post(f"deliveries/{failed['items'][0]['id']}/retry")


@pytest.mark.parametrize("change", [change_headers, rotate_secret, change_url, retry_by_hand])
async def test_a_change_of_the_configuration_or_a_retry_ends_the_hold_at_once(
    api: Api, receiver: Receiver, parts: Container, change: Change
) -> None:
    receiver.answer = requiring("right") if change is change_headers else answering(401)
    async with working(parts):
        id_, _ = await refuse(api, receiver, headers={"x-token": "wrong"})
        waiting = await api.publish(*range(3))
        if change is not change_headers:
            receiver.answer = answering(200)
        answer = await change(api, id_, receiver.url)
        assert answer.status_code == 200, answer.text
        for event in waiting:

            async def is_delivered(event: str = event) -> bool:
                return bool((await delivery_of(api, event))["state"] == "delivered")

            # Far below the 30 s of the first hold.
            await eventually(is_delivered, within_s=20)


async def test_a_change_of_the_name_leaves_the_hold(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(401)
    async with working(parts):
        id_, _ = await refuse(api, receiver, headers={"x-token": "wrong"})
    held = (await api.read(f"webhooks/{id_}"))["held"]
    answer = await api.call("PATCH", f"webhooks/{id_}", json={"name": "other", "headers": {"x-token": "***"}})
    assert answer.json()["held"] == held
