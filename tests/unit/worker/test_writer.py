"""Batches that take the database too long."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.errors import Unavailable
from monitor.domain.services.deliver import Deliverer
from monitor.domain.services.leases import DeliverConfig
from monitor.domain.services.settle import SentDelivery, Settlement
from monitor.worker.config import DeliveryConfig
from monitor.worker.writer import GROWS_AFTER
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.worker.delivery_site import QUIET, Site, events, running
from tests.waiting import until

TOO_LONG = Unavailable("A statement took longer than 5 s", took_too_long=True)


class Slow(Deliverer):
    """Takes too long for more than ``most`` results, and for any of the webhooks in ``slow``."""

    most = 1_000
    slow: frozenset[UUID] = frozenset()

    def __init__(self, site: Site) -> None:
        self.sizes: list[int] = []
        queries = FakeQueries(site.database)
        super().__init__(site.unit_of_work, queries, site.sender, site.clock, lambda _k, _c: "", DeliverConfig("w"))

    async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
        self.sizes.append(len(batch))
        if len(batch) > self.most or self.slow & {sent.delivery.webhook_id for sent in batch}:
            raise TOO_LONG
        return await super().settle(batch)


async def test_a_batch_that_is_too_large_is_halved_until_it_is_written_and_grows_again(site: Site) -> None:
    deliverer = Slow(site)
    deliverer.most = 3
    await site.webhook(20, max_concurrency=100)
    worker = site.worker(deliverer=deliverer)
    with structlog.testing.capture_logs() as logs:
        async with running(worker):
            await until(lambda: site.delivered == 20)
    assert (worker.held, len(site.sender.requests)) == (0, 20)
    assert events(logs).count("settle_took_too_long") >= 2
    deliverer.most, deliverer.sizes = 1_000, []
    for _ in range(10 * GROWS_AFTER):
        await site.webhook(1)
    await site.webhook(20, max_concurrency=100)
    worker = site.worker(deliverer=deliverer)
    async with running(worker):
        await until(lambda: site.delivered == 40 + 10 * GROWS_AFTER)


@given(st.integers(0, 19), st.integers(2, 20))
async def test_one_that_always_takes_too_long_holds_no_other_up(which: int, count: int) -> None:
    """Each of the others is delivered after one request; the slow one is kept, and written once it can be."""
    site = Site()
    deliverer = Slow(site)
    ids = [await site.webhook(1) for _ in range(count)]
    deliverer.slow = frozenset({ids[which % count]})
    worker = site.worker(DeliveryConfig(**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__}), deliverer)
    async with running(worker):
        await until(lambda: site.delivered == count - 1)
        await until(lambda: not worker._results)
        assert worker.held == 1
        assert await worker.settle_kept() == 0
        deliverer.slow = frozenset()
        assert await worker.settle_kept() == 1
    assert (site.delivered, len(site.sender.requests), worker.held) == (count, count, 0)


async def test_what_is_kept_waits_behind_others_that_are_kept(site: Site) -> None:
    deliverer = Slow(site)
    ids = [await site.webhook(1) for _ in range(2)]
    deliverer.slow = frozenset(ids)
    worker = site.worker(deliverer=deliverer)
    await worker.claim()
    await until(lambda: not worker._in_flight)
    while worker._results:
        with pytest.raises(Unavailable):
            await worker.settle()
    deliverer.slow = frozenset({next(iter(worker._results.kept.values()))[1].delivery.webhook_id})
    assert await worker.settle_kept() == 0
    assert await worker.settle_kept() == 1
    assert (site.delivered, worker.held) == (1, 1)
