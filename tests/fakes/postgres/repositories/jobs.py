"""``FakeJobRepository``."""

from __future__ import annotations

import builtins
from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.job import Job, JobState
from monitor.domain.errors import NotFound
from tests.fakes.postgres.database import Tables


class FakeJobRepository:
    def __init__(self, tables: Tables, now: datetime) -> None:
        self._tables = tables
        self._now = now

    async def add(self, job: Job) -> None:
        self._tables.jobs[job.id] = job

    async def get(self, job_id: UUID, *, lock: bool = False) -> Job:  # noqa: ARG002 - transactions take turns
        if job_id not in self._tables.jobs:
            raise NotFound("There is no job with this id.")
        return self._tables.jobs[job_id]

    async def list(self, *, state: JobState | None, after: UUID | None, limit: int) -> builtins.list[Job]:
        newest = (job for _, job in sorted(self._tables.jobs.items(), reverse=True))
        return [job for job in newest if state in (None, job.state) and (after is None or job.id < after)][:limit]

    async def take(self) -> Job | None:
        running = (job for job in self._tables.jobs.values() if job.finished_at is None and job.stepped_at <= self._now)
        return min(running, key=lambda job: (job.stepped_at, job.id), default=None)

    async def save(self, job: Job) -> None:
        self._tables.jobs[job.id] = job
