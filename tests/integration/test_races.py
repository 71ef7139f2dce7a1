"""What two people, two workers or an outage do at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from monitor.bootstrap.container import Container
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.job import ReplayParameters
from monitor.domain.errors import Unavailable
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.jobs import JobCommands
from monitor.domain.vocab import DeliveryState
from monitor.settings.schema import SecretKey, Secrets
from tests import samples
from tests.integration.support import Api, Receiver, answering, deliverer, eventually, settings, working
from tests.servers import in_thread

LATER = {"schedule_s": [0, 3600], "jitter_ratio": 0}


async def test_retrying_deliveries_of_a_webhook_that_is_being_deleted_ends_in_no_deadlock(
    api: Api, receiver: Receiver
) -> None:
    for _ in range(5):
        webhook = await api.create(receiver.url)
        await api.publish(*range(20))
        ids = await api.ids("deliveries", webhook_id=webhook["id"])
        answers = await asyncio.gather(
            *(api.post(f"deliveries/{id_}/retry") for id_ in ids), api.call("DELETE", f"webhooks/{webhook['id']}")
        )
        assert {answer.status_code for answer in answers} <= {200, 204, 404}


async def test_a_receiver_that_is_gone_can_be_changed_while_its_410_is_settled(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    receiver.answer = answering(410)
    webhook = await api.create(receiver.url)
    await api.publish(*range(40))
    async with working(parts):
        statuses = set()
        for number in range(40):
            answer = await api.call("PATCH", f"webhooks/{webhook['id']}", json={"description": str(number)})
            statuses.add(answer.status_code)
    assert statuses == {200}


@pytest.mark.parametrize(("method", "sub"), [("DELETE", ""), ("POST", "/resume")])
async def test_a_change_of_a_webhook_waits_for_the_first_look_at_it_and_not_the_look_for_the_change(
    api: Api, receiver: Receiver, parts: Container, method: str, sub: str
) -> None:
    webhook = await api.create(receiver.url)
    await api.post(f"webhooks/{webhook['id']}/pause")
    looking = await asyncpg.connect(parts.database.dsn)
    try:
        look = looking.transaction()
        await look.start()
        await looking.execute("SELECT 1 FROM webhook_lanes FOR UPDATE")
        changing = asyncio.create_task(api.call(method, f"webhooks/{webhook['id']}{sub}"))
        await eventually(lambda: _is_waiting(parts))
        # A reference to the webhook, which nobody may be changing then.
        await looking.execute(
            "INSERT INTO webhook_baselines (webhook_id, baselines, evaluated_at, signals, normal)"
            " VALUES ($1, '', now(), '{}', '{}')",
            webhook["id"],
        )
        await look.commit()
        assert (await changing).status_code in {200, 204}
    finally:
        await looking.close()


async def test_what_was_accepted_during_a_deletion_is_cancelled(api: Api, receiver: Receiver, parts: Container) -> None:
    webhook = await api.create(receiver.url)
    async with parts.unit_of_work() as uow:
        event = samples.event(parts.clock)
        [subscription] = await uow.events.subscriptions({event.type}, limit=10) or []
        assert (await api.call("DELETE", f"webhooks/{webhook['id']}")).status_code == 204
        await uow.events.add([event], [NewDelivery(parts.clock.new_id(), event.id, subscription.webhook_id)])
        await uow.commit()
    await JobCommands(parts.unit_of_work).cancel_left_behind()
    [delivery] = (await api.read("deliveries", params={"event_id": str(event.id)}))["items"]
    assert delivery["state"] == "cancelled"


async def test_a_lane_that_was_waited_for_has_the_configuration_of_after_the_wait(api: Api, parts: Container) -> None:
    webhook_id = UUID((await api.create("http://127.0.0.1:9/hook", max_concurrency=3))["id"])

    async def max_concurrency() -> int:
        async with parts.unit_of_work() as uow:
            return (await uow.queue.lock_lanes([webhook_id]))[webhook_id].max_concurrency

    changing = await asyncpg.connect(parts.database.dsn)
    try:
        async with changing.transaction():
            await changing.execute("SELECT FROM webhook_lanes FOR UPDATE")
            await changing.execute("UPDATE webhooks SET max_concurrency = 7")
            reading = asyncio.create_task(max_concurrency())
            await eventually(lambda: _is_waiting(parts))
        assert await reading == 7
    finally:
        await changing.close()


async def _disable(parts: Container, webhook_id: UUID) -> None:
    async with parts.unit_of_work() as uow:
        await uow.webhooks.disable(webhook_id, "It is gone.")
        await uow.commit()


async def _replay(parts: Container, webhook_id: UUID) -> None:
    async with parts.unit_of_work() as uow:
        states = (DeliveryState.FAILED,)
        chosen = ReplayParameters(webhook_id=webhook_id, from_at=uow.now, to_at=uow.now, states=states)
        await uow.queue.requeue_finished(chosen, after=None, limit=10, per_s=1.0, after_s=0.0)
        await uow.commit()


@pytest.mark.parametrize("change", [_disable, _replay])
async def test_whatever_changes_a_webhook_locks_its_lane_first(
    parts: Container, change: Callable[[Container, UUID], Coroutine[Any, Any, None]]
) -> None:
    webhook = await samples.add_webhook(parts.unit_of_work, parts.clock)
    other = await asyncpg.connect(parts.database.dsn)
    try:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT 1 FROM webhook_lanes FOR UPDATE")
        changing = asyncio.ensure_future(change(parts, webhook.id))
        await eventually(lambda: _is_waiting(parts))
        await other.execute("SELECT 1 FROM webhooks FOR UPDATE NOWAIT")
        await holding.commit()
        await changing
    finally:
        await other.close()


async def test_resuming_leaves_a_lease_that_was_just_taken_alone(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url)
    await api.publish(1)
    await api.post(f"webhooks/{webhook['id']}/pause")
    other = await asyncpg.connect(parts.database.dsn)
    try:
        leasing = other.transaction()
        await leasing.start()
        await other.execute("SELECT 1 FROM webhook_lanes FOR UPDATE")
        await other.execute(
            "UPDATE deliveries SET due_at = now() + '30 s', leased_by = 'other', fencing_token = fencing_token + 1"
        )
        resuming = asyncio.create_task(api.post(f"webhooks/{webhook['id']}/resume"))
        await eventually(lambda: _is_waiting(parts))
        await leasing.commit()
        assert (await resuming).status_code == 200
        assert await other.fetchval("SELECT due_at > now() + interval '20 s' FROM deliveries")
    finally:
        await other.close()


async def _is_waiting(parts: Container) -> bool:
    rows = await parts.database.fetch("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(rows)


async def test_webhooks_without_tokens_do_not_hide_the_others(api: Api, receiver: Receiver, parts: Container) -> None:
    worker = deliverer(parts, "w", lanes_per_claim=2)
    for _ in range(4):
        await api.create(receiver.url, event_types=["slow.*"], rate_limit={"per_s": 0.001, "burst": 1})
    await api.publish(1, 2, type="slow.one")
    while await _claimed(worker):
        pass
    await api.create(receiver.url, event_types=["fast.*"])
    (event,) = await api.publish(1, type="fast.one")
    claim = await worker.claim(None, 10)
    assert [str(delivery.event_id) for delivery in claim.deliveries] == [event]


async def _claimed(worker: Deliverer) -> int:
    claim = await worker.claim(None, 10)
    return len(claim.deliveries)


async def test_a_webhook_whose_secret_does_not_open_waits_and_is_not_quarantined(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    (event,) = await api.publish(1)
    forgotten = Secrets(keys=(SecretKey("new", "B" * 43),))
    async with Container(msgspec.structs.replace(settings(parts.database.dsn), secrets=forgotten)) as other:
        claim = await deliverer(other, "w").claim(None, 10)
    assert claim.deliveries == []
    (row,) = await parts.database.fetch("SELECT leased_by, crashes, attempts FROM deliveries")
    assert dict(row) == {"leased_by": None, "crashes": 0, "attempts": 0}
    await parts.database.fetch("UPDATE deliveries SET due_at = now()")
    async with working(parts):
        await eventually(lambda: [got.id for got in receiver.requests] == [event])


async def test_a_connection_that_was_cut_makes_a_change_answer_503(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    webhook = await api.create(receiver.url)
    await parts.database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    statuses = [
        (await api.call("PATCH", f"webhooks/{webhook['id']}", json={"name": "still there"})).status_code
        for _ in range(20)
    ]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


@pytest.mark.parametrize("ticks", range(5))
async def test_a_connection_cut_between_two_statements_is_an_outage_however_far_the_news_has_come(
    parts: Container, ticks: int
) -> None:
    async with parts.unit_of_work() as uow:
        await uow.idempotency.begin("test", "key", b"")
    with pytest.raises(Unavailable):
        await _cut_between_statements(parts, ticks)


async def _cut_between_statements(parts: Container, ticks: int) -> None:
    async with parts.unit_of_work() as uow:
        # Blocks our loop, so the server's last words and the end of the connection wait to be read one by one.
        in_thread(lambda: _cut_all(parts.database.dsn))
        for _ in range(ticks):
            await asyncio.sleep(0)
        await uow.idempotency.begin("test", "key", b"")


async def _cut_all(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_connections_that_ended_while_nobody_used_them_cost_no_caller_an_error(
    api: Api, receiver: Receiver, parts: Container
) -> None:
    await api.create(receiver.url)
    for _ in range(2):
        # Several at once, so that the pool holds several.
        statuses = await asyncio.gather(*(_status_of_a_post(api) for _ in range(4)))
        assert set(statuses) == {202}
        await _cut_all(parts.database.dsn)
        for _ in range(10):
            # The news is here; it only has to be read.
            await asyncio.sleep(0)


async def _status_of_a_post(api: Api) -> int:
    return (await api.post("events", json={"type": "order.paid", "payload": 1})).status_code


async def test_a_report_from_the_future_does_not_blind_us(api: Api, parts: Container) -> None:
    async with Receiver(answering(500)) as receiver:
        webhook = await api.create(receiver.url, retry=LATER)
        (row,) = await parts.database.fetch("SELECT now() + interval '4 min' AS at")
        report = {"delivered_at": row["at"].isoformat(), "status_code": 200, "latency_ms": 3}
        assert (await api.post(f"webhooks/{webhook['id']}/attempts", json={"attempts": [report]})).status_code == 202
        await api.publish(*range(6))
        async with working(parts):
            await eventually(lambda: len(receiver.requests) >= 5)
            await eventually(lambda: _status_is(api, webhook["id"], "unavailable"))


async def _status_is(api: Api, webhook_id: str, status: str) -> bool:
    health = (await api.read(f"webhooks/{webhook_id}"))["health"]
    return bool(health["status"] == status)
