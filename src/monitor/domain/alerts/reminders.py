"""When reminders of an alert are due: while it is critical and not acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, Alert, AlertKind, AlertState, HistoryEntry
from monitor.domain.alerts.notification import AlertNotification, notification_of
from monitor.domain.delivery.reminders import LAST_S, REMINDER, STEP_S, span_labels
from monitor.domain.vocab import Severity

RESTARTS = frozenset({Action.REOPENED, Action.ESCALATED, Action.ACK_EXPIRED, Action.UNACKNOWLEDGED})
"""After one of these the steps start over."""

_FAILING = frozenset({AlertKind.FAILING, AlertKind.MASS_FAILURE})


class ReminderSchedule(msgspec.Struct, frozen=True):
    """
    The next look at an alert, while it may need reminders.

    Attributes:
        since: when subscribers were notified that it is critical; steps count from there.
        passed_s: the steps up to this one are done, sent or not.
        next_at: when it is looked at again.
    """

    alert_id: UUID
    since: datetime
    passed_s: int
    next_at: datetime


class ReminderSpan(msgspec.Struct, frozen=True):
    """The steps that one reminder stands for: those beyond ``after_s``, up to ``until_s``."""

    after_s: int
    until_s: int


def needs_reminders(alert: Alert) -> bool:
    """Whether *alert* is critical, its subscribers were notified of that, and it is not acknowledged."""
    is_told = alert.notified and not alert.pending_notification and not alert.flapping
    return alert.state is AlertState.PENDING and alert.severity is Severity.CRITICAL and is_told


def started(before: Alert | None, after: Alert, entries: Sequence[HistoryEntry]) -> ReminderSchedule | None:
    """Return the schedule that *entries*, the last ones of *after*, begin or restart; ``None`` if none does."""
    if not needs_reminders(after):
        return None
    is_same = before is not None and before.id == after.id and needs_reminders(before)
    if is_same and not RESTARTS & {entry.action for entry in entries}:
        return None
    since = entries[-1].at
    return ReminderSchedule(after.id, since, 0, since + timedelta(seconds=STEP_S))


def elapsed_s(schedule: ReminderSchedule, now: datetime) -> int:
    """Return the last whole step before *now*, at most :data:`LAST_S`; never less than what passed."""
    steps = int((now - schedule.since).total_seconds()) // STEP_S
    return max(min(steps * STEP_S, LAST_S), schedule.passed_s)


def due_span(schedule: ReminderSchedule, now: datetime, steps: Collection[int]) -> ReminderSpan | None:
    """Return the span of the reminder that is due for *steps*, those of all webhooks; one, however late it is."""
    elapsed = elapsed_s(schedule, now)
    if any(schedule.passed_s < step <= elapsed for step in steps):
        return ReminderSpan(schedule.passed_s, elapsed)
    return None


def following(schedule: ReminderSchedule, now: datetime) -> ReminderSchedule | None:
    """Return the schedule after a look at *now*; ``None`` after the last one."""
    elapsed = elapsed_s(schedule, now)
    if elapsed >= LAST_S:
        return None
    next_at = max(schedule.since + timedelta(seconds=elapsed + STEP_S), now)
    return msgspec.structs.replace(schedule, passed_s=elapsed, next_at=next_at)


def reminder_text(alert: Alert, span: ReminderSpan) -> str:
    """Return the sentence of a reminder: ``Still failing after 1 h, nobody acknowledged it: …``."""
    how = "failing" if alert.kind in _FAILING else "open"
    return f"Still {how} after {_duration(span.until_s)}, nobody acknowledged it: {alert.title}"


def reminder_of(
    alert: Alert, span: ReminderSpan, webhook_name: str | None, labels: Mapping[str, str]
) -> AlertNotification:
    """Return the event that reminds of *alert*, whose last history entry is about it. See :func:`notification_of`."""
    made = notification_of(REMINDER, alert, webhook_name, labels, alert.version)
    payload = msgspec.json.decode(made.payload)
    payload["data"]["reminder"] = {"elapsed_s": span.until_s, "text": reminder_text(alert, span)}
    return msgspec.structs.replace(
        made, payload=msgspec.json.encode(payload), labels=made.labels | span_labels(span.after_s, span.until_s)
    )


def _duration(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return " ".join(part for part in (f"{hours} h" * (hours > 0), f"{minutes} min" * (minutes > 0)) if part)
