"""Replays: deliveries of a webhook that are sent again, chosen by when they were accepted and how they ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.vocab import DeliveryState

COUNTED_MAX = 1_000_000
"""Deliveries that a replay counts and sends at most."""

FINISHED = [state.value for state in DeliveryState if state is not DeliveryState.PENDING]
"""Values of ``states``, for the documentation."""

UNDELIVERED = (DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.QUARANTINED)


class ReplaySpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_at": "from", "to_at": "to"}
):
    """
    Which deliveries to send again: those accepted in ``[from, to)`` that ended in one of ``states``.

    ``dry_run`` only counts. Receivers that drop repeats by ``webhook-id`` drop those that arrived before.
    """

    from_at: Annotated[datetime, Meta(tz=True, description="Accepted at or after this time.")]
    to_at: Annotated[datetime, Meta(tz=True, description="Accepted before this time.")]
    states: Annotated[
        list[Annotated[DeliveryState, Meta(extra_json_schema={"enum": FINISHED})]],
        Meta(min_length=1, max_length=4, description="States to choose."),
    ] = msgspec.field(default_factory=lambda: list(UNDELIVERED))
    dry_run: bool = False


class ReplayState(StrEnum):
    """A replay is ``RUNNING`` until the last of its deliveries waits to be sent."""

    RUNNING = "running"
    DONE = "done"


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """
    One replay. ``total`` counts the deliveries chosen at its start, ``queued`` those made due again so far.

    ``cursor`` is the last one of these, in the order of ids.
    """

    id: UUID
    webhook_id: UUID
    from_at: datetime
    to_at: datetime
    states: tuple[DeliveryState, ...]
    created_by: str
    created_at: datetime
    total: int
    queued: int = 0
    cursor: UUID | None = None
    finished_at: datetime | None = None


class ReplayView(msgspec.Struct, frozen=True, kw_only=True):
    """A replay with its progress; it is done when ``finished_at`` is set."""

    id: UUID
    webhook_id: UUID
    state: ReplayState
    total: int
    queued: int
    created_by: str
    created_at: datetime
    finished_at: datetime | None


class ReplayCount(msgspec.Struct, frozen=True):
    """Deliveries that a replay would send again, at most ``COUNTED_MAX``."""

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
    if errors:
        raise Invalid("The replay breaks a rule; see errors.", errors=tuple(errors))


def advance(replay: Replay, moved: int, last: UUID | None, *, full: bool, now: datetime) -> Replay:
    """
    Return *replay* after one step made *moved* deliveries due, the last one being *last*.

    Args:
        full: the step reached its limit, so more may be left.
    """
    return msgspec.structs.replace(
        replay,
        queued=replay.queued + moved,
        cursor=last or replay.cursor,
        finished_at=None if full else now,
    )


def shown(replay: Replay) -> ReplayView:
    """Return the view of *replay*."""
    return ReplayView(
        id=replay.id,
        webhook_id=replay.webhook_id,
        state=ReplayState.RUNNING if replay.finished_at is None else ReplayState.DONE,
        total=replay.total,
        queued=replay.queued,
        created_by=replay.created_by,
        created_at=replay.created_at,
        finished_at=replay.finished_at,
    )
