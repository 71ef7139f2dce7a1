"""Periodic jobs, each in its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from monitor.domain.errors import Unavailable

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[object]]


class Scheduler:
    """
    Runs each job at once and then every so many seconds.

    Args:
        jobs: interval in seconds and job, by name.
    """

    def __init__(self, jobs: Mapping[str, tuple[float, Job]]) -> None:
        self.jobs = jobs

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return one loop for each job, to be run under supervision."""
        return {f"job.{name}": partial(_loop, name, every_s, job) for name, (every_s, job) in self.jobs.items()}


async def _loop(name: str, every_s: float, job: Job) -> None:
    while True:
        try:
            await job()
        except Unavailable as error:
            log.warning("job_postponed", job=name, detail=error.detail)
        await asyncio.sleep(every_s)
