"""Silences: which alerts cause no notifications, when and why; what happens inside is neither learned nor counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, pairwise, takewhile
from typing import Annotated, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.alerts.recurrence import RULE_POINTER, Expand, Recurrence, rule_errors
from monitor.domain.errors import FieldError, Invalid
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.text import LINE, LINES, text_errors

MAX_DURATION = timedelta(days=365)
MAX_SERIES = timedelta(days=5 * 366)
"""How long a silence repeats, if nothing ends it before."""

AHEAD = 8
"""Occurrences that a silence holds in store: a week of a daily one, should no worker run."""

COMPARED = 60
"""First occurrences among which none may begin before the one before it ends."""

BREAKS_A_RULE = "The silence breaks a rule; see errors."


class SilenceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    A silence to create. At least one of ``webhook_id``, ``label`` and ``kind`` is needed; all that are given must
    match. ``label`` is ``name=value`` of a webhook, or ``name`` for any value.

    It begins at ``starts_at``, now if that is left out or past, and needs ``ends_at`` or ``duration_s``. With a
    ``recurrence``, each occurrence takes ``duration_s``, and none begins after ``ends_at``, which may be left out.

    ``hold_deliveries``: what waits for the webhooks that ``webhook_id`` and ``label`` name is kept until the silence
    ends, and then sent at a bounded rate.
    """

    reason: Annotated[
        str,
        Meta(min_length=1, max_length=500, description="Why the alerts are silenced.", extra_json_schema=LINES),
    ]
    starts_at: (
        Annotated[datetime, Meta(tz=True, description="The beginning; of a recurrence, where it is counted from.")]
        | None
    ) = None
    ends_at: Annotated[datetime, Meta(tz=True, description="End of the silence; at most a year from now.")] | None = (
        None
    )
    duration_s: (
        Annotated[int, Meta(ge=60, le=31_536_000, description="Instead of `ends_at`, or of each occurrence.")] | None
    ) = None
    recurrence: Recurrence | None = None
    hold_deliveries: bool = False
    webhook_id: UUID | None = None
    label: Annotated[str, Meta(min_length=1, max_length=321, extra_json_schema=LINE)] | None = None
    kind: AlertKind | None = None


class SilenceState(StrEnum):
    """``scheduled`` before an occurrence, ``active`` in one, ``ended`` after the last."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    ENDED = "ended"


class Window(NamedTuple):
    """One occurrence of a silence: active from ``starts_at`` until ``ends_at``, aware UTC."""

    starts_at: datetime
    ends_at: datetime


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """
    A silence. One that repeats has ``rrule``, ``timezone`` and ``duration_s``.

    Attributes:
        ends_at: nothing is silenced after it.
        starts_at: ``None`` is ``created_at``.
        window_starts: starts of the latest occurrence that ended, and of the next ones, ascending; ``None`` for one
            that does not repeat. ``window_ends`` are their ends. :func:`advance` keeps both.
        advance_at: when the state changes next; ``None`` if it does not.
    """

    id: UUID
    created_by: str
    created_at: datetime
    reason: str
    ends_at: datetime
    starts_at: datetime | None = None
    duration_s: int | None = None
    rrule: str | None = None
    timezone: str | None = None
    window_starts: tuple[datetime, ...] | None = None
    window_ends: tuple[datetime, ...] | None = None
    advance_at: datetime | None = None
    hold_deliveries: bool = False
    webhook_id: UUID | None = None
    label: str | None = None
    kind: AlertKind | None = None

    @property
    def recurrence(self) -> Recurrence | None:
        return None if self.rrule is None or self.timezone is None else Recurrence(self.rrule, self.timezone)

    def windows(self) -> Iterator[Window]:
        """Yield the occurrences that are known, ascending."""
        starts, ends = self.window_starts, self.window_ends
        if starts is None or ends is None:
            starts, ends = (self.starts_at or self.created_at,), (self.ends_at,)
        for start, end in zip(starts, ends, strict=False):
            if start < min(end, self.ends_at):
                yield Window(start, min(end, self.ends_at))

    def window(self, now: datetime) -> Window | None:
        """Return the occurrence that is active at *now*, else the next one; ``None`` if none is left."""
        return next((window for window in self.windows() if now < window.ends_at), None)

    def is_active(self, now: datetime, since: datetime | None = None) -> bool:
        """Whether an occurrence is active at *now*, or was after *since*."""
        return any(
            w.starts_at <= now and (now < w.ends_at or (since is not None and since < w.ends_at))
            for w in self.windows()
        )

    def state(self, now: datetime) -> SilenceState:
        if now >= self.ends_at:
            return SilenceState.ENDED
        return SilenceState.ACTIVE if self.is_active(now) else SilenceState.SCHEDULED

    def covers(self, webhook_id: UUID, labels: Mapping[str, str]) -> bool:
        """Whether a webhook with *labels* is one of those that the silence is about, for some kind of alert."""
        if self.webhook_id is not None and self.webhook_id != webhook_id:
            return False
        return self.label is None or has_label(labels, self.label)

    def matches(self, webhook_id: UUID, labels: Mapping[str, str], kind: AlertKind, now: datetime) -> bool:
        """Whether an alert of *kind* about a webhook with *labels* is silenced at *now*."""
        return self.kind in (None, kind) and self.covers(webhook_id, labels) and self.is_active(now)

    def holds(self, webhook_id: UUID, labels: Mapping[str, str]) -> bool:
        """Whether the deliveries of a webhook with *labels* wait while the silence is active."""
        return self.hold_deliveries and self.covers(webhook_id, labels)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether *labels* holds *wanted*, ``name=value`` or a name alone."""
    name, separator, value = wanted.partition("=")
    return name in labels and (not separator or labels[name] == value)


