"""What a trigger does to an alert: decide the history entries, then let them make the alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from monitor.domain.alerts.conditions import Condition
from monitor.domain.alerts.model import (
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
from monitor.domain.errors import Conflict
from monitor.domain.vocab import SEVERITIES, worst

BACK_TO_NORMAL = "Back to normal."


class Observe(msgspec.Struct, frozen=True):
    """
    Somebody looked: *conditions* are all that holds now, none if all is well.

    Args:
        silenced: a silence matches, so nobody is told.
        why_over: said in the history when nothing holds any more.
    """

    conditions: Sequence[Condition] = ()
    silenced: bool = False
    resolve_note: str = BACK_TO_NORMAL


class Acknowledge(msgspec.Struct, frozen=True):
    """*by* looks after it, until ``expires_at`` if given, which lies ahead."""

    by: str
    note: str | None = None
    expires_at: datetime | None = None
    silenced: bool = False


class Resolve(msgspec.Struct, frozen=True):
    """*by* says that it is over."""

    by: str
    note: str | None = None
    silenced: bool = False


Trigger = Observe | Acknowledge | Resolve


def apply_trigger(
    alert: Alert | None, trigger: Trigger, now: datetime, *, identity: Identity, policy: AlertPolicy
) -> tuple[Alert | None, tuple[HistoryEntry, ...]]:
    """
    Return the alert after *trigger* and the entries that it adds, none if it changes nothing. Safe to repeat.

    Args:
        alert: the latest of this webhook and kind, resolved or not; ``None`` if there never was one.
        identity: of the alert, or of the new one should one be raised: ``identity.id`` differs from ``alert.id`` in an
            alert that began here.

    Raises:
        Conflict: an acknowledgement of a resolved alert.
    """
    scribe = _HistoryWriter(alert, now, identity, policy)
    match trigger:
        case Observe():
            _observe(scribe, trigger)
        case Acknowledge():
            _acknowledge(scribe, trigger)
        case Resolve():
            _resolve(scribe, trigger)
        case _:
            assert_never(trigger)
    _settle(scribe, silenced=trigger.silenced)
    return scribe.alert, tuple(scribe.entries)


class _HistoryWriter:
    """Writes entries and keeps the alert that they make."""

    def __init__(self, alert: Alert | None, now: datetime, identity: Identity, policy: AlertPolicy) -> None:
        self.alert = alert
        self.now = now
        self.policy = policy
        self.entries: list[HistoryEntry] = []
        self._new = identity

    def write(self, entry: HistoryEntry) -> None:
        alert = self.alert
        known = self._new if alert is None else Identity(alert.id, alert.webhook_id, alert.kind)
        self.alert = apply_entry(alert, entry, known, self.policy)
        self.entries.append(entry)

    def begin(self, entry: HistoryEntry) -> None:
        """Start a new alert, whatever came before."""
        self.alert = None
        self.write(entry)


def _observe(scribe: _HistoryWriter, trigger: Observe) -> None:
    alert, now = scribe.alert, scribe.now
    if alert is None or not alert.is_open:
        _observe_resolved(scribe, trigger)
        return
    held = _by_cause(trigger.conditions)
    if not held:
        scribe.write(HistoryEntry(at=now, action=Action.RESOLVED, causes=(), note=trigger.resolve_note))
        return
    _expire(scribe, alert)
    lead = _lead(trigger.conditions)
    if SEVERITIES.index(lead.severity) > SEVERITIES.index(alert.severity):
        scribe.write(_entry(now, Action.ESCALATED, trigger.conditions, lead))
    elif held.keys() - set(alert.causes):
        # The severity never falls while it is open: an alert tells of the worst of it.
        entry = _entry(now, Action.REPEATED, trigger.conditions, lead)
        scribe.write(msgspec.structs.replace(entry, severity=None, title=None))
    elif set(alert.causes) - held.keys():
        scribe.write(HistoryEntry(at=now, action=Action.CAUSE_CLEARED, causes=tuple(held)))


def _observe_resolved(scribe: _HistoryWriter, trigger: Observe) -> None:
    alert, now = scribe.alert, scribe.now
    held = _by_cause(trigger.conditions).keys()
    overruled = _suppressed(alert, now, scribe.policy) & held
    if held - overruled:
        # Once open it tells of all that holds, overruled or not: else the next look would take the rest for a change.
        lead = _lead(trigger.conditions)
        if alert is not None and _is_recent(alert, now, scribe.policy):
            scribe.write(_entry(now, Action.REOPENED, trigger.conditions, lead))
        else:
            scribe.begin(_entry(now, Action.RAISED, trigger.conditions, lead))
    elif alert is not None and overruled != set(alert.causes):
        # A cause that went away is new when it comes back.
        scribe.write(
            HistoryEntry(at=now, action=Action.CAUSE_CLEARED, causes=tuple(c for c in alert.causes if c in overruled))
        )


def _is_recent(alert: Alert, now: datetime, policy: AlertPolicy) -> bool:
    """Whether *alert*, resolved, goes on when a cause holds again. A flapping one does: else it would never steady."""
    return alert.flapping or now - _resolved_at(alert) < timedelta(seconds=policy.reopen_s)


def _suppressed(alert: Alert | None, now: datetime, policy: AlertPolicy) -> set[Cause]:
    """Return the causes that a person who resolved *alert* knew of, as long as their word counts."""
    if alert is None or now - _resolved_at(alert) >= timedelta(seconds=policy.suppress_s):
        return set()
    return set(alert.causes)


def _acknowledge(scribe: _HistoryWriter, trigger: Acknowledge) -> None:
    if scribe.alert is None or not scribe.alert.is_open:
        raise Conflict("This alert is resolved; there is nothing to acknowledge.")
    _expire(scribe, scribe.alert)
    if scribe.alert.state is AlertState.ACKNOWLEDGED:
        return
    scribe.write(
        HistoryEntry(
            at=scribe.now,
            action=Action.ACKNOWLEDGED,
            actor=trigger.by,
            note=trigger.note,
            expires_at=trigger.expires_at,
        )
    )


def _expire(scribe: _HistoryWriter, alert: Alert) -> None:
    if alert.ack_expires_at is not None and scribe.now >= alert.ack_expires_at:
        scribe.write(HistoryEntry(at=scribe.now, action=Action.ACK_EXPIRED))


def _resolve(scribe: _HistoryWriter, trigger: Resolve) -> None:
    if scribe.alert is not None and scribe.alert.is_open:
        scribe.write(HistoryEntry(at=scribe.now, action=Action.RESOLVED, actor=trigger.by, note=trigger.note))


def _settle(scribe: _HistoryWriter, *, silenced: bool) -> None:
    """Judge flapping, then tell subscribers what they do not know yet."""
    alert = scribe.alert
    if alert is None:
        return
    moves = len(recent_transitions(alert, scribe.now, scribe.policy))
    if alert.flapping and moves <= scribe.policy.flap_transitions:
        scribe.write(HistoryEntry(at=scribe.now, action=Action.FLAPPING_ENDED))
    elif not alert.flapping and moves > scribe.policy.flap_transitions and alert.pending_notification and not silenced:
        scribe.write(HistoryEntry(at=scribe.now, action=Action.FLAPPING))
    alert = scribe.alert
    assert alert is not None
    if alert.pending_notification and not silenced and not alert.flapping:
        scribe.write(HistoryEntry(at=scribe.now, action=Action.NOTIFIED))


def _entry(now: datetime, action: Action, conditions: Sequence[Condition], lead: Condition) -> HistoryEntry:
    return HistoryEntry(
        at=now,
        action=action,
        actor=SYSTEM_ACTOR,
        severity=lead.severity,
        title=lead.title,
        causes=tuple(_by_cause(conditions)),
        evidence={condition.cause: condition.evidence for condition in conditions},
    )


def _lead(conditions: Sequence[Condition]) -> Condition:
    """Return the first of the most severe: the one whose sentence stands for all."""
    most = worst(*(condition.severity for condition in conditions))
    return next(condition for condition in conditions if condition.severity is most)


def _by_cause(conditions: Sequence[Condition]) -> dict[Cause, Condition]:
    return {condition.cause: condition for condition in conditions}


def _resolved_at(alert: Alert) -> datetime:
    return alert.resolved_at or alert.raised_at
