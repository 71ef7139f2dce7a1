"""
An alert, and the state machine that derives it from its history::

    action          from                    to             meaning
    raised          –                       pending        a cause holds
    repeated        pending, acknowledged   same           one more cause holds, or one holds again
    cause_cleared   any                     same           a cause holds no longer, others do
    escalated       pending, acknowledged   pending        more severe; ends the acknowledgement
    eased           pending, acknowledged   same           less severe for a while; no notification
    widened         pending, acknowledged   same           concerns destinations that were not notified of it
    acknowledged    pending                 acknowledged   a user works on it
    ack_expired     acknowledged            pending        the acknowledgement reached its end
    unacknowledged  acknowledged            pending        a user took the acknowledgement back
    commented       any                     same           a user wrote a comment
    resolved        pending, acknowledged   resolved       no cause holds, or a user resolved it
    superseded      any                     resolved       the alert about all webhooks replaces it; its causes hold
    recovered       resolved                same           of what was superseded no cause holds any more
    reopened        resolved                pending        a cause holds again soon after, or is superseded no longer
    notified        any                     same           a notification of the present state was queued
    reminded        pending                 same           a reminder of the missing acknowledgement was queued
    flapping        any                     same           too many transitions; notifications pause
    flapping_ended  any                     same           few enough again
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery.retention import EVENTS_KEPT_S
from monitor.domain.vocab import SEVERITIES, Count, Ratio, Seconds, Severity, highest_severity

SYSTEM_ACTOR = "system"
"""Actor of automatic transitions. No token may have this subject."""


class AlertKind(StrEnum):
    """Subject of an alert. A webhook has at most one open alert of each kind."""

    FAILING = "failing"
    LATENCY = "latency"
    VOLUME = "volume"
    DISABLING = "disabling"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    MASS_FAILURE = "mass_failure"


class Cause(StrEnum):
    """A reason why an alert is open; one alert may have several."""

    HEALTH = "health"
    FAILURES = "failures"
    LATENCY = "latency"
    LATENCY_TAIL = "latency_tail"
    VOLUME = "volume"
    NO_DATA = "no_data"
    FAILING_FOR_DAYS = "failing_for_days"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    MASS_FAILURE = "mass_failure"


class AlertState(StrEnum):
    """State of an alert. Silenced and flapping are flags beside it."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN_STATES = (AlertState.PENDING, AlertState.ACKNOWLEDGED)


class Action(StrEnum):
    """The transition that a history entry records; see the table of this module."""

    RAISED = "raised"
    REPEATED = "repeated"
    CAUSE_CLEARED = "cause_cleared"
    ESCALATED = "escalated"
    EASED = "eased"
    WIDENED = "widened"
    ACKNOWLEDGED = "acknowledged"
    ACK_EXPIRED = "ack_expired"
    UNACKNOWLEDGED = "unacknowledged"
    COMMENTED = "commented"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"
    RECOVERED = "recovered"
    REOPENED = "reopened"
    NOTIFIED = "notified"
    REMINDED = "reminded"
    FLAPPING = "flapping"
    FLAPPING_ENDED = "flapping_ended"


_ANY = frozenset(AlertState)
_OPEN = frozenset(OPEN_STATES)

TRANSITIONS: dict[Action, tuple[frozenset[AlertState], AlertState | None]] = {
    Action.RAISED: (frozenset(), AlertState.PENDING),
    Action.REPEATED: (_OPEN, None),
    Action.CAUSE_CLEARED: (_ANY, None),
    Action.ESCALATED: (_OPEN, AlertState.PENDING),
    Action.EASED: (_OPEN, None),
    Action.WIDENED: (_OPEN, None),
    Action.ACKNOWLEDGED: (frozenset({AlertState.PENDING}), AlertState.ACKNOWLEDGED),
    Action.ACK_EXPIRED: (frozenset({AlertState.ACKNOWLEDGED}), AlertState.PENDING),
    Action.UNACKNOWLEDGED: (frozenset({AlertState.ACKNOWLEDGED}), AlertState.PENDING),
    Action.COMMENTED: (_ANY, None),
    Action.RESOLVED: (_OPEN, AlertState.RESOLVED),
    Action.SUPERSEDED: (_ANY, AlertState.RESOLVED),
    Action.RECOVERED: (frozenset({AlertState.RESOLVED}), None),
    Action.REOPENED: (frozenset({AlertState.RESOLVED}), AlertState.PENDING),
    Action.NOTIFIED: (_ANY, None),
    Action.REMINDED: (frozenset({AlertState.PENDING}), None),
    Action.FLAPPING: (_ANY, None),
    Action.FLAPPING_ENDED: (_ANY, None),
}
"""By action: states it is allowed in, and the state after it, ``None`` if unchanged. ``RAISED`` creates the alert."""

