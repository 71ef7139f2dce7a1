"""What waits in stock: sent while it is fresh, checked when it is not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.vocab import DeliveryState
from monitor.worker.delivery_loop import DeliveryWorker
from tests.unit.worker.delivery_site import QUIET, Site, running
from tests.waiting import until


async def stocked(site: Site, deliveries: int = 4) -> tuple[UUID, DeliveryWorker]:
    """One delivery hangs and fills the only slot of a worker; the others wait behind it."""
    webhook_id = await site.webhook(deliveries)
    worker = site.worker(replace(QUIET, concurrency=1))
    worker._pace.wanted = deliveries
    worker._pace.measure = lambda now: None  # type: ignore[method-assign]
    site.sender.open.clear()
    assert await worker.claim() == deliveries
    await until(lambda: len(site.sender.requests) == 1)
    return webhook_id, worker


async def finish_first(site: Site, worker: DeliveryWorker) -> None:
    site.sender.open.set()
    await until(lambda: not worker._in_flight)
    await asyncio.sleep(0)


async def test_fresh_stock_is_sent_without_a_check(site: Site) -> None:
    await stocked(site)
    site.clock.advance(0.9)
    site.database.down = True
    site.sender.open.set()
    await until(lambda: len(site.sender.requests) == 4)


@pytest.mark.parametrize("change", ["pause", "cancel", "remove", "disable"])
async def test_what_was_stopped_is_not_sent_from_stock(site: Site, change: str) -> None:
    webhook_id, worker = await stocked(site)
    async with site.unit_of_work() as uow:
        match change:
            case "pause":
                await uow.webhooks.set_paused(webhook_id, True)
            case "cancel":
                await uow.queue.cancel_waiting(webhook_id, after=None, limit=10)
            case "disable":
                await uow.webhooks.disable(webhook_id, "It is gone.")
            case _:
                await uow.webhooks.remove(webhook_id)
                await uow.queue.cancel_waiting(webhook_id, after=None, limit=10)
        await uow.commit()
    site.clock.advance(1.5)
    await finish_first(site, worker)
    assert await worker.check() == 0
    assert len(site.sender.requests) == 1
    assert worker.held == 1
    left = [d for d in site.database.tables.deliveries.values() if d.leased_by is None]
    assert len(left) == (3 if change in ("pause", "disable") else 0)
    assert all(d.crashes == 0 for d in left)


async def test_stock_goes_to_the_url_of_a_patch(site: Site) -> None:
    webhook_id, worker = await stocked(site)
    row = site.database.tables.webhooks[webhook_id]
    moved = replace(row.webhook, url="https://new.example/hook", version=row.webhook.version + 1)
    site.database.tables.webhooks[webhook_id] = replace(row, webhook=moved)
    site.clock.advance(1.5)
    await finish_first(site, worker)
    assert await worker.check() == 3
    await until(lambda: len(site.sender.requests) == 4)
    assert [request.url for request in site.sender.requests[1:]] == ["https://new.example/hook"] * 3


async def test_a_worker_that_slept_sends_nothing_that_another_worker_took(site: Site) -> None:
    _, worker = await stocked(site)
    site.clock.advance(31)
    other = site.deliverer()
    taken = await other.claim(None, 10)
    assert len(taken.deliveries) == 4
    await finish_first(site, worker)
    await worker.check()
    assert len(site.sender.requests) == 1


async def test_stock_whose_lease_ran_out_is_renewed_and_sent_if_it_was_not_taken(site: Site) -> None:
    _, worker = await stocked(site)
    site.clock.advance(31)
    async with running(worker):
        site.sender.open.set()
        await until(lambda: site.delivered == 4)
    assert len(site.sender.requests) == 4


async def test_a_renewal_drops_what_was_lost_from_the_stock(site: Site) -> None:
    webhook_id, worker = await stocked(site)
    async with site.unit_of_work() as uow:
        await uow.queue.cancel_waiting(webhook_id, after=None, limit=10)
        await uow.commit()
    await worker.renew()
    assert worker.held == 1


async def test_stock_of_a_locked_lane_is_checked_again(site: Site) -> None:
    webhook_id, worker = await stocked(site)
    site.database.locked.add(webhook_id)
    site.clock.advance(1.5)
    await finish_first(site, worker)
    assert await worker.check() == 0
    assert worker.held == 4
    site.database.locked.clear()
    assert await worker.check() == 3


async def test_stock_of_a_breaker_that_opened_is_released(site: Site) -> None:
    webhook_id, worker = await stocked(site)
    lane = site.database.tables.lanes[webhook_id]
    opened = Breaker(BreakerState.OPEN, site.clock.now() + timedelta(seconds=30), 1)
    site.database.tables.lanes[webhook_id] = replace(lane, breaker=opened)
    site.clock.advance(1.5)
    await finish_first(site, worker)
    assert await worker.check() == 0
    assert sum(d.leased_by is None for d in site.database.tables.deliveries.values()) == 3


async def test_tokens_of_old_stock_are_charged_anew(site: Site) -> None:
    webhook_id = await site.webhook(10, rate_limit=RateLimit(1.0, 4))
    worker = site.worker(replace(QUIET, concurrency=1))
    worker._pace.wanted = 4
    worker._pace.measure = lambda now: None  # type: ignore[method-assign]
    site.sender.open.clear()
    assert await worker.claim() == 4
    site.clock.advance(60)
    await finish_first(site, worker)
    assert await worker.check() == 3
    lane = site.database.tables.lanes[webhook_id]
    assert (lane.tokens, lane.tokens_at) == (1.0, site.clock.now())


async def test_stopping_releases_stale_stock(site: Site) -> None:
    _, worker = await stocked(site)
    site.clock.advance(1.5)
    async with running(worker):
        worker.stop()
        site.sender.open.set()
    assert worker.held == 0
    assert len(site.sender.requests) == 1
    states = [done.state for done in site.database.tables.finished.values()]
    assert states == [DeliveryState.DELIVERED]
    assert all(d.leased_by is None for d in site.database.tables.deliveries.values())
