"""Leases that are renewed, and workers that stop: what is finished, released and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
import structlog.testing

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.delivery.exchange import Exchange
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.errors import Unavailable
from monitor.domain.ports.unit_of_work import DataRejected
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery, Settlement
from monitor.domain.vocab import ErrorKind
from monitor.worker import writer
from monitor.worker.config import DeliveryConfig
from monitor.worker.delivery_loop import DeliveryWorker
from tests import samples
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.worker.delivery_site import QUIET, Site, events, running
from tests.waiting import until

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


async def test_a_delivery_is_not_claimed_while_its_first_attempt_hangs(site: Site) -> None:
    await site.webhook(1)
    site.sender.open.clear()
    worker = site.worker()
    await worker.claim()
    site.clock.advance(31)
    worker.wake(None)
    assert await worker.claim() == 0
    assert worker.held == 1
    site.sender.open.set()
    await until(lambda: not worker._in_flight)
    assert await worker.settle() == 1
    assert site.delivered == 1
    assert len(site.sender.requests) == 1


async def test_after_an_outage_longer_than_the_lease_results_are_settled_before_the_next_claim(site: Site) -> None:
    webhook_id = await site.webhook(3)
    worker = site.worker()
    await worker.claim()
    await until(lambda: not worker._in_flight)
    site.database.down = True
    for step in (worker.settle, worker.renew):
        with pytest.raises(Unavailable):
            await step()
    site.clock.advance(31)
    with pytest.raises(Unavailable):
        await worker.claim()
    site.database.down = False
    await site.publish(webhook_id)
    worker.wake(None)
    assert await worker.claim() == 1
    assert (site.delivered, len(site.database.tables.attempts)) == (3, 3)
    await until(lambda: not worker._in_flight)
    await worker.settle()
    assert (site.delivered, len(site.sender.requests)) == (4, 4)


async def test_a_renewal_that_fails_is_repeated_at_once(site: Site) -> None:
    await site.webhook(1)
    site.sender.open.clear()
    async with running(site.worker(DeliveryConfig(poll_s=3_600.0, renew_s=0.2, retry_s=0.001))):
        await until(lambda: len(site.sender.requests) == 1)
        site.database.down = True
        with structlog.testing.capture_logs() as logs:
            await until(lambda: sum(line.get("step") == "renew" for line in logs) >= 2)
        site.database.down = False
        site.clock.advance(25)
        lease_end = site.clock.now() + timedelta(seconds=30)
        await until(lambda: {d.due_at for d in site.database.tables.deliveries.values()} == {lease_end})
        site.sender.open.set()


async def test_a_locked_lane_holds_back_its_own_results_only(site: Site) -> None:
    held, free = await site.webhook(2), await site.webhook(2)
    async with running(site.worker()):
        await until(lambda: site.delivered == 4)
        await site.publish(held)
        await until(lambda: site.delivered == 5)
        site.sender.open.clear()
        for webhook_id in (held, free):
            await site.publish(webhook_id, 2)
        await until(lambda: len(site.sender.requests) == 9)
        site.database.locked.add(held)
        site.sender.open.set()
        await until(lambda: site.delivered == 7)
        assert {d.webhook_id for d in site.database.tables.deliveries.values()} == {held}
        site.database.locked.clear()
        await until(lambda: site.delivered == 9)
    assert len(site.logged) == len(site.sender.requests) == 9


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
    async with asyncio.timeout(20):
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


async def test_what_this_process_could_not_send_is_no_attempt(site: Site) -> None:
    webhook_id = await site.webhook(1)
    lack = Outcome(latency_ms=0.1, error=ErrorKind.CONNECT, error_detail="Too many open files.", local=True)
    site.sender.receiver = lambda _: lack
    lane = site.database.tables.lanes[webhook_id]
    worker = site.worker()
    with structlog.testing.capture_logs() as logs:
        async with running(worker):
            await until(lambda: "attempts_not_made" in events(logs))
            [row] = site.database.tables.deliveries.values()
            assert (row.attempts, row.crashes, row.leased_by, row.last_error) == (0, 0, None, None)
            assert row.due_at == site.clock.now() + timedelta(seconds=5)
            # Nothing more is claimed for a moment.
            await site.publish(webhook_id)
            assert await worker.claim() == 0
    assert site.database.tables.attempts == {}
    assert site.database.tables.lanes[webhook_id] == lane
    assert site.logged == []
    [line] = [line for line in logs if line["event"] == "attempts_not_made"]
    assert (line["count"], line["detail"], line["log_level"]) == (1, "Too many open files.", "error")


async def test_a_quick_webhook_is_sent_while_another_lacks_what_it_needs(site: Site) -> None:
    """Names that no server answers, as a rule: who needs none is delivered to all the same."""
    quick = await site.webhook(1)
    lack = Outcome(latency_ms=0.1, error=ErrorKind.DNS, error_detail="No name server.", local=True)
    polite = site.sender.receiver
    site.sender.receiver = lambda request: lack if "dead.example" in request.url else polite(request)
    worker = site.worker()
    async with running(worker):
        await until(lambda: site.delivered == 1)
        dead = await site.webhook(1, url="https://dead.example/hook")
        await until(lambda: site.sender.requests[-1].url == "https://dead.example/hook" and not worker._in_flight)
        sent = len(site.sender.requests)
        await site.publish(dead)
        await site.publish(quick)
        await until(lambda: site.delivered == 2)
        assert len(site.sender.requests) == sent + 1


async def test_an_attempt_that_was_written_before_the_lack_counts(site: Site) -> None:
    await site.webhook(1)
    site.sender.receiver = lambda request: Outcome(
        latency_ms=0.1, error=ErrorKind.OTHER, local=True, exchange=Exchange(request, (), (), None)
    )
    async with running(site.worker()):
        await until(lambda: len(site.database.tables.attempts) == 1)


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
    assert [(line["event"], line["log_level"]) for line in logs] == [("lease_renewal_stopped", "error")]
    assert {d.due_at for d in site.database.tables.deliveries.values()} == before

    await worker.settle()
    assert site.delivered == 2


async def test_an_outage_longer_than_the_lease_is_no_error_of_the_worker(site: Site) -> None:
    await site.webhook(1)
    worker = site.worker(msgspec.structs.replace(QUIET, lease_s=0.0))
    await worker.claim()
    await until(lambda: not worker._in_flight)
    site.database.down = True
    await worker._unless_unavailable(worker.settle)
    site.database.down = False

    with structlog.testing.capture_logs() as logs:
        await worker.renew()
        await worker.settle()

    assert [(line["event"], line["log_level"]) for line in logs] == [("lease_renewal_stopped", "warning")]
    assert site.delivered == 1


async def test_a_delivery_that_cannot_be_judged_is_logged(site: Site) -> None:
    await site.webhook(1, retry=RetryPolicy((0.0, "soon")))  # type: ignore[arg-type]
    site.sender.receiver = lambda _: samples.REFUSED
    with structlog.testing.capture_logs() as logs:
        async with running(site.worker()):
            await until(lambda: bool(site.logged))
    assert "delivery_undecided" in events(logs)


# ------------------------------------------------------------------------------------------------ results that are kept


class Failing(Deliverer):
    """Fails to settle with ``error`` until that is taken away."""

    error: Exception | None = None

    async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
        if self.error is not None:
            raise self.error
        return await super().settle(batch)


def failing(site: Site, error: Exception) -> Failing:
    queries = FakeQueries(site.database)
    made = Failing(site.unit_of_work, queries, site.sender, site.clock, lambda _k, _c: "", DeliverConfig("worker-1"))
    made.error = error
    return made


async def failed_once(site: Site, deliverer: Failing) -> DeliveryWorker:
    """Return a worker that has sent two deliveries and failed to settle them."""
    await site.webhook(2)
    worker = site.worker(deliverer=deliverer)
    await worker.claim()
    await until(lambda: not worker._in_flight)
    await worker.settle()
    return worker


async def test_a_result_that_fails_for_an_unforeseen_reason_is_written_later(site: Site) -> None:
    deliverer = failing(site, ValueError("a bug"))
    worker = await failed_once(site, deliverer)
    assert (worker.held, site.delivered) == (2, 0)
    assert await worker.settle_kept() == 0
    site.clock.advance(25)
    await worker.renew()
    site.clock.advance(25)
    worker.wake(None)
    assert await worker.claim() == 0
    deliverer.error = None
    assert await worker.settle_kept() == 2
    assert (worker.held, site.delivered, len(site.sender.requests)) == (0, 2, 2)
    assert len(site.logged) == 2


async def test_a_result_that_the_database_never_takes_is_dropped_at_once(site: Site) -> None:
    worker = await failed_once(site, failing(site, DataRejected("a value")))
    assert (worker.held, site.delivered) == (0, 0)


async def test_a_kept_result_is_dropped_once_it_is_known_never_to_be_taken(site: Site) -> None:
    deliverer = failing(site, ValueError("a bug"))
    worker = await failed_once(site, deliverer)
    deliverer.error = DataRejected("a value")
    assert await worker.settle_kept() == 0
    assert worker.held == 0


async def test_a_result_is_not_kept_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await failed_once(site, failing(site, ValueError("a bug")))
    monkeypatch.setattr(writer, "KEPT_S", -1.0)
    await worker.settle_kept()
    assert worker.held == 0


async def test_an_outage_keeps_what_is_kept(site: Site) -> None:
    deliverer = failing(site, ValueError("a bug"))
    worker = await failed_once(site, deliverer)
    deliverer.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await worker.settle_kept()
    assert worker.held == 2
