"""Jobs that run by the clock."""

from __future__ import annotations

import asyncio

import structlog.testing

from monitor.domain.errors import Unavailable
from monitor.worker.scheduler import Scheduler


async def test_each_job_runs_at_once_and_again_whatever_the_others_do() -> None:
    runs = {"steady": 0, "away": 0, "broken": 0}
    enough = asyncio.Event()

    async def steady() -> None:
        runs["steady"] += 1
        if min(runs.values()) >= 3:
            enough.set()

    async def away() -> None:
        runs["away"] += 1
        raise Unavailable("The database is not reachable.")

    async def broken() -> None:
        runs["broken"] += 1
        raise ValueError("a bug")

    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(Scheduler([(0.0, steady), (0.0, away), (0.0, broken)]).run())
        async with asyncio.timeout(5):
            await enough.wait()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {(line["event"], line["job"], line["log_level"]) for line in logs} == {
        ("job_postponed", "away", "warning"),
        ("job_failed", "broken", "error"),
    }


async def test_a_job_waits_its_interval() -> None:
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1

    running = asyncio.create_task(Scheduler([(3_600.0, job)]).run())
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert runs == 1
