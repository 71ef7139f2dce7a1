"""``JobRepository`` on PostgreSQL."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

import msgspec
import sqlalchemy as sa
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import AsyncSession

from monitor.adapters.postgres.codec import RowReader
from monitor.adapters.postgres.tables import JobRow
from monitor.domain.delivery.job import Job, JobParameters, JobState
from monitor.domain.errors import NotFound


class Jobs(SQLAlchemyAsyncRepository[JobRow]):
    model_type = JobRow


class PostgresJobRepository:
    """See :class:`monitor.domain.ports.repositories.jobs.JobRepository`."""

    def __init__(self, session: AsyncSession, rows: RowReader) -> None:
        self._session = session
        self._rows = rows
        self._jobs = Jobs(session=session, wrap_exceptions=False)

    async def add(self, job: Job) -> None:
        await self._jobs.add(_row(job))

    async def get(self, job_id: UUID, *, lock: bool = False) -> Job:
        row = await self._jobs.get_one_or_none(id=job_id, with_for_update=lock or None)
        if row is None:
            raise NotFound("There is no job with this id.")
        return self._rows.one(row, _job, "jobs", attrgetter("id"))

    async def list(self, *, state: JobState | None, after: UUID | None, limit: int) -> builtins.list[Job]:
        wanted = sa.select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if state is not None:
            wanted = wanted.where(JobRow.state == state)
        if after is not None:
            wanted = wanted.where(JobRow.id < after)

        async def fetch(skipped: builtins.list[UUID]) -> Sequence[JobRow]:
            return (await self._session.scalars(wanted.where(JobRow.id.not_in(skipped)))).all()

        return [*(await self._rows.page(fetch, _job, "jobs", limit, attrgetter("id"))).values()]

    async def take(self) -> Job | None:
        running = sa.select(JobRow).where(JobRow.finished_at.is_(None), JobRow.stepped_at <= sa.func.now())
        running = running.order_by(JobRow.stepped_at, JobRow.id).limit(1)

        async def fetch(skipped: builtins.list[UUID]) -> Sequence[JobRow]:
            first = running.where(JobRow.id.not_in(skipped)).with_for_update(skip_locked=True)
            return (await self._session.scalars(first)).all()

        taken = await self._rows.page(fetch, _job, "jobs", 1, attrgetter("id"))
        return next(iter(taken.values()), None)

    async def save(self, job: Job) -> None:
        await self._jobs.update(_row(job))


def _row(job: Job) -> JobRow:
    members = msgspec.structs.asdict(job) | {"parameters": msgspec.to_builtins(job.parameters)}
    return JobRow(kind=job.kind, **members)


def _job(row: JobRow) -> Job:
    members = {name: getattr(row, name) for name in Job.__struct_fields__}
    # The times of its parameters are text there.
    return msgspec.convert(members | {"parameters": msgspec.convert(row.parameters, JobParameters)}, Job)
