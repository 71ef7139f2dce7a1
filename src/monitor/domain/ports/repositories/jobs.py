"""Jobs and their progress."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.job import Job, JobState


class JobRepository(Protocol):
    """Jobs, worked off in chunks."""

    async def add(self, job: Job) -> None:
        """Insert *job*."""
        ...

    async def get(self, job_id: UUID, *, lock: bool = False) -> Job:
        """Return a job. Raises ``NotFound``."""
        ...

    async def list(self, *, state: JobState | None, after: UUID | None, limit: int) -> list[Job]:
        """Return up to *limit* jobs, newest first, behind *after*."""
        ...

    async def take(self) -> Job | None:
        """Lock and return the unfinished job with the oldest last chunk, skipping locked ones."""
        ...

    async def save(self, job: Job) -> None:
        """Update *job*, which this transaction has locked."""
        ...
