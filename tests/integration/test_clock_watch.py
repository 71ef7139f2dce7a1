"""A machine whose clock is off: noticed, corrected, and not ready when it is far off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import structlog.testing

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.clock_watch import ClockWatch
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import readiness
from tests.integration.support import Api, Receiver, deliverer, verify
from tests.samples import send


class OffClock(SystemClock):
    """The clock of a machine that is *off_s* seconds ahead."""

    def __init__(self, off_s: float) -> None:
        super().__init__()
        self._off = timedelta(seconds=off_s)

    def machine_now(self) -> datetime:
        return datetime.now(UTC) + self._off


@pytest.mark.parametrize(("off_s", "warned", "refused"), [(600, True, True), (-600, True, True), (20, True, False)])
async def test_a_clock_that_is_off_is_corrected(parts: Container, off_s: float, warned: bool, refused: bool) -> None:
    clock = OffClock(off_s)
    watch = ClockWatch(parts.database, clock)
    with structlog.testing.capture_logs() as logs:
        await watch.measure()
    assert watch.offset_s == pytest.approx(-off_s, abs=5)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert [line["event"] for line in logs] == ["clock_differs"] * warned
    assert bool(watch.problems()) is refused


async def test_a_clock_that_is_right_is_left_alone(parts: Container) -> None:
    watch = ClockWatch(parts.database, parts.clock)
    assert watch.problems() == []
    with structlog.testing.capture_logs() as logs:
        await watch.measure()
    assert (logs, watch.problems()) == ([], [])


async def test_an_outage_keeps_the_last_correction() -> None:
    clock = OffClock(600)
    clock.correct(-600)
    nowhere = DatabaseConfig("postgresql://nobody@127.0.0.1:1/none", read_pool=1, write_pool=1)
    async with Database(nowhere) as database:
        await ClockWatch(database, clock).measure()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_process_whose_clock_is_a_minute_off_is_not_ready(parts: Container) -> None:
    parts.clock_watch.offset_s = -61.0
    assert await readiness(parts) == ["The clock of this machine is 61 s ahead of the database's; set it."]


async def test_signatures_carry_the_corrected_time(api: Api, receiver: Receiver, parts: Container) -> None:
    created = await api.create(receiver.url)
    await api.publish(1)
    clock = OffClock(600)
    await ClockWatch(parts.database, clock).measure()
    worker = deliverer(parts, "off", clock=clock)
    (claimed,) = (await worker.claim(None, 10)).deliveries
    assert await send(worker, claimed) is not None
    # It refuses timestamps that are five minutes off.
    verify(created["secret"], receiver.requests[0])
