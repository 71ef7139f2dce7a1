"""Jobs: read and cancelled by a request, worked off chunk by chunk by a background task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.backfill import DELIVERIES_KEPT_S
from monitor.domain.delivery.job import (
    BackfillParameters,
    BulkCancellationParameters,
    BulkResendParameters,
    BulkRetryParameters,
    CancellationParameters,
    Chunk,
    FanOutParameters,
    Job,
    JobState,
    JobView,
    ReplayParameters,
    ResendParameters,
    SendNowParameters,
    StepAsideParameters,
    advance,
    cancel,
    described,
    fail,
    postpone,
    shown_job,
)
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.backfills import backfill_chunk
from monitor.domain.services.bulk import bulk_chunk
from monitor.domain.services.fan_outs import fan_out_chunk
from monitor.domain.services.resends import resend_chunk
from monitor.domain.vocab import Actor

CHUNK = 100
"""Rows that one transaction of a job looks at, so that its locks are held for some milliseconds."""

CHUNKS_PER_RUN = 100
"""Chunks after which a worker pauses until its next run."""

REST_RATIO = 4.0
"""How many times as long as its chunk took a worker rests before the next one: the database is left to deliveries."""

REPLAY_PER_S = 50.0
"""Deliveries a second that a job makes due for one webhook."""

LEAD_S = 3.0
"""How long before its due time a replay or backfill makes a delivery: what a cancellation comes too late for."""

RESEND_CHUNK = 200
"""Webhooks that one transaction of a resend delivers to, each with its lane locked."""

LEFT_BEHIND = 100
"""Deleted webhooks that one sweep looks after."""


class JobCommands:
    """Commands on jobs. Any number of processes may run :meth:`step`; each job is locked by one at a time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, *, deliveries_kept_s: float = DELIVERIES_KEPT_S) -> None:
        self._unit_of_work = unit_of_work
        self._deliveries_kept_s = deliveries_kept_s

    async def show(self, job_id: UUID) -> JobView:
        """Return a job with its progress. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            return shown_job(await uow.jobs.get(job_id), uow.now)

    async def list(self, *, state: JobState | None, after: UUID | None, limit: int) -> list[JobView]:
        """Return up to *limit* jobs, newest first."""
        async with self._unit_of_work() as uow:
            return [shown_job(job, uow.now) for job in await uow.jobs.list(state=state, after=after, limit=limit)]

    async def cancel(self, job_id: UUID, actor: Actor) -> JobView:
        """
        Cancel a running job; what it did stays done. Safe to repeat.

        Raises:
            NotFound.
            Conflict: it is done or failed, or it belongs to a deletion.
        """
        async with self._unit_of_work() as uow:
            job = await uow.jobs.get(job_id, lock=True)
            cancelled = cancel(job, uow.now)
            if cancelled is not job:
                await _save(uow, cancelled)
                before, after = {"state": job.state, "done": job.done}, {"state": cancelled.state}
                await uow.audit.add(actor, "job.cancel", f"job:{job_id}", before=before, after=after)
                await uow.commit()
            return shown_job(cancelled, uow.now)

    async def step(self) -> bool:
        """
        Do one chunk of the job that waited longest; ``False`` if none is to be done now.

        Raises:
            Unavailable: nothing was done. If the database answers all the same, as when the chunk took too long beside
                a lane that another transaction has, the other jobs come first the next time.
            Exception: whatever the chunk raised. Nothing of it was stored; it is made again later, until its job has
                failed, and the others go on.
        """
        job: Job | None = None
        try:
            async with self._unit_of_work() as uow:
                job = await uow.jobs.take()
                if job is None:
                    return False
                chunk = await _do(uow, job, self._deliveries_kept_s)
                await _save(uow, _paced(advance(job, chunk, uow.now), uow.now))
                await uow.commit()
                return True
        # Around the unit of work, which distinguishes an outage of the database from a fault of the job.
        except Unavailable as error:
            if job is not None:
                # If that fails as well, the database is away, and the job is not the cause.
                with suppress(Unavailable):
                    await self._change(job.id, partial(postpone, error=error.detail))
            raise
        except Exception as error:
            if job is not None:
                await self._change(job.id, partial(fail, error=described(error)))
            raise

    async def run(self) -> None:
        """Do the next chunks. Raises as :meth:`step`, after the chunks of the other jobs."""
        loop = asyncio.get_running_loop()
        failed: list[Exception] = []
        for _ in range(CHUNKS_PER_RUN):
            began = loop.time()
            try:
                if not await self.step():
                    break
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised below
                failed.append(error)
            await asyncio.sleep(REST_RATIO * (loop.time() - began))
        if failed:
            raise ExceptionGroup("jobs failed", failed)

    async def cancel_left_behind(self) -> None:
        """Cancel what was published to a webhook while it was being deleted."""
        async with self._unit_of_work() as uow:
            deleted = await uow.queue.left_behind(LEFT_BEHIND)
        for webhook_id in deleted:
            async with self._unit_of_work() as uow:
                await uow.queue.cancel_waiting(webhook_id, after=None, limit=CHUNK)
                await uow.commit()

    async def _change(self, job_id: UUID, change: Callable[..., Job]) -> None:
        async with self._unit_of_work() as uow:
            job = await uow.jobs.get(job_id, lock=True)
            if job.state is JobState.RUNNING:
                await _save(uow, change(job, now=uow.now))
                await uow.commit()


async def _save(uow: UnitOfWork, job: Job) -> None:
    await uow.jobs.save(job)
    if isinstance(job.parameters, FanOutParameters) and job.state is not JobState.RUNNING:
        # Given up: ordered deliveries and backfills wait for it no longer.
        await uow.fan_outs.remove(job.parameters.event_id)


def _ahead_s(job: Job, now: datetime) -> float:
    return job.done / REPLAY_PER_S - (now - job.created_at).total_seconds()


def _paced(job: Job, now: datetime) -> Job:
    if job.state is not JobState.RUNNING or not isinstance(job.parameters, ReplayParameters | BackfillParameters):
        return job
    return replace(job, stepped_at=now + timedelta(seconds=max(_ahead_s(job, now) - LEAD_S, 0)))


async def _do(uow: UnitOfWork, job: Job, deliveries_kept_s: float) -> Chunk:
    match job.parameters:
        case ReplayParameters():
            # Each chunk follows the one before at the same pace, however fast the chunks are made.
            ahead_s = max(_ahead_s(job, uow.now), 0.0)
            return await uow.queue.requeue_finished(
                job.parameters, after=job.cursor, limit=CHUNK, per_s=REPLAY_PER_S, after_s=ahead_s
            )
        case CancellationParameters(webhook_id=webhook_id):
            return await _cancel_chunk(uow, webhook_id, job.cursor)
        case StepAsideParameters(webhook_id=webhook_id):
            return await uow.queue.step_aside(webhook_id, after=job.cursor, limit=CHUNK)
        case SendNowParameters(webhook_id=webhook_id):
            return await uow.bulk.hasten(webhook_id, after=job.cursor, limit=CHUNK, per_s=REPLAY_PER_S)
        case BackfillParameters():
            return await backfill_chunk(
                uow, job, job.parameters, deliveries_kept_s=deliveries_kept_s, limit=CHUNK, per_s=REPLAY_PER_S
            )
        case ResendParameters():
            return await resend_chunk(uow, job, job.parameters, limit=RESEND_CHUNK)
        case FanOutParameters(event_id=event_id):
            return await _fan_out_chunk(uow, event_id)
        case BulkRetryParameters() | BulkCancellationParameters() | BulkResendParameters():
            return await bulk_chunk(
                uow, job.parameters, after=job.cursor, skipped=job.skipped, limit=CHUNK, per_s=REPLAY_PER_S
            )
        case _:
            assert_never(job.parameters)


async def _cancel_chunk(uow: UnitOfWork, webhook_id: UUID, cursor: UUID | None) -> Chunk:
    chunk = await uow.queue.cancel_waiting(webhook_id, after=cursor, limit=CHUNK)
    if not chunk.more and cursor is not None:
        # Once more from the start, for what was added behind the cursor.
        return Chunk(chunk.rows, None, more=True)
    return chunk


async def _fan_out_chunk(uow: UnitOfWork, event_id: UUID) -> Chunk:
    try:
        made = await fan_out_chunk(uow, event_id)
    except NotFound:
        # Another version, which passes it to no job, has finished it.
        return Chunk(0, None, more=False)
    return Chunk(made.deliveries, None, more=not made.is_finished)
