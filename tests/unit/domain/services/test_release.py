"""A resumed webhook: what the pause held is released at a bounded rate, and what is new does not wait for it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.lane import (
    RELEASE_BURST,
    RELEASE_PER_S,
    Lane,
    end_release,
    releasable,
    release,
    resume,
)
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.services.leases import ClaimResult
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.unit.domain.services.deliver_bench import Bench


async def resumed(bench: Bench, waiting: int, **changes: object) -> UUID:
    """Add a webhook whose pause just ended, with *waiting* deliveries."""
    webhook_id = await bench.webhook(waiting, **changes)
    await resume_lane(bench, webhook_id)
    return webhook_id


async def resume_lane(bench: Bench, webhook_id: UUID) -> None:
    async with bench.unit_of_work() as uow:
        lanes = await uow.queue.lock_lanes([webhook_id])
        await uow.queue.save_lanes([resume(lane, uow.now) for lane in lanes.values()])
        await uow.commit()


async def claim(bench: Bench) -> ClaimResult:
    """Claim and deliver what is allowed now."""
    claimed = await bench.deliverer.claim(None, 100)
    made = [await samples.send(bench.deliverer, delivery) for delivery in claimed.deliveries]
    await bench.deliverer.settle([one for one in made if one is not None])
    return claimed


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 20)), max_size=30))
def test_in_no_time_more_is_released_than_the_rate_and_one_burst(steps: list[tuple[float, int]]) -> None:
    """Law: n deliveries released in t seconds are at most RELEASE_BURST + t * RELEASE_PER_S."""
    clock = FakeClock()
    lane = resume(Lane(webhook_id=UUID(int=1)), clock.now())
    taken = 0
    for wait_s, wanted in steps:
        now = clock.advance(wait_s)
        allowed = min(wanted, releasable(lane, now))
        lane = release(lane, allowed, now)
        taken += allowed
        elapsed_s = (now - START).total_seconds()
        assert taken <= RELEASE_BURST + elapsed_s * RELEASE_PER_S + 1e-3


@pytest.mark.parametrize(("idle_s", "count"), [(0.0, 1), (0.1, 6), (3_600.0, RELEASE_BURST)])
def test_what_was_not_released_in_time_is_released_in_one_burst_at_most(idle_s: float, count: int) -> None:
    lane = resume(Lane(webhook_id=UUID(int=1)), START)
    now = START + timedelta(seconds=idle_s)
    assert releasable(lane, now) == count
    assert releasable(release(lane, count, now), now) == 0


def test_a_lane_that_was_not_paused_releases_nothing() -> None:
    lane = Lane(webhook_id=UUID(int=1))
    assert releasable(lane, START) == 0
    assert release(lane, 1, START) is lane
    assert end_release(resume(lane, START)) == lane


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_the_pause_held_is_released_one_after_the_other(bench: Bench, ordered: bool) -> None:
    webhook_id = await resumed(bench, 8, ordered=ordered)
    claimed = await claim(bench)
    assert len(claimed.deliveries) == 1
    assert claimed.exhausted == {webhook_id}
    assert claimed.refill_s == {webhook_id: pytest.approx(1 / RELEASE_PER_S)}
    assert (await claim(bench)).deliveries == []
    ids = [claimed.deliveries[0].id]
    for _ in range(7):
        bench.clock.advance(1 / RELEASE_PER_S)
        more = (await claim(bench)).deliveries
        assert len(more) <= 1
        ids += [delivery.id for delivery in more]
    assert len(ids) == 8
    assert ids == sorted(ids) or not ordered


async def test_what_is_new_does_not_wait_for_the_release(bench: Bench) -> None:
    webhook_id = await resumed(bench, 8)
    assert len((await claim(bench)).deliveries) == 1
    bench.clock.advance(0.001)
    new = await samples.add_deliveries(bench.unit_of_work, bench.clock, webhook_id, 3)
    assert {delivery.id for delivery in (await claim(bench)).deliveries} == set(new)


async def test_the_rate_limit_of_a_webhook_holds_during_a_release(bench: Bench) -> None:
    webhook_id = await resumed(bench, 8, rate_limit=RateLimit(2.0, 1))
    assert len((await claim(bench)).deliveries) == 1
    bench.clock.advance(0.1)
    claimed = await claim(bench)
    assert claimed.deliveries == []
    assert claimed.refill_s == {}
    bench.clock.advance(0.4)
    assert len((await claim(bench)).deliveries) == 1
    assert bench.lane(webhook_id).resumed_at is not None


async def test_after_the_release_nothing_is_bounded(bench: Bench) -> None:
    webhook_id = await resumed(bench, 1)
    assert len((await claim(bench)).deliveries) == 1
    bench.clock.advance(0.001)
    await samples.add_deliveries(bench.unit_of_work, bench.clock, webhook_id, 5)
    assert len((await claim(bench)).deliveries) == 5
    assert bench.lane(webhook_id).release_at is None
