"""Results of a lane that another transaction has for longer than a lease."""

from __future__ import annotations

import structlog

from tests.unit.worker.delivery_site import Site
from tests.waiting import until


async def test_results_of_one_locked_lane_do_not_end_the_leases_of_other_webhooks(site: Site) -> None:
    locked = await site.webhook(1)
    worker = site.worker()
    await worker.claim()
    await until(lambda: not worker._in_flight)
    site.sender.open.clear()
    slow = await site.webhook(1)
    worker.wake([slow])
    await worker.claim()
    site.database.locked.add(locked)
    worker._results.settled_at -= 1_000.0
    site.clock.advance(10)

    assert await worker.settle() == 0
    with structlog.testing.capture_logs() as logs:
        await worker.renew()
    assert logs == []
    # Those of the locked lane as well: nothing is wrong with their worker either.
    leased_until = {d.due_at for d in site.database.tables.deliveries.values()}
    assert len(leased_until) == 1
    assert min(leased_until) > site.clock.now()

    site.database.locked.clear()
    assert await worker.settle() == 1
    site.sender.open.set()
    await until(lambda: not worker._in_flight)
    assert await worker.settle() == 1
