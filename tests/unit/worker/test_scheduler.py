"""Periodic jobs."""

from __future__ import annotations

import asyncio

import structlog.testing

from monitor.bootstrap.supervise import Supervisor
from monitor.domain.errors import Unavailable
from monitor.worker.scheduler import Scheduler


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


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

    supervisor = Supervisor(sleep=at_once)
    jobs = Scheduler({"steady": (0.0, steady), "away": (0.0, away), "broken": (0.0, broken)})
    with structlog.testing.capture_logs() as logs:
        async with supervisor.running(jobs.loops()), asyncio.timeout(20):
            await enough.wait()

    assert set(supervisor.failures) == {"job.broken"}
    assert {(line["event"], line.get("job", line.get("task")), line["log_level"]) for line in logs} == {
        ("job_postponed", "away", "warning"),
        ("background_task_failed", "job.broken", "error"),
    }


async def test_a_job_waits_its_interval() -> None:
    runs = 0

    async def job() -> None:
        nonlocal runs
        runs += 1

    async with Supervisor().running(Scheduler({"job": (3_600.0, job)}).loops()):
        for _ in range(10):
            await asyncio.sleep(0)
    assert runs == 1