COUNTED_TRANSITIONS = frozenset({Action.RAISED, Action.REOPENED, Action.RESOLVED, Action.RECOVERED})
"""Actions that count towards flapping."""


class AlertPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Attributes:
        reopen_s: a cause that holds again within this time of resolving reopens the same alert.
        flap_s: the time over which transitions are counted.
        flap_transitions: more transitions than this in that time are flapping.
        ease_s: the severity of an open alert falls once what holds has been less severe for this time.
        suppress_s: how long a cause that still holds is suppressed after a user resolved its alert.
        unavailable_s: how long a webhook must have been unavailable before it raises an alert.
        mass_failure_ratio: if more than this fraction of the webhooks fail together, one alert replaces theirs.
        mass_failure_min: minimum number of failing webhooks for a mass failure.
        mass_failure_s: webhooks that began to fail within this time fail together.
        events_kept_s: retention of events, for the text of an alert about a disabled webhook.
    """

    reopen_s: Seconds = 900.0
    flap_s: Seconds = 3_600.0
    flap_transitions: Count = 4
    ease_s: Seconds = 300.0
    suppress_s: Seconds = 86_400.0
    unavailable_s: Seconds = 60.0
    mass_failure_ratio: Ratio = 0.5
    mass_failure_min: Count = 5
    mass_failure_s: Seconds = 900.0
    events_kept_s: Seconds = EVENTS_KEPT_S


class Identity(msgspec.Struct, frozen=True):
    """Key of an alert; ``webhook_id`` is ``SYSTEM_ID`` for one about all webhooks."""

    id: UUID
    webhook_id: UUID
    kind: AlertKind


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of an alert's history. Append-only.

    ``actor`` is a token's subject or :data:`SYSTEM_ACTOR`. Members that do not change are ``None``.
    """

    at: datetime
    action: Action
    actor: str = SYSTEM_ACTOR
    note: str | None = None
    severity: Severity | None = None
    title: str | None = None
    causes: tuple[Cause, ...] | None = None
    evidence: dict[str, Any] | None = None
    expires_at: datetime | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """
    An incident from raising to resolving.

    Attributes:
        title: one sentence.
        count: number of ``raised``, ``repeated``, ``escalated`` and ``reopened`` entries.
        severity: of what holds; it falls after ``ease_s``.
        worst_severity: the highest that it ever had; ``None`` of an alert of an older version, see :attr:`worst`.
        lower_since: since when what holds has been less severe than ``severity``. The only member that does not follow
            from the history: a severity that comes and goes must not fill it.
        causes: those that hold; after a user resolved it, those that are suppressed and still hold; while another
            alert supersedes it, those that held then.
        evidence: measurements by cause, of the time when it began; plain JSON values.
        first_acknowledged_at: kept for statistics when an acknowledgement ends.
        note: of the acknowledgement, later of the resolution.
        transitions: recent times of raising, reopening and resolving, oldest first; the input of flapping.
        superseded: the alert about all webhooks replaced it, so it was not resolved when it ended.
        notified: subscribers were last notified of it as open.
        told_severities: those of the notifications since it began, lowest first; a subscriber may filter by severity.
        pending_notification: its state changed since the last notification.
        version: number of entries.
    """

    id: UUID
    webhook_id: UUID
    kind: AlertKind
    severity: Severity
    state: AlertState
    title: str
    count: int
    causes: tuple[Cause, ...]
    evidence: dict[str, Any]
    raised_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    ack_expires_at: datetime | None = None
    first_acknowledged_at: datetime | None = None
    note: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    transitions: tuple[datetime, ...] = ()
    flapping: bool = False
    notified: bool = False
    pending_notification: bool = True
    version: int = 1
    worst_severity: Severity | None = None
    lower_since: datetime | None = None
    superseded: bool = False
    told_severities: tuple[Severity, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state is not AlertState.RESOLVED

    @property
    def is_replaced(self) -> bool:
        """Whether the alert about all webhooks stands for it: it is superseded, and its causes hold."""
        return self.superseded and not self.is_open and bool(self.causes)

    @property
    def worst(self) -> Severity:
        """The highest severity that it ever had."""
        return self.worst_severity or self.severity


class IllegalTransition(ValueError):
    """The entries do not form a history that :data:`TRANSITIONS` allows."""


def apply_entry(alert: Alert | None, entry: HistoryEntry, identity: Identity, policy: AlertPolicy) -> Alert:
    """
    Return the alert after *entry*.

    Raises:
        IllegalTransition: the action is not allowed in this state.
    """
    if alert is None:
        if entry.action is not Action.RAISED:
            raise IllegalTransition(f"{entry.action} cannot begin an alert")
        return _raised(entry, identity)
    allowed, following = TRANSITIONS[entry.action]
    if alert.state not in allowed:
        raise IllegalTransition(f"{entry.action} cannot follow {alert.state}")
    changes: dict[str, Any] = {"version": alert.version + 1, "state": following or alert.state}
    changes |= {name: value for name in ("severity", "title", "causes") if (value := getattr(entry, name)) is not None}
    if entry.severity is not None:
        changes["worst_severity"] = highest_severity(alert.worst, entry.severity)
    if entry.evidence is not None:
        changes["evidence"] = alert.evidence | entry.evidence
    if entry.action in COUNTED_TRANSITIONS:
        changes["transitions"] = (*recent_transitions(alert, entry.at, policy), entry.at)
    changes |= _effects(alert, entry)
    return msgspec.structs.replace(alert, **changes)


def replay(identity: Identity, entries: Iterable[HistoryEntry], policy: AlertPolicy) -> Alert:
    """
    Return the alert with the history *entries*, oldest first, at least one.

    Raises:
        IllegalTransition: an entry is not allowed, or there is none.
    """
    alert = None
    for entry in entries:
        alert = apply_entry(alert, entry, identity, policy)
    if alert is None:
        raise IllegalTransition("a history has at least one entry")
    return alert


def recent_transitions(alert: Alert, now: datetime, policy: AlertPolicy) -> tuple[datetime, ...]:
    """Return the transitions of *alert* within ``policy.flap_s`` before *now*."""
    after = now - timedelta(seconds=policy.flap_s)
    return tuple(at for at in alert.transitions if at > after)


def _raised(entry: HistoryEntry, identity: Identity) -> Alert:
    return Alert(
        id=identity.id,
        webhook_id=identity.webhook_id,
        kind=identity.kind,
        severity=entry.severity or Severity.WARNING,
        worst_severity=entry.severity or Severity.WARNING,
        state=AlertState.PENDING,
        title=entry.title or "",
        count=1,
        causes=entry.causes or (),
        evidence=entry.evidence or {},
        raised_at=entry.at,
        transitions=(entry.at,),
    )


_COUNTED = frozenset({Action.REPEATED, Action.ESCALATED, Action.REOPENED})
_END_ACK = frozenset({Action.ESCALATED, Action.ACK_EXPIRED, Action.UNACKNOWLEDGED, Action.REOPENED})
_NO_ACK: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": None, "ack_expires_at": None, "note": None}


def _effects(alert: Alert, entry: HistoryEntry) -> dict[str, Any]:
    """Return the changes of an action beside the state and the members of the entry."""
    changes: dict[str, Any] = {}
    if entry.action in _COUNTED:
        changes["count"] = alert.count + 1
    if entry.action in _END_ACK:
        changes |= {**_NO_ACK, "pending_notification": True}
    if entry.action is Action.ACKNOWLEDGED:
        changes |= {
            "acknowledged_at": entry.at,
            "acknowledged_by": entry.actor,
            "ack_expires_at": entry.expires_at,
            "first_acknowledged_at": alert.first_acknowledged_at or entry.at,
            "note": entry.note,
        }
    return changes | _effects_of_end(alert, entry) | _effects_on_notification(alert, entry)


def _effects_of_end(alert: Alert, entry: HistoryEntry) -> dict[str, Any]:
    note = {} if entry.note is None else {"note": entry.note}
    match entry.action:
        case Action.RESOLVED | Action.RECOVERED:
            ended = {"resolved_at": entry.at, "resolved_by": entry.actor, "pending_notification": alert.notified}
            return ended | note
        case Action.SUPERSEDED:
            # Nothing to notify of: destinations were notified of what holds, or will be of the other alert.
            ended = {"resolved_at": entry.at, "resolved_by": entry.actor, "pending_notification": False}
            return ended | note | {"superseded": True}
        case Action.REOPENED:
            told = alert.told_severities if alert.notified else ()
            return {"resolved_at": None, "resolved_by": None, "superseded": False, "told_severities": told}
        case _:
            return {}


def _effects_on_notification(alert: Alert, entry: HistoryEntry) -> dict[str, Any]:
    match entry.action:
        case Action.WIDENED:
            return {"pending_notification": True}
        case Action.NOTIFIED:
            return {"notified": alert.is_open, "pending_notification": False, "told_severities": _told(alert)}
        case Action.FLAPPING:
            told = {"notified": True, "pending_notification": False, "told_severities": _told(alert)}
            return told | {"flapping": True}
        case Action.FLAPPING_ENDED:
            # Subscribers were notified of the flapping, not of the final state.
            return {"flapping": False, "pending_notification": not alert.is_replaced}
        case _:
            return {}


def _told(alert: Alert) -> tuple[Severity, ...]:
    """Return the severities of all notifications of *alert*, its present one included while it is open."""
    known = {*alert.told_severities, *((alert.severity,) if alert.is_open else ())}
    return tuple(severity for severity in SEVERITIES if severity in known)