class Hold(NamedTuple):
    """What silences hold of a webhook: until when, and when the latest hold that is over ended; ``None`` for none."""

    until: datetime | None = None
    ended_at: datetime | None = None


def hold_of(silences: Sequence[Silence], webhook_id: UUID, labels: Mapping[str, str], now: datetime) -> Hold:
    """Return what *silences* hold of a webhook; the rule that the queue's SQL repeats."""
    windows = [w for s in silences if s.holds(webhook_id, labels) for w in s.windows() if w.starts_at <= now]
    until = max((w.ends_at for w in windows if now < w.ends_at), default=None)
    return Hold(until, max((w.ends_at for w in windows if w.ends_at <= now), default=None))


def check_silence(spec: SilenceSpec, now: datetime) -> None:
    """
    Check the rules that the types do not express, but for those of a recurrence's occurrences.

    Raises:
        Invalid: with one error for each wrong member.
    """
    errors = [
        *text_errors("/reason", spec.reason, several_lines=True),
        *text_errors("/label", spec.label),
    ]
    if spec.webhook_id is None and spec.label is None and spec.kind is None:
        errors.append(FieldError("", "Name what to silence: webhook_id, label or kind."))
    elif spec.hold_deliveries and spec.webhook_id is None and spec.label is None:
        errors.append(FieldError("/hold_deliveries", "Name whose deliveries to hold: webhook_id or label."))
    if spec.webhook_id == SYSTEM_ID:
        errors.append(FieldError("/webhook_id", "Silence the kind mass_failure instead."))
    errors += _time_errors(spec, now) if spec.recurrence is None else _series_errors(spec, spec.recurrence, now)
    if errors:
        raise Invalid(BREAKS_A_RULE, errors=tuple(errors))


def plan_silence(spec: SilenceSpec, now: datetime, expand: Expand, *, id_: UUID, created_by: str) -> Silence:
    """
    Return the silence that *spec* describes.

    Raises:
        Invalid: *spec* breaks a rule.
    """
    check_silence(spec, now)
    starts_at = now if spec.starts_at is None else spec.starts_at
    planned = Silence(
        id=id_,
        created_by=created_by,
        created_at=now,
        reason=spec.reason,
        ends_at=_last_end(spec, starts_at, now),
        starts_at=starts_at if spec.recurrence is not None else max(starts_at, now),
        hold_deliveries=spec.hold_deliveries,
        webhook_id=spec.webhook_id,
        label=spec.label,
        kind=spec.kind,
    )
    if spec.recurrence is not None:
        recurrence = spec.recurrence
        _check_overlap(recurrence, starts_at, timedelta(seconds=spec.duration_s or 0), expand)
        planned = msgspec.structs.replace(
            planned,
            rrule=recurrence.rrule,
            timezone=recurrence.timezone,
            duration_s=spec.duration_s,
            window_starts=(),
            window_ends=(),
        )
    planned = advance(planned, now, expand)
    if planned.window(now) is None:
        raise Invalid(BREAKS_A_RULE, errors=(FieldError(RULE_POINTER, "It never occurs between now and its end."),))
    return planned


