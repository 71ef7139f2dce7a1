"""
Jobs: work over any number of rows, done in chunks of bounded size.

A chunk and the cursor after it are written in one transaction, so a job goes on from its cursor when its process dies,
and nothing is done twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import Conflict
from monitor.domain.vocab import DeliveryState


class JobKind(StrEnum):
    """What a job does with each of its rows."""

    REPLAY = "replay"
    CANCEL_DELIVERIES = "cancel_deliveries"
    STEP_ASIDE = "step_aside"
    BACKFILL = "backfill"
    RESEND = "resend"
    FAN_OUT = "fan_out"
    BULK_RETRY = "bulk_retry"
    BULK_CANCEL = "bulk_cancel"
    BULK_RESEND = "bulk_resend"
    SEND_NOW = "send_now"


SHOWN_IDS = 20
"""Deliveries named by a filter that the view of a job repeats: a list of jobs stays small."""

REPEATED_AFTER_S = (5.0, 30.0, 120.0, 600.0)
"""Waits after the errors of a chunk, such as a row that another version writes. One more fails the job."""

POSTPONED_S = (0.0, 0.0, 5.0, 30.0)
"""Waits after outages in chunks; the last one again and again, since an outage fails no job."""


class JobState(StrEnum):
    """A job is ``RUNNING`` until its last row, until a user cancels it, or until a chunk of it keeps failing."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ReplayParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.REPLAY.value):
    """Deliveries to send again: those accepted in ``[from_at, to_at)`` that ended in one of ``states``."""

    webhook_id: UUID
    from_at: datetime
    to_at: datetime
    states: tuple[DeliveryState, ...]


class CancellationParameters(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.CANCEL_DELIVERIES.value
):
    """Deliveries to cancel: all that wait for a deleted webhook."""

    webhook_id: UUID


class StepAsideParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.STEP_ASIDE.value):
    """Deliveries that step aside: those of an ordered webhook that have failed as often as it skips after."""

    webhook_id: UUID


class SendNowParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.SEND_NOW.value):
    """Deliveries that fall due: those of a webhook that wait for a later attempt."""

    webhook_id: UUID


class BackfillParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.BACKFILL.value):
    """Deliveries to make: of the events accepted in ``[from_at, to_at)`` that match the webhook, where it has none."""

    webhook_id: UUID
    from_at: datetime
    to_at: datetime


class ResendParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.RESEND.value):
    """Deliveries to make or send again: those of one event, to all webhooks that match it."""

    event_id: UUID


class FanOutParameters(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.FAN_OUT.value):
    """Deliveries to make: those that are left of a fan-out of which a chunk failed. ``event_id`` is its first event."""

    event_id: UUID


