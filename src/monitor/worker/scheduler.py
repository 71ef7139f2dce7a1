"""Jobs that run by the clock, each in its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitor.domain.errors import Unavailable

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[object]]


class Scheduler:
    """Runs each job at once and then every so many seconds, until cancelled. A failing job is tried next time."""

    def __init__(self, jobs: Sequence[tuple[float, Job]]) -> None:
        self.jobs = jobs

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for every_s, job in self.jobs:
                group.create_task(self._loop(every_s, job))

    async def _loop(self, every_s: float, job: Job) -> None:
        while True:
            await self.tick(job)
            await asyncio.sleep(every_s)

    async def tick(self, job: Job) -> None:
        """Run *job* once; what goes wrong is logged."""
        try:
            await job()
        except Unavailable as error:
            log.warning("job_postponed", job=job.__name__, detail=error.detail)
        except Exception:
            log.exception("job_failed", job=job.__name__)
