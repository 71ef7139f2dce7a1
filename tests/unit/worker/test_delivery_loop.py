"""The delivery loop over a database and receivers that exist only in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
import structlog.testing
from structlog.typing import EventDict

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Unavailable
from monitor.domain.services.deliver import DeliverConfig, Deliverer, SentDelivery, Settlement
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.destination import Destination
from monitor.worker.delivery_loop import DeliveryConfig, DeliveryWorker
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.repositories.events import FakeWakeups
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork

QUIET = DeliveryConfig(poll_s=3_600.0, renew_s=3_600.0, retry_s=0.001, drain_s=5.0)
"""Nothing happens by the clock; a failed step is tried again at once."""


class Site:
    """One database, one receiver, any number of workers."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.sender = FakeWebhookSender()
        self.logged: list[tuple[SentDelivery, bool]] = []
        """Each attempt that was reported, and whether its delivery was lost to another worker."""

    def unit_of_work(self) -> FakeUnitOfWork:
        return FakeUnitOfWork(self.database)

    def deliverer(self) -> Deliverer:
        return Deliverer(
            self.unit_of_work,
            FakeQueries(self.database),
            self.sender,
            self.clock,
            lambda _key, _content: "v1a,x",
            DeliverConfig("worker-1"),
        )

    def worker(self, config: DeliveryConfig = QUIET, deliverer: Deliverer | None = None) -> DeliveryWorker:
        return DeliveryWorker(deliverer or self.deliverer(), FakeWakeups(self.database), config, log_attempts=self.log)

    def log(self, batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
        self.logged += [(sent, sent.delivery.id in lost) for sent in batch]

    async def webhook(self, deliveries: int = 0, **changes: object) -> UUID:
        made = await samples.add_webhook(self.unit_of_work, self.clock, **changes)
        if deliveries:
            await self.publish(made.id, deliveries)
        return made.id

    async def publish(self, webhook_id: UUID, count: int = 1) -> None:
        await samples.add_deliveries(self.unit_of_work, self.clock, webhook_id, count)

    @property
    def delivered(self) -> int:
        return sum(done.state is DeliveryState.DELIVERED for done in self.database.tables.finished.values())


@pytest.fixture
def site() -> Site:
    return Site()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(worker: DeliveryWorker) -> AsyncIterator[asyncio.Task[None]]:
    """Run *worker* with its loops under supervision, and drain it at the end."""
    async with Supervisor(sleep=at_once).running(worker.loops()):
        task = asyncio.create_task(worker.run())
        yield task
        worker.stop()
        async with asyncio.timeout(20):
            await task


async def at_once(_seconds: float) -> None:
    """Wait no longer than it takes others to have their turn."""
    await asyncio.sleep(0)


def events(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs]


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
        deaf, site.database.listeners = site.database.listeners, []
        await site.publish(webhook_id)
        site.database.listeners = deaf
        await until(lambda: site.delivered == 1)


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

    async def claim_after_a_bug(hints: list[UUID] | None, limit: int) -> object:
        if next(failures, False):
            raise ValueError("a bug")
        return await claim(hints, limit)

    worker._deliverer.claim = claim_after_a_bug  # type: ignore[assignment,method-assign]
    with structlog.testing.capture_logs() as logs:
        async with running(worker):
            await until(lambda: site.delivered == 1)
    assert "background_task_failed" in events(logs)


async def test_a_sender_that_breaks_its_promise_stops_only_its_delivery(site: Site) -> None:
    await site.webhook(1)

    def broken(_request: object) -> Outcome:
        raise ValueError("a bug")

    site.sender.receiver = broken
    worker = site.worker()
    with structlog.testing.capture_logs() as logs:
        await worker.claim()
        await until(lambda: not worker._in_flight)
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


# ------------------------------------------------------------------------------------------------------- leases, drains


async def test_everything_held_is_renewed(site: Site) -> None:
    await site.webhook(2)
    site.sender.open.clear()
    async with running(site.worker(DeliveryConfig(poll_s=3_600.0, renew_s=0.005))):
        await until(lambda: len(site.sender.requests) == 2)
        site.clock.advance(25)
        lease_end = site.clock.now() + timedelta(seconds=30)
        await until(lambda: {d.due_at for d in site.database.tables.deliveries.values()} == {lease_end})
        site.sender.open.set()
    assert site.delivered == 2


async def test_an_idle_worker_asks_the_database_for_no_renewal(site: Site) -> None:
    site.database.down = True
    await site.worker().renew()


async def test_a_delivery_that_comes_back_while_its_first_attempt_hangs_is_settled_once(site: Site) -> None:
    await site.webhook(1)
    site.sender.open.clear()
    worker = site.worker()
    await worker.claim()
    site.clock.advance(31)
    worker.wake(None)
    assert await worker.claim() == 1
    assert worker.held == 2
    site.sender.open.set()
    await until(lambda: not worker._in_flight)
    assert await worker.settle() == 2
    assert site.delivered == 1
    assert len(site.database.tables.attempts) == 1


async def test_stopping_finishes_what_is_in_flight_and_claims_nothing_more(site: Site) -> None:
    webhook_id = await site.webhook(3)
    site.sender.open.clear()
    worker = site.worker()
    with structlog.testing.capture_logs() as logs:
        async with running(worker) as task:
            await until(lambda: len(site.sender.requests) == 3)
            worker.stop()
            await until(lambda: "draining" in events(logs))
            await site.publish(webhook_id)
            site.sender.open.set()
            await until(task.done)
    assert (site.delivered, worker.held, len(site.sender.requests)) == (3, 0, 3)


async def test_what_does_not_finish_in_time_is_released_for_others(site: Site) -> None:
    await site.webhook(3)
    site.sender.open.clear()
    worker = site.worker(DeliveryConfig(poll_s=3_600.0, drain_s=0.01))
    async with running(worker):
        await until(lambda: len(site.sender.requests) == 3)
    assert worker.held == 0
    rows = site.database.tables.deliveries.values()
    assert [(row.leased_by, row.due_at, row.attempts) for row in rows] == [(None, site.clock.now(), 0)] * 3


async def test_a_worker_stops_also_while_the_database_is_away(site: Site) -> None:
    await site.webhook(2)
    site.sender.open.clear()
    worker = site.worker(DeliveryConfig(poll_s=3_600.0, drain_s=0.01, retry_s=0.001))
    with structlog.testing.capture_logs() as logs:
        async with running(worker):
            await until(lambda: len(site.sender.requests) == 2)
            site.database.down = True
    assert events(logs)[-1] == "drained"
    assert all(row.leased_by == "worker-1" for row in site.database.tables.deliveries.values())


async def test_a_worker_told_to_stop_before_it_runs_ends_at_once(site: Site) -> None:
    await site.webhook(1)
    worker = site.worker()
    worker.stop()
    async with asyncio.timeout(5):
        await worker.run()
    assert site.sender.requests == []


async def test_a_cancelled_worker_leaves_no_task_behind(site: Site) -> None:
    await site.webhook(3)
    site.sender.open.clear()
    before = asyncio.all_tasks()
    worker = site.worker()
    async with Supervisor().running(worker.loops()):
        task = asyncio.create_task(worker.run())
        await until(lambda: len(site.sender.requests) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_settling_takes_turns(site: Site) -> None:
    await site.webhook(4)
    worker = site.worker(DeliveryConfig(settle_batch=2))
    await worker.claim()
    await until(lambda: not worker._in_flight)
    assert sorted(await asyncio.gather(worker.settle(), worker.settle(), worker.settle())) == [0, 2, 2]
    assert site.delivered == 4
    assert not any(lost for _, lost in site.logged)


# -------------------------------------------------------------------------------------------------------------- reports


async def test_each_attempt_is_reported_once_without_secrets(site: Site) -> None:
    webhook_id = await site.webhook(1, retry=RetryPolicy((0.0,), 0.0))
    site.sender.receiver = lambda _: samples.GONE
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker()):
            await until(lambda: bool(site.logged))
    [(sent, lost)] = site.logged
    assert (sent.outcome.label, sent.delivery.attempts, lost) == ("410", 0, False)
    [disabled] = [line for line in logs if line["event"] == "webhook_disabled"]
    assert disabled["webhook_id"] == str(webhook_id)
    assert "blue" not in str(logs)


async def test_a_report_that_fails_leaves_the_results_settled_and_the_loop_running(site: Site) -> None:
    class Broken(Site):
        def log(self, batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
            super().log(batch, lost)
            if len(self.logged) == 1:
                raise OSError(28, "No space left on device")

    broken = Broken()
    webhook_id = await broken.webhook(1)
    with structlog.testing.capture_logs() as logs:
        async with running(broken.worker()):
            await until(lambda: "background_task_failed" in events(logs))
            await broken.publish(webhook_id)
            await until(lambda: broken.delivered == 2)
    assert len(broken.sender.requests) == 2
    assert [line["task"] for line in logs if line["event"] == "background_task_failed"] == ["worker.settle"]


async def test_leases_are_renewed_only_while_results_are_being_settled(site: Site) -> None:
    await site.webhook(2)
    worker = site.worker(msgspec.structs.replace(QUIET, lease_s=0.0))
    await worker.claim()
    await until(lambda: not worker._in_flight)
    before = {d.due_at for d in site.database.tables.deliveries.values()}
    site.clock.advance(10)

    with structlog.testing.capture_logs() as logs:
        await asyncio.sleep(0.001)
        await worker.renew()
    assert events(logs) == ["lease_renewal_stopped"]
    assert {d.due_at for d in site.database.tables.deliveries.values()} == before

    await worker.settle()
    assert site.delivered == 2


async def test_a_delivery_that_cannot_be_judged_is_logged(site: Site) -> None:
    await site.webhook(1, retry=RetryPolicy((0.0, "soon")))  # type: ignore[arg-type]
    site.sender.receiver = lambda _: samples.REFUSED
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker()):
            await until(lambda: bool(site.logged))
    assert "delivery_undecided" in events(logs)
