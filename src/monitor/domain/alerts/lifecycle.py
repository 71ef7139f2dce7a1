"""Lifecycle of an alert: which history entries a trigger adds, and the alert that results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from monitor.domain.alerts.alert import (
    SYSTEM_ACTOR,
    Action,
    Alert,
    AlertPolicy,
    AlertState,
    Cause,
    HistoryEntry,
    Identity,
    apply_entry,
    recent_transitions,
)
from monitor.domain.alerts.conditions import Condition, reach_of
from monitor.domain.errors import Conflict
from monitor.domain.vocab import highest_severity, is_worse

NOTE_BACK_TO_NORMAL = "Back to normal."


class UpdateConditions(msgspec.Struct, frozen=True):
    """
    The result of an evaluation: *conditions* are all that hold now.

    Args:
        silenced: a silence matches, so no notification is sent.
        resolve_note: note of the history entry if no condition holds any more.
        superseded_note: the alert about all webhooks stands for the conditions; why, for the history. These raise no
            alert, and one that is open ends without being resolved.
    """

    conditions: Sequence[Condition] = ()
    silenced: bool = False
    resolve_note: str = NOTE_BACK_TO_NORMAL
    superseded_note: str | None = None


class Acknowledge(msgspec.Struct, frozen=True):
    """User *by* works on the alert, until ``expires_at`` if given, which lies in the future."""

    by: str
    note: str | None = None
    expires_at: datetime | None = None
    silenced: bool = False


class Resolve(msgspec.Struct, frozen=True):
    """User *by* ends the alert; causes that still hold are suppressed for ``policy.suppress_s``."""

    by: str
    note: str | None = None
    silenced: bool = False


class Unacknowledge(msgspec.Struct, frozen=True):
    """User *by* takes the acknowledgement back, so that the alert needs attention again."""

    by: str
    note: str | None = None
    silenced: bool = False


class Comment(msgspec.Struct, frozen=True):
    """User *by* writes *text* into the history, in any state. Its repeat adds another entry."""

    by: str
    text: str
    silenced: bool = False


class Tell(msgspec.Struct, frozen=True):
    """Nothing happened but that a silence may have ended: subscribers are notified of what changed under it."""

    silenced: bool = False


class Remind(msgspec.Struct, frozen=True):
    """A reminder of the pending alert is due, with *note* as its text; silenced, it is not sent. Its
    repeat adds another entry."""

    note: str
    silenced: bool = False


Trigger = UpdateConditions | Tell | Acknowledge | Unacknowledge | Comment | Resolve | Remind


def apply_trigger(
    alert: Alert | None, trigger: Trigger, now: datetime, *, identity: Identity, policy: AlertPolicy
) -> tuple[Alert | None, tuple[HistoryEntry, ...]]:
    """
    Return the alert after *trigger* and the entries that it adds, none if it changes nothing. Safe to repeat, but for
    a comment and a reminder.

    Args:
        alert: the latest of this webhook and kind, resolved or not; ``None`` if there never was one.
        identity: key of a new alert, used only if one is raised.

    Raises:
        Conflict: an acknowledgement of a resolved alert, or taking one back; a comment on none.
    """
    history = _HistoryWriter(alert, now, identity, policy)
    match trigger:
        case UpdateConditions():
            _update_conditions(history, trigger)
        case Acknowledge():
            _acknowledge(history, trigger)
        case Unacknowledge():
            _unacknowledge(history, trigger)
        case Comment():
            _comment(history, trigger)
        case Resolve():
            _resolve(history, trigger)
        case Tell():
            pass
        case Remind():
            _remind(history, trigger)
        case _:
            assert_never(trigger)
    _update_notification(history, silenced=trigger.silenced)
    return history.alert, tuple(history.entries)


class _HistoryWriter:
    """Collects entries and applies each to the alert."""

    def __init__(self, alert: Alert | None, now: datetime, identity: Identity, policy: AlertPolicy) -> None:
        self.alert = alert
        self.now = now
        self.policy = policy
        self.entries: list[HistoryEntry] = []
        self._new = identity

    def append(self, entry: HistoryEntry) -> None:
        alert = self.alert
        identity = self._new if alert is None else Identity(alert.id, alert.webhook_id, alert.kind)
        self.alert = apply_entry(alert, entry, identity, self.policy)
        self.entries.append(entry)

    def raise_new(self, entry: HistoryEntry) -> None:
        """Raise a new alert, whatever came before."""
        self.alert = None
        self.append(entry)


def _update_conditions(history: _HistoryWriter, trigger: UpdateConditions) -> None:
    if history.alert is None or not history.alert.is_open:
        _update_resolved(history, trigger)
    else:
        _update_open(history, history.alert, trigger)
    _note_lower_severity(history, trigger.conditions)


def _update_open(history: _HistoryWriter, alert: Alert, trigger: UpdateConditions) -> None:
    now, current = history.now, _by_cause(trigger.conditions)
    if not current:
        history.append(HistoryEntry(at=now, action=Action.RESOLVED, causes=(), note=trigger.resolve_note))
        return
    if trigger.superseded_note is not None:
        history.append(_superseded_entry(now, tuple(current), trigger.superseded_note))
        return
    _expire(history, alert)
    severity = highest_severity(*(condition.severity for condition in trigger.conditions))
    if is_worse(severity, alert.severity):
        history.append(_conditions_entry(now, Action.ESCALATED, trigger.conditions))
    elif is_worse(alert.severity, severity) and _has_eased(alert, now, history.policy):
        history.append(_conditions_entry(now, Action.EASED, trigger.conditions))
    elif current.keys() - set(alert.causes):
        entry = _conditions_entry(now, Action.REPEATED, trigger.conditions)
        history.append(msgspec.structs.replace(entry, severity=None))
    elif set(alert.causes) - current.keys():
        title = _conditions_entry(now, Action.CAUSE_CLEARED, trigger.conditions).title
        history.append(HistoryEntry(at=now, action=Action.CAUSE_CLEARED, causes=tuple(current), title=title))
    elif not reach_of(alert.evidence).covers(reach_of({c.cause: c.evidence for c in trigger.conditions})):
        entry = _conditions_entry(now, Action.WIDENED, trigger.conditions)
        history.append(msgspec.structs.replace(entry, severity=None))


def _superseded_entry(now: datetime, causes: tuple[Cause, ...], note: str) -> HistoryEntry:
    return HistoryEntry(at=now, action=Action.SUPERSEDED, causes=causes, note=note)


def _has_eased(alert: Alert, now: datetime, policy: AlertPolicy) -> bool:
    return alert.lower_since is not None and now - alert.lower_since >= timedelta(seconds=policy.ease_s)


def _note_lower_severity(history: _HistoryWriter, conditions: Sequence[Condition]) -> None:
    """Note since when what holds is less severe than the alert; see :attr:`Alert.lower_since`."""
    alert = history.alert
    if alert is None:
        return
    severities = [condition.severity for condition in conditions]
    is_lower = alert.is_open and bool(severities) and is_worse(alert.severity, highest_severity(*severities))
    lower_since = (alert.lower_since or history.now) if is_lower else None
    if lower_since != alert.lower_since:
        history.alert = msgspec.structs.replace(alert, lower_since=lower_since)


def _update_resolved(history: _HistoryWriter, trigger: UpdateConditions) -> None:
    alert, now = history.alert, history.now
    current = _by_cause(trigger.conditions).keys()
    if alert is not None and alert.is_replaced:
        _update_replaced(history, trigger)
        return
    suppressed = _suppressed_causes(alert, now, history.policy) & current
    if current - suppressed and trigger.superseded_note is not None and alert is not None and alert.notified:
        # Its end was not notified yet, and no longer holds.
        history.append(_superseded_entry(now, tuple(current), trigger.superseded_note))
    elif current - suppressed and trigger.superseded_note is None:
        # An open alert has all causes that hold, suppressed or not, or the next evaluation would add the others.
        if alert is not None and _is_recent(alert, now, history.policy):
            history.append(_conditions_entry(now, Action.REOPENED, trigger.conditions))
        else:
            history.raise_new(_conditions_entry(now, Action.RAISED, trigger.conditions))
    elif alert is not None and suppressed != set(alert.causes):
        # A suppressed cause that cleared is new when it comes back.
        history.append(
            HistoryEntry(at=now, action=Action.CAUSE_CLEARED, causes=tuple(c for c in alert.causes if c in suppressed))
        )


def _update_replaced(history: _HistoryWriter, trigger: UpdateConditions) -> None:
    """Update an alert that another one superseded: its resolution is notified only when its webhook is well."""
    if not trigger.conditions:
        history.append(HistoryEntry(at=history.now, action=Action.RECOVERED, causes=(), note=trigger.resolve_note))
    elif trigger.superseded_note is None:
        history.append(_conditions_entry(history.now, Action.REOPENED, trigger.conditions))


def _is_recent(alert: Alert, now: datetime, policy: AlertPolicy) -> bool:
    """Whether a cause reopens the resolved *alert*. It always does while flapping, or that would never end, and while
    subscribers were last notified of it as open: for these it never ended."""
    return alert.flapping or alert.notified or now - _resolved_at(alert) < timedelta(seconds=policy.reopen_s)


def _suppressed_causes(alert: Alert | None, now: datetime, policy: AlertPolicy) -> set[Cause]:
    """Return the causes that still held when a user resolved *alert*, within ``policy.suppress_s``."""
    if alert is None or now - _resolved_at(alert) >= timedelta(seconds=policy.suppress_s):
        return set()
    return set(alert.causes)


def _acknowledge(history: _HistoryWriter, trigger: Acknowledge) -> None:
    if history.alert is None or not history.alert.is_open:
        raise Conflict("This alert is resolved; there is nothing to acknowledge.")
    _expire(history, history.alert)
    if history.alert.state is AlertState.ACKNOWLEDGED:
        return
    history.append(
        HistoryEntry(
            at=history.now,
            action=Action.ACKNOWLEDGED,
            actor=trigger.by,
            note=trigger.note,
            expires_at=trigger.expires_at,
        )
    )


def _unacknowledge(history: _HistoryWriter, trigger: Unacknowledge) -> None:
    if history.alert is None or not history.alert.is_open:
        raise Conflict("This alert is resolved; there is no acknowledgement to take back.")
    _expire(history, history.alert)
    if history.alert.state is AlertState.ACKNOWLEDGED:
        history.append(HistoryEntry(at=history.now, action=Action.UNACKNOWLEDGED, actor=trigger.by, note=trigger.note))


def _comment(history: _HistoryWriter, trigger: Comment) -> None:
    if history.alert is None:
        raise Conflict("There is no alert to comment on.")
    history.append(HistoryEntry(at=history.now, action=Action.COMMENTED, actor=trigger.by, note=trigger.text))


def _expire(history: _HistoryWriter, alert: Alert) -> None:
    if alert.ack_expires_at is not None and history.now >= alert.ack_expires_at:
        history.append(HistoryEntry(at=history.now, action=Action.ACK_EXPIRED))


def _resolve(history: _HistoryWriter, trigger: Resolve) -> None:
    if history.alert is not None and history.alert.is_open:
        history.append(HistoryEntry(at=history.now, action=Action.RESOLVED, actor=trigger.by, note=trigger.note))


def _remind(history: _HistoryWriter, trigger: Remind) -> None:
    alert = history.alert
    if alert is not None and alert.state is AlertState.PENDING and not trigger.silenced:
        history.append(HistoryEntry(at=history.now, action=Action.REMINDED, note=trigger.note))


def _update_notification(history: _HistoryWriter, *, silenced: bool) -> None:
    """Update the flapping flag, then request a notification if one is pending."""
    alert = history.alert
    if alert is None:
        return
    is_flapping = len(recent_transitions(alert, history.now, history.policy)) > history.policy.flap_transitions
    if alert.flapping and not is_flapping:
        history.append(HistoryEntry(at=history.now, action=Action.FLAPPING_ENDED))
    elif is_flapping and not alert.flapping and alert.pending_notification and not silenced:
        history.append(HistoryEntry(at=history.now, action=Action.FLAPPING))
    alert = history.alert
    assert alert is not None
    if alert.pending_notification and not silenced and not alert.flapping:
        history.append(HistoryEntry(at=history.now, action=Action.NOTIFIED))


def _conditions_entry(now: datetime, action: Action, conditions: Sequence[Condition]) -> HistoryEntry:
    """Return an entry with all *conditions*; the first of the most severe gives the title."""
    severity = highest_severity(*(condition.severity for condition in conditions))
    leading = next(condition for condition in conditions if condition.severity is severity)
    return HistoryEntry(
        at=now,
        action=action,
        actor=SYSTEM_ACTOR,
        severity=severity,
        title=leading.title,
        causes=tuple(_by_cause(conditions)),
        evidence={condition.cause: condition.evidence for condition in conditions},
    )


def _by_cause(conditions: Sequence[Condition]) -> dict[Cause, Condition]:
    return {condition.cause: condition for condition in conditions}


def _resolved_at(alert: Alert) -> datetime:
    return alert.resolved_at or alert.raised_at
