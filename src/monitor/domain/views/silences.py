"""Read models of silences."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.recurrence import Expand, Recurrence
from monitor.domain.alerts.silences import Silence, SilenceState
from monitor.domain.views.alerts import AlertView


class SilenceView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One silence. It is ``active`` until ``active_until``, null while it is not; ``next_starts_at`` is the beginning of
    the next occurrence, null for none. ``ends_at`` is the end of the whole series. ``duration_s`` and ``recurrence``
    are null for one that does not repeat.

    ``matches`` counts the open alerts that it silences now; ``webhook_name`` is null for one that names no webhook, and
    once its history is gone.
    """

    id: UUID
    created_by: str
    created_at: datetime
    reason: str
    starts_at: datetime | None = None
    ends_at: datetime
    duration_s: int | None = None
    recurrence: Recurrence | None = None
    hold_deliveries: bool = False
    webhook_id: UUID | None
    label: str | None
    kind: AlertKind | None
    state: SilenceState = SilenceState.ACTIVE
    active: bool
    active_until: datetime | None = None
    next_starts_at: datetime | None = None
    matches: int
    webhook_name: str | None = None


class OccurrenceView(msgspec.Struct, frozen=True):
    """One occurrence of a silence: in UTC, and in the time zone of its recurrence."""

    starts_at: datetime
    ends_at: datetime
    local_starts_at: datetime
    local_ends_at: datetime


class SilencePreview(msgspec.Struct, frozen=True):
    """Matches of a silence: open alerts (the first 50) and the number of webhooks; and its next 8 occurrences."""

    webhooks: int
    alerts: list[AlertView]
    occurrences: list[OccurrenceView] = []


def silence_view(silence: Silence, now: datetime, *, matches: int = 0, webhook_name: str | None = None) -> SilenceView:
    """Return *silence* as it is shown at *now*."""
    state = silence.state(now)
    window = silence.window(now)
    return SilenceView(
        id=silence.id,
        created_by=silence.created_by,
        created_at=silence.created_at,
        reason=silence.reason,
        starts_at=silence.starts_at or silence.created_at,
        ends_at=silence.ends_at,
        duration_s=silence.duration_s,
        recurrence=silence.recurrence,
        hold_deliveries=silence.hold_deliveries,
        webhook_id=silence.webhook_id,
        label=silence.label,
        kind=silence.kind,
        state=state,
        active=state is SilenceState.ACTIVE,
        active_until=window.ends_at if window is not None and state is SilenceState.ACTIVE else None,
        next_starts_at=min((w.starts_at for w in silence.windows() if w.starts_at > now), default=None),
        matches=matches,
        webhook_name=webhook_name,
    )


def occurrences_of(silence: Silence, expand: Expand) -> list[OccurrenceView]:
    """Return the occurrences of *silence* that are known, in UTC and in local time."""
    zones = [] if silence.recurrence is None else list(islice(expand(silence.recurrence, silence.created_at), 1))
    zone = zones[0].tzinfo if zones else silence.created_at.tzinfo
    return [
        OccurrenceView(w.starts_at, w.ends_at, w.starts_at.astimezone(zone), w.ends_at.astimezone(zone))
        for w in silence.windows()
    ]
