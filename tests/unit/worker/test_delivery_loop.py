"""The delivery loop over a database and receivers that exist only in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import structlog.testing

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.errors import Unavailable
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery, Settlement
from monitor.domain.webhooks.destination import Destination
from monitor.worker.config import DeliveryConfig
from tests.fakes.egress.sender import FakePendingSend
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.worker.delivery_site import Site, events, running
from tests.waiting import until

# ------------------------------------------------------------------------------------------------------ claims and room


async def test_what_waits_at_the_start_is_delivered(site: Site) -> None:
    await site.webhook(25)
    async with running(site.worker()):
        await until(lambda: site.delivered == 25)


async def test_a_new_event_wakes_the_worker_without_a_poll(site: Site) -> None:
    webhook_id = await site.webhook()
    async with running(site.worker()) as task:
        await until(lambda: bool(site.database.listeners))
        await site.publish(webhook_id)
        await until(lambda: site.delivered == 1)
        assert not task.done()


async def test_a_lost_wakeup_is_made_good_by_the_poll(site: Site) -> None:
    webhook_id = await site.webhook()
    async with running(site.worker(DeliveryConfig(poll_s=0.01))):
        await until(lambda: bool(site.database.listeners))
        site.database.wakeups_late = True
        await site.publish(webhook_id)
        await until(lambda: site.delivered == 1)


async def test_a_late_wakeup_sends_nothing_twice(site: Site) -> None:
    webhook_id = await site.webhook()
    async with running(site.worker(DeliveryConfig(poll_s=0.01))):
        await until(lambda: bool(site.database.listeners))
        site.database.wakeups_late = True
        await site.publish(webhook_id)
        await until(lambda: site.delivered == 1)
        site.database.wakeups_late = False
        await site.publish(webhook_id)
        await until(lambda: site.delivered == 2)
    assert len(site.sender.requests) == 2


async def test_no_more_attempts_run_at_once_than_allowed(site: Site) -> None:
    await site.webhook(30, max_concurrency=100)
    site.sender.open.clear()
    worker = site.worker(DeliveryConfig(concurrency=7, poll_s=0.005))
    async with running(worker):
        await until(lambda: len(site.sender.requests) == 7)
        worker.wake(None)
        await asyncio.sleep(0.03)
        assert (worker.held, len(site.sender.requests)) == (7, 7)
        site.sender.open.set()
        await until(lambda: site.delivered == 30)


async def test_a_full_webhook_goes_on_as_soon_as_something_of_it_settles(site: Site) -> None:
    await site.webhook(9, max_concurrency=2)
    async with running(site.worker()):
        await until(lambda: site.delivered == 9)


async def test_a_slow_receiver_leaves_room_for_the_others(site: Site) -> None:
    slow = await site.webhook(10, url="https://slow.example/", max_concurrency=2)
    await site.webhook(10, url="https://fast.example/")
    hanging = asyncio.Event()
    send = site.sender.send

    async def slow_or_not(request: OutboundRequest) -> Outcome:
        if "slow" in request.url:
            await hanging.wait()
        return await send(request)

    site.sender.send = slow_or_not  # type: ignore[method-assign]
    async with running(site.worker(DeliveryConfig(concurrency=4, poll_s=0.01))):
        await until(lambda: site.delivered == 10)
        assert {done.webhook_id for done in site.database.tables.finished.values()} != {slow}
        hanging.set()
        await until(lambda: site.delivered == 20)


async def test_results_that_cannot_be_settled_stop_claiming_at_the_backlog(site: Site) -> None:
    await site.webhook(30, max_concurrency=100)
    worker = site.worker(DeliveryConfig(concurrency=10, backlog=15, poll_s=0.002, retry_s=0.002))
    deliverer = worker._deliverer
    settle = deliverer.settle

    async def away(batch: object) -> Settlement:
        raise Unavailable("The database is not reachable.")

    deliverer.settle = away  # type: ignore[method-assign]
    async with running(worker):
        await until(lambda: worker.held == 15)
        await asyncio.sleep(0.02)
        assert worker.held == 15
        deliverer.settle = settle  # type: ignore[method-assign]
        await until(lambda: site.delivered == 30)


async def test_a_busy_worker_sends_each_delivery_once(site: Site) -> None:
    await site.webhook(400, max_concurrency=1_000)
    async with running(site.worker(DeliveryConfig(concurrency=4, ahead_s=0.001, gather_s=0.001, poll_s=0.01))):
        await until(lambda: site.delivered == 400)
    assert len(site.sender.requests) == len(site.database.tables.attempts) == 400


async def test_a_hint_that_came_while_the_backlog_was_full_is_looked_at_after_the_next_settle(site: Site) -> None:
    worker = site.worker(DeliveryConfig(concurrency=1, backlog=1))
    first = await site.webhook(1)
    assert await worker.claim() == 1
    await until(lambda: not worker._in_flight)
    await site.publish(first)
    worker._poll_all = False
    worker.wake([first])
    worker._claimable.clear()
    assert await worker.claim() == 0
    assert await worker.settle() == 1
    assert worker._claimable.is_set()
    assert await worker.claim() == 1
    await until(lambda: not worker._in_flight)


async def test_a_claim_with_hints_looks_at_those_webhooks_only(site: Site) -> None:
    first, second = await site.webhook(1), await site.webhook(1)
    worker = site.worker()
    worker._poll_all = False
    worker.wake([second])
    assert await worker.claim() == 1
    await until(lambda: not worker._in_flight)
    await worker.settle()
    assert {done.webhook_id for done in site.database.tables.finished.values()} == {second}
    worker.wake([first])
    assert await worker.claim() == 1
    await until(lambda: not worker._in_flight)


# -------------------------------------------------------------------------------------------------------------- outages


async def test_an_outage_delays_deliveries_and_loses_none(site: Site) -> None:
    webhook_id = await site.webhook(5)
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker(DeliveryConfig(poll_s=0.005, retry_s=0.005))) as task:
            await until(lambda: site.delivered == 5)
            site.database.down = True
            await until(lambda: "database_unavailable" in events(logs))
            site.database.down = False
            await site.publish(webhook_id, 5)
            await until(lambda: site.delivered == 10)
            assert not task.done()
    assert len(site.sender.requests) == 10


async def test_results_wait_for_a_database_that_cannot_commit(site: Site) -> None:
    await site.webhook(3)
    site.sender.open.clear()
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker()):
            await until(lambda: len(site.sender.requests) == 3)
            site.database.commits_fail = True
            site.sender.open.set()
            await until(lambda: "database_unavailable" in events(logs))
            assert site.delivered == 0
            site.database.commits_fail = False
            await until(lambda: site.delivered == 3)
    assert len(site.sender.requests) == 3


async def test_a_bug_in_one_step_is_logged_and_the_loop_goes_on(site: Site) -> None:
    await site.webhook(1)
    worker = site.worker(DeliveryConfig(poll_s=0.005, retry_s=0.001))
    claim, failures = worker._deliverer.claim, iter([True])

    async def claim_after_a_bug(hints: list[UUID] | None, limit: int, held: list[UUID]) -> object:
        if next(failures, False):
            raise ValueError("a bug")
        return await claim(hints, limit, held)

    worker._deliverer.claim = claim_after_a_bug  # type: ignore[assignment,method-assign]
    with structlog.testing.capture_logs() as logs:
        async with running(worker):
            await until(lambda: site.delivered == 1)
    assert "background_task_failed" in events(logs)


async def test_a_sender_that_breaks_its_promise_stops_only_its_delivery(site: Site) -> None:
    await site.webhook(1)

    def broken(_request: object, _on_outcome: object) -> FakePendingSend:
        raise ValueError("a bug")

    site.sender.start = broken  # type: ignore[assignment,method-assign]
    worker = site.worker()
    with structlog.testing.capture_logs() as logs:
        await worker.claim()
    assert events(logs) == ["send_failed"]
    assert worker.held == 0


async def test_a_webhook_deleted_between_claim_and_send_gets_nothing(site: Site) -> None:
    class Deleted(FakeQueries):
        async def destinations(self, webhook_ids: Collection[UUID]) -> dict[UUID, tuple[int, Destination]]:
            return await super().destinations([]) if webhook_ids else {}

    await site.webhook(1)
    deliverer = Deliverer(
        site.unit_of_work, Deleted(site.database), site.sender, site.clock, lambda _k, _c: "", DeliverConfig("worker-1")
    )
    worker = site.worker(deliverer=deliverer)
    await worker.claim()
    await until(lambda: not worker._in_flight)
    assert (worker.held, site.sender.requests) == (0, [])


async def test_one_result_that_the_database_refuses_does_not_hold_the_others_back(site: Site) -> None:
    class Refusing(Deliverer):
        async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
            if any(sent.delivery.id == bad for sent in batch):
                raise ValueError("a value that no column takes")
            return await super().settle(batch)

    await site.webhook(4)
    bad = next(iter(site.database.tables.deliveries))
    deliverer = Refusing(
        site.unit_of_work,
        FakeQueries(site.database),
        site.sender,
        site.clock,
        lambda _k, _c: "",
        DeliverConfig("worker-1"),
    )
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker(deliverer=deliverer)) as task:
            await until(lambda: site.delivered == 3)
            await until(lambda: "settle_failed" in events(logs))
            assert not task.done()
    assert list(site.database.tables.deliveries) == [bad]


async def test_a_rate_limited_webhook_is_looked_at_again_when_its_next_token_comes(site: Site) -> None:
    await site.webhook(3, rate_limit=RateLimit(100.0, 1))
    async with running(site.worker()):
        await until(lambda: site.delivered == 1)
        site.clock.advance(0.01)
        await until(lambda: site.delivered == 2)
        site.clock.advance(0.01)
        await until(lambda: site.delivered == 3)