def advance(silence: Silence, now: datetime, expand: Expand) -> Silence:
    """
    Return *silence* with the occurrences that are next at *now*, and the time of its next change. Safe to repeat, and
    to do late.

    Without an occurrence left, it ends when the last one did. What is in store was decided before: an occurrence that
    was cut short stays so.
    """
    if (recurrence := silence.recurrence) is not None:
        silence = _fill(silence, recurrence, now, expand)
    moments = [moment for window in silence.windows() for moment in window if moment > now]
    if now < silence.ends_at:
        moments.append(silence.ends_at)
    return msgspec.structs.replace(silence, advance_at=min(moments, default=None))


def end_occurrence(silence: Silence, now: datetime, expand: Expand) -> Silence:
    """Return *silence*, which repeats, with the occurrence that is active at *now* cut short; itself if none is."""
    if not silence.is_active(now):
        return silence
    cut = tuple(min(now, w.ends_at) if w.starts_at <= now else w.ends_at for w in silence.windows())
    starts = tuple(window.starts_at for window in silence.windows())
    return advance(msgspec.structs.replace(silence, window_starts=starts, window_ends=cut), now, expand)


def _fill(silence: Silence, recurrence: Recurrence, now: datetime, expand: Expand) -> Silence:
    duration = timedelta(seconds=silence.duration_s or 0)
    stored = list(silence.windows())
    kept = [*[window for window in stored if window.ends_at <= now][-1:], *[w for w in stored if w.ends_at > now]]
    latest = kept[-1].starts_at if kept else None
    ahead = sum(window.ends_at > now for window in kept)
    starts = (local.astimezone(UTC) for local in expand(recurrence, silence.starts_at or silence.created_at))
    before = silence.ends_at
    for start in takewhile(lambda start: start < before, starts):
        if ahead >= AHEAD:
            break
        if (latest is None or start > latest) and start + duration > now:
            kept.append(Window(start, min(start + duration, silence.ends_at)))
            ahead += 1
    else:
        # Nothing follows.
        last = max((window.ends_at for window in kept), default=silence.ends_at)
        silence = msgspec.structs.replace(silence, ends_at=min(last, silence.ends_at))
    starts_, ends = tuple(window.starts_at for window in kept), tuple(window.ends_at for window in kept)
    return msgspec.structs.replace(silence, window_starts=starts_, window_ends=ends)


def _time_errors(spec: SilenceSpec, now: datetime) -> Iterator[FieldError]:
    if (spec.ends_at is None) is (spec.duration_s is None):
        yield FieldError("/ends_at", "Give the end or the duration, and not both.")
        return
    if spec.starts_at is not None and spec.starts_at > now + MAX_DURATION:
        yield FieldError("/starts_at", f"Begin within {MAX_DURATION.days} days.")
    elif not max(spec.starts_at or now, now) < _last_end(spec, spec.starts_at or now, now) <= now + MAX_DURATION:
        pointer = "/ends_at" if spec.ends_at is not None else "/duration_s"
        yield FieldError(
            pointer, f"Choose a time in the future, after the beginning and within {MAX_DURATION.days} days."
        )


def _series_errors(spec: SilenceSpec, recurrence: Recurrence, now: datetime) -> Iterator[FieldError]:
    if spec.duration_s is None:
        yield FieldError("/duration_s", "Say how long each occurrence takes.")
    if not now - MAX_DURATION <= (spec.starts_at or now) <= now + MAX_DURATION:
        yield FieldError("/starts_at", f"Count from a time within {MAX_DURATION.days} days.")
    if spec.ends_at is not None and not max(spec.starts_at or now, now) < spec.ends_at <= now + MAX_SERIES:
        yield FieldError("/ends_at", "Choose a time in the future, after the beginning and within five years.")
    yield from rule_errors(recurrence.rrule)


def _last_end(spec: SilenceSpec, starts_at: datetime, now: datetime) -> datetime:
    if spec.ends_at is not None:
        return spec.ends_at
    if spec.recurrence is not None:
        return now + MAX_SERIES
    return max(starts_at, now) + timedelta(seconds=spec.duration_s or 0)


def _check_overlap(recurrence: Recurrence, first: datetime, duration: timedelta, expand: Expand) -> None:
    starts = (start.astimezone(UTC) for start in islice(expand(recurrence, first), COMPARED))
    if any(one + duration > other for one, other in pairwise(starts)):
        detail = "An occurrence would begin before the one before it ends."
        raise Invalid(BREAKS_A_RULE, errors=(FieldError("/duration_s", detail),))
