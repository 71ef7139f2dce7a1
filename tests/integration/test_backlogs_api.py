"""The backlog of a webhook over HTTP, and what sending it now does to a receiver that works again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role
from tests.integration.support import (
    ONCE,
    Api,
    Receiver,
    answering,
    assert_problem,
    delivery_of,
    eventually,
    finished,
    ok,
    working,
)

SLOW = {"schedule_s": [0, 3600], "jitter_ratio": 0}


async def backlog(api: Api, webhook_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await api.read(f"webhooks/{webhook_id}"))["backlog"]
    return shown


async def trip(api: Api, receiver: Receiver, **members: Any) -> tuple[str, list[str]]:
    """Let five deliveries fail, which opens the breaker, and publish three more; return the webhook and all events."""
    receiver.answer = answering(500)
    webhook = await api.create(receiver.url, **members)
    failing = await api.publish(*range(5))
    await receiver.takes(5)

    async def is_open() -> bool:
        return bool((await backlog(api, webhook["id"]))["breaker"]["state"] == "open")

    await eventually(is_open)
    return webhook["id"], [*failing, *await api.publish("a", "b", "c")]


async def test_what_waits_behind_an_open_breaker_is_shown_and_sent_now(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    async with working(parts):
        id_, events = await trip(api, receiver, retry=SLOW)

        async def all_wait() -> bool:
            return bool((await backlog(api, id_))["waiting"] == 8)

        await eventually(all_wait)
        shown = await backlog(api, id_)
        assert (shown["complete"], shown["in_flight"]) == (True, 0)
        breaker = shown["breaker"]
        assert (breaker["state"], breaker["failures_in_row"]) == ("open", 5)
        assert shown["next_try_at"] == breaker["next_probe_at"]
        opened_at, probe_at = (datetime.fromisoformat(breaker[name]) for name in ("opened_at", "next_probe_at"))
        assert probe_at - opened_at == timedelta(seconds=30)
        since = datetime.fromisoformat(shown["failing_since"])
        assert datetime.fromisoformat(shown["disables_at"]) == since + timedelta(days=5)

        receiver.answer = ok
        sent = await api.post(f"webhooks/{id_}/send-now", role=Role.OPERATOR)
        assert sent.json() == {"hastened": 5, "job": None, "held": None}
        # One request first, though eight wait and ten may be in flight.
        await receiver.takes(13)
        await finished(api, 8)
    assert sorted(receiver.ids[5:]) == sorted(events)
    over = await backlog(api, id_)
    assert (over["waiting"], over["oldest_due_at"], over["next_try_at"]) == (0, None, None)
    assert over["breaker"] == {"state": "closed", "opened_at": None, "next_probe_at": None, "failures_in_row": 0}


async def test_a_probe_that_fails_sends_nothing_else(api: Api, receiver: Receiver, parts: Container) -> None:
    async with working(parts):
        id_, _ = await trip(api, receiver, retry=SLOW)
        await api.post(f"webhooks/{id_}/send-now")

        async def is_open_again() -> bool:
            shown = (await backlog(api, id_))["breaker"]
            return bool(shown["state"] == "open" and shown["failures_in_row"] == 6)

        await eventually(is_open_again)
    assert len(receiver.requests) == 6


async def test_an_ordered_webhook_gets_what_waits_in_its_order(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(500)
    async with working(parts):
        webhook = await api.create(receiver.url, retry=SLOW, ordered=True)
        events = await api.publish(*range(4))
        await receiver.takes(1)

        async def waits_for_its_head() -> bool:
            held = (await api.read(f"webhooks/{webhook['id']}"))["held"]
            return bool(held and held["reason"] == "order" and held["until"])

        await eventually(waits_for_its_head)
        receiver.answer = ok
        assert (await api.post(f"webhooks/{webhook['id']}/send-now")).json()["hastened"] == 1
        await receiver.takes(5)
    assert receiver.ids[1:] == events


@pytest.mark.parametrize("held", ["pause", "disable"])
async def test_what_a_user_holds_is_not_sent(held: str, api: Api, receiver: Receiver) -> None:
    webhook = await api.create(receiver.url)
    path = f"webhooks/{webhook['id']}"
    if held == "pause":
        await api.post(f"{path}/pause")
    else:
        await api.call("PATCH", path, json={"enabled": False})
    problem = assert_problem(await api.post(f"{path}/send-now"), 409)
    assert "what waits is sent" in problem["detail"]


async def test_a_webhook_shows_at_once_what_a_retry_by_hand_did(api: Api, receiver: Receiver, parts: Container) -> None:
    """The webhook is cached: it went on to say that its breaker is open after the retry had closed it."""
    async with working(parts):
        id_, events = await trip(api, receiver, retry=ONCE)
        assert (await api.read(f"webhooks/{id_}"))["held"]["reason"] == "circuit_open"
    failed = await delivery_of(api, events[0])
    # Without a worker the probe stays due, so the answer depends on nothing but the retry.
    assert (await api.post(f"deliveries/{failed['id']}/retry")).json()["held"] is None
    read = await api.read(f"webhooks/{id_}")
    assert read["held"] is None
    assert datetime.fromisoformat(read["backlog"]["next_try_at"]) <= datetime.now(UTC)


async def test_former_secrets_are_announced_until_they_end(api: Api, receiver: Receiver) -> None:
    created = await api.create(receiver.url)
    path = f"webhooks/{created['id']}"
    assert (await api.read(path))["previous_secrets_expire_at"] is None
    rotated = (await api.post(f"{path}/rotate-secret", json={"overlap_s": 3600})).json()
    assert (await api.read(path))["previous_secrets_expire_at"] == rotated["previous_expires_at"]