class _Filtered(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of any webhook: those that match a filter."""

    chosen: DeliveryFilter = msgspec.field(name="filter")


class BulkRetryParameters(_Filtered, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.BULK_RETRY.value):
    """Deliveries to retry: those that are not delivered."""


class BulkCancellationParameters(_Filtered, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.BULK_CANCEL.value):
    """Deliveries to cancel: those that are pending."""


class BulkResendParameters(_Filtered, frozen=True, kw_only=True, tag_field="kind", tag=JobKind.BULK_RESEND.value):
    """Deliveries to send again: those that are finished."""


BulkParameters = BulkRetryParameters | BulkCancellationParameters | BulkResendParameters
JobParameters = (
    ReplayParameters
    | CancellationParameters
    | StepAsideParameters
    | SendNowParameters
    | BackfillParameters
    | ResendParameters
    | FanOutParameters
    | BulkParameters
)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """
    One job. ``done`` counts the rows changed so far, ``total`` those chosen at its start, null if not counted.

    ``cursor`` is the last row looked at, in the order of ids; ``skipped`` are those before it that another transaction
    had, which the next chunk looks at again. The job with the earliest ``stepped_at`` is next, so a long one does not
    hold up a short one. It is in the future while the next chunk waits after an error: ``errors`` counts those in a
    row, ``error`` is the last one.
    """

    id: UUID
    parameters: JobParameters
    created_by: str
    created_at: datetime
    stepped_at: datetime
    total: int | None = None
    done: int = 0
    cursor: UUID | None = None
    skipped: tuple[UUID, ...] = ()
    state: JobState = JobState.RUNNING
    errors: int = 0
    error: str | None = None
    finished_at: datetime | None = None

    @property
    def kind(self) -> JobKind:
        return JobKind(str(self.parameters.__struct_config__.tag))


class Chunk(msgspec.Struct, frozen=True):
    """Result of one chunk: the rows changed, the last row looked at, whether there may be more, and what it skipped."""

    rows: int
    cursor: UUID | None
    more: bool
    skipped: tuple[UUID, ...] = ()


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """
    A job with its progress. ``per_s`` is the average so far; ``total`` is null where it was not counted.

    ``error`` is why its latest chunk failed, which is made again a few times before the job fails. Of the ``ids`` of a
    filter ``parameters`` hold the first ``SHOWN_IDS``.
    """

    id: UUID
    kind: JobKind
    state: JobState
    parameters: dict[str, Any]
    done: int
    total: int | None
    per_s: float | None
    error: str | None
    created_by: str
    created_at: datetime
    finished_at: datetime | None


def new_job(
    id_: UUID,
    parameters: JobParameters,
    *,
    created_by: str,
    now: datetime,
    total: int | None = None,
    first: Chunk | None = None,
) -> Job:
    """Return a job at its start, or after its *first* chunk."""
    job = Job(id=id_, parameters=parameters, created_by=created_by, created_at=now, stepped_at=now, total=total)
    return job if first is None else advance(job, first, now)


def advance(job: Job, chunk: Chunk, now: datetime) -> Job:
    """Return *job* after *chunk*."""
    more = msgspec.structs.replace(
        job,
        done=job.done + chunk.rows,
        cursor=chunk.cursor,
        skipped=chunk.skipped,
        stepped_at=now,
        errors=0,
        error=None,
    )
    return more if chunk.more else msgspec.structs.replace(more, state=JobState.DONE, finished_at=now)


def cancel(job: Job, now: datetime) -> Job:
    """
    Return *job* cancelled: what it did stays done. Safe to repeat.

    Raises:
        Conflict: it is done or failed, or it belongs to a deletion.
    """
    if job.state is JobState.CANCELLED:
        return job
    if job.state is not JobState.RUNNING:
        raise Conflict(f"This job is {job.state}; only a running one can be cancelled.")
    if isinstance(job.parameters, CancellationParameters):
        raise Conflict("The webhook is deleted; nothing else can become of its deliveries.")
    return msgspec.structs.replace(job, state=JobState.CANCELLED, finished_at=now)


def fail(job: Job, error: str, now: datetime) -> Job:
    """Return *job* after a chunk that failed because of *error*: it waits for the next try, or has failed."""
    failed = msgspec.structs.replace(job, errors=job.errors + 1, error=error)
    if job.errors < len(REPEATED_AFTER_S):
        return msgspec.structs.replace(failed, stepped_at=now + timedelta(seconds=REPEATED_AFTER_S[job.errors]))
    return msgspec.structs.replace(failed, state=JobState.FAILED, finished_at=now)


def postpone(job: Job, error: str, now: datetime) -> Job:
    """Return *job* after an outage in its chunk: the others are next, and after some in a row it waits."""
    wait_s = POSTPONED_S[min(job.errors, len(POSTPONED_S) - 1)]
    # Counted as errors only so far that one of its own does not fail it at once.
    errors = min(job.errors + 1, len(REPEATED_AFTER_S) - 1)
    shown = error if wait_s else job.error
    return msgspec.structs.replace(job, errors=errors, error=shown, stepped_at=now + timedelta(seconds=wait_s))


def described(error: Exception) -> str:
    """Return *error* in one line, as a job stores it."""
    return f"{type(error).__name__}: {error}"[:300]


def shown_job(job: Job, now: datetime) -> JobView:
    """Return the view of *job*."""
    elapsed_s = ((job.finished_at or now) - job.created_at).total_seconds()
    parameters: dict[str, Any] = msgspec.to_builtins(_shown_parameters(job.parameters))
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        parameters={name: value for name, value in parameters.items() if name != "kind"},
        done=job.done,
        total=job.total,
        per_s=round(job.done / elapsed_s, 3) if elapsed_s > 0 else None,
        error=job.error,
        created_by=job.created_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def _shown_parameters(parameters: JobParameters) -> JobParameters:
    if not isinstance(parameters, BulkParameters) or parameters.chosen.ids is None:
        return parameters
    chosen = msgspec.structs.replace(parameters.chosen, ids=parameters.chosen.ids[:SHOWN_IDS])
    return msgspec.structs.replace(parameters, chosen=chosen)
