"""What a user asks for is sent at once, or the answer shows what holds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.bootstrap.container import Container
from monitor.domain.services.jobs import JobCommands
from tests.integration.support import (
    ONCE,
    WITHIN_S,
    Api,
    Receiver,
    answering,
    assert_problem,
    delivery_of,
    eventually,
    execute,
    finished,
    working,
)


async def trip(api: Api, parts: Container, receiver: Receiver, **members: object) -> tuple[str, list[str]]:
    """Let five deliveries of a new webhook fail, which opens its breaker; return its id and their events."""
    webhook = await api.create(receiver.url, retry=ONCE, **members)
    events = await api.publish(*range(5))
    await finished(api, 5)
    return webhook["id"], events


async def test_a_retry_by_hand_is_sent_although_the_breaker_is_open(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 500, 500, 500, 500, 200)
    async with working(parts):
        id_, events = await trip(api, parts, receiver)
        (waiting,) = await api.publish("held")
        held = (await delivery_of(api, waiting))["held"]
        assert held["reason"] == "circuit_open"
        assert datetime.fromisoformat(held["until"])
        assert (await api.read(f"webhooks/{id_}"))["held"] == held
        failed = await delivery_of(api, events[3])
        answer = await api.post(f"deliveries/{failed['id']}/retry")
        assert answer.json()["held"] is None
        # The delivery that was asked for is the probe, though another one has waited for longer.
        await receiver.takes(6, within_s=10)
        assert receiver.ids[5] == events[3]
        await receiver.takes(7)
    assert receiver.ids[6] == waiting
    assert (await delivery_of(api, events[3]))["state"] == "delivered"


@pytest.mark.parametrize("how", ["retry", "replay"])
async def test_a_schedule_that_starts_over_waits_as_long_as_the_receiver_asks(
    how: str, api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(500, 500, 503, headers={"Retry-After": "3600"})
    webhook = await api.create(receiver.url, retry={"schedule_s": [0, 0.01], "jitter_ratio": 0})
    async with working(parts):
        (event,) = await api.publish(1)
        (failed,) = await finished(api, 1)
        assert (failed["state"], failed["attempts"]) == ("failed", 2)
        if how == "retry":
            assert (await api.post(f"deliveries/{failed['id']}/retry")).status_code == 200
        else:
            now = datetime.now(UTC)
            range_ = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
            assert (await api.post(f"webhooks/{webhook['id']}/replay", json=range_)).status_code == 202
            await JobCommands(parts.unit_of_work).run()

        async def was_refused() -> bool:
            return bool((await delivery_of(api, event))["attempts"] == 3)

        await eventually(was_refused)
    delivery = await delivery_of(api, event)
    assert (delivery["state"], delivery["last_status_code"]) == ("pending", 503)
    asked_at = datetime.fromisoformat(delivery["attempt_log"][0]["at"])
    wait = datetime.fromisoformat(delivery["due_at"]) - asked_at
    assert timedelta(hours=1) <= wait < timedelta(hours=1, seconds=WITHIN_S)


async def test_the_answer_to_a_retry_shows_what_holds_it(api: Api, receiver: Receiver, parts: Container) -> None:
    webhook = await api.create(receiver.url)
    (event,) = await api.publish(1)
    await api.post(f"webhooks/{webhook['id']}/pause")
    delivery = await delivery_of(api, event)
    for answer in (await api.post(f"deliveries/{delivery['id']}/retry"), await api.get(f"deliveries/{delivery['id']}")):
        assert answer.json()["held"] == {"reason": "paused", "until": None, "detail": None}
    assert (await api.post(f"webhooks/{webhook['id']}/resume")).json()["held"] is None


async def test_a_retry_of_a_delivery_whose_event_was_dropped_is_a_conflict(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(410)
    await api.create(receiver.url, retry=ONCE)
    async with working(parts):
        (event,) = await api.publish(1)
        await finished(api, 1)
    delivery = await delivery_of(api, event)
    await execute(parts, "DELETE FROM events")
    problem = assert_problem(await api.post(f"deliveries/{delivery['id']}/retry"), 409)
    assert "retention" in problem["detail"]
    assert (await api.read(f"deliveries/{delivery['id']}"))["state"] == "failed"


async def test_a_retry_beside_a_probe_waits_for_it(api: Api, receiver: Receiver, parts: Container) -> None:
    receiver.answer = answering(500)
    async with working(parts):
        _, events = await trip(api, parts, receiver)
        for event in events[:2]:
            await api.post(f"deliveries/{(await delivery_of(api, event))['id']}/retry")
        await receiver.takes(6)

        async def waits() -> bool:
            views = [await delivery_of(api, event) for event in events[:2]]
            return [view["held"] and view["held"]["reason"] for view in views if view["state"] == "pending"] in (
                ["circuit_open"],
                [],
            )

        await eventually(waits)
