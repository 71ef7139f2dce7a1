"""
Replays: deliveries of a webhook that are sent again, chosen by time of acceptance and by result; or, as a
backfill, made of stored events that it has none of.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.job import BackfillParameters, Job, JobState, ReplayParameters
from monitor.domain.errors import FieldError, Invalid, NotFound
from monitor.domain.vocab import DeliveryState

COUNTED_MAX = 1_000_000
"""Finished deliveries that the count of a replay looks at, at most."""

FINISHED = [state.value for state in DeliveryState if state is not DeliveryState.PENDING]
"""Values of ``states``, for the documentation."""

UNDELIVERED = (DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.QUARANTINED)


class ReplaySource(StrEnum):
    """What a replay is made of: finished deliveries, or stored events without one."""

    DELIVERIES = "deliveries"
    EVENTS = "events"


class ReplaySpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}
):
    """
    Which deliveries to send again: those accepted in ``[from, to)`` that ended in one of ``states``. With ``source``
    ``events``, which ones to make: of the events accepted then that match the webhook and have no delivery for it, also
    from before it existed.

    ``dry_run`` only counts. Receivers that drop repeats by ``webhook-id`` drop those that arrived before.
    """

    from_at: Annotated[datetime, Meta(tz=True, description="Accepted at or after this time.")]
    to_at: Annotated[datetime, Meta(tz=True, description="Accepted before this time.")]
    source: Annotated[
        ReplaySource, Meta(description="`events`: make deliveries of stored events that the webhook has none of.")
    ] = ReplaySource.DELIVERIES
    states: Annotated[
        list[Annotated[DeliveryState, Meta(extra_json_schema={"enum": FINISHED})]],
        Meta(min_length=1, max_length=4, description="States to choose; not with `source: events`."),
    ] = msgspec.field(default_factory=lambda: list(UNDELIVERED))
    dry_run: bool = False


class ReplayView(msgspec.Struct, frozen=True, kw_only=True):
    """
    A replay with its progress: the view of a job that is one. It is over when ``finished_at`` is set.

    ``queued`` counts what is due by now, ``total`` what was chosen at the start, null if that was not counted.
    """

    id: UUID
    webhook_id: UUID
    state: JobState
    total: int | None
    queued: int
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    source: ReplaySource = ReplaySource.DELIVERIES


class ReplayCount(msgspec.Struct, frozen=True):
    """
    Deliveries that a replay would send again or make: among the first ``COUNTED_MAX`` deliveries of the range, or among
    the first ``EXAMINED_MAX`` events.
    """

    count: int


def check_replay(spec: ReplaySpec) -> None:
    """
    Apply the rules that a type cannot express.

    Raises:
        Invalid: with one error for each wrong member.
    """
    errors = []
    if not spec.from_at < spec.to_at:
        errors.append(FieldError("/from", "Let from lie before to."))
    if DeliveryState.PENDING in spec.states:
        errors.append(FieldError("/states", "Leave pending out: those are still being tried."))
    if spec.source is ReplaySource.EVENTS and tuple(spec.states) != UNDELIVERED:
        errors.append(FieldError("/states", "Leave states out: an event without a delivery has none."))
    if errors:
        raise Invalid("The replay breaks a rule; see errors.", errors=tuple(errors))


def parameters_of(webhook_id: UUID, spec: ReplaySpec, now: datetime) -> ReplayParameters | BackfillParameters:
    """Return the parameters of the job that *spec* describes at *now*. What is published later needs no backfill."""
    if spec.source is ReplaySource.EVENTS:
        return BackfillParameters(webhook_id=webhook_id, from_at=spec.from_at, to_at=min(spec.to_at, now))
    return ReplayParameters(webhook_id=webhook_id, from_at=spec.from_at, to_at=spec.to_at, states=tuple(spec.states))


def shown(job: Job) -> ReplayView:
    """
    Return the view of *job* as a replay.

    Raises:
        NotFound: it is a job of another kind.
    """
    if not isinstance(job.parameters, ReplayParameters | BackfillParameters):
        raise NotFound("There is no replay with this id.")
    is_backfill = isinstance(job.parameters, BackfillParameters)
    return ReplayView(
        id=job.id,
        webhook_id=job.parameters.webhook_id,
        state=job.state,
        total=job.total,
        queued=job.done,
        created_by=job.created_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
        source=ReplaySource.EVENTS if is_backfill else ReplaySource.DELIVERIES,
    )
