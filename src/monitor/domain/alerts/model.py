"""
What an alert is, and how its history makes it::

    action        from                        to             meaning
    raised        –                           pending        a cause holds
    repeated      pending, acknowledged       same           one more cause holds, or one holds again
    eased         any                         same           a cause holds no more, others do
    escalated     pending, acknowledged       pending        more severe; an acknowledgement was for less
    acknowledged  pending                     acknowledged   somebody looks after it
    ack_expired   acknowledged                pending        for as long as they said
    resolved      pending, acknowledged       resolved       no cause holds, or somebody says so
    reopened      resolved                    pending        a cause holds again soon after
    announced     any                         same           subscribers were told the present state
    flapping      any                         same           too many moves; subscribers hear no more of them
    steadied      any                         same           few enough again
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.vocab import Count, Ratio, Seconds, Severity

SYSTEM_ACTOR = "system"
"""Who acts when nobody does. No token's subject is this: subjects of people are never taken from here."""


class AlertKind(StrEnum):
    """What is the matter. A webhook has at most one open alert of each kind."""

    FAILING = "failing"
    LATENCY = "latency"
    VOLUME = "volume"
    DISABLING = "disabling"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"
    MASS_FAILURE = "mass_failure"


class Cause(StrEnum):
    """What makes an alert hold; one alert may have several."""

    HEALTH = "health"
    FAILURES = "failures"
    LATENCY = "latency"
    LATENCY_TAIL = "latency_tail"
    VOLUME = "volume"
    NO_DATA = "no_data"
    FAILING_FOR_DAYS = "failing_for_days"
    DISABLED = "disabled"
    QUARANTINED = "quarantined"
    MASS_FAILURE = "mass_failure"


class AlertState(StrEnum):
    """Where an alert stands. Silenced and flapping are flags beside it."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN_STATES = (AlertState.PENDING, AlertState.ACKNOWLEDGED)


class Action(StrEnum):
    """What a history entry records; see the table of this module."""

    RAISED = "raised"
    REPEATED = "repeated"
    CAUSE_CLEARED = "cause_cleared"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    ACK_EXPIRED = "ack_expired"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    NOTIFIED = "notified"
    FLAPPING = "flapping"
    FLAPPING_ENDED = "flapping_ended"


_ANY = frozenset(AlertState)
_OPEN = frozenset(OPEN_STATES)

TRANSITIONS: dict[Action, tuple[frozenset[AlertState], AlertState | None]] = {
    Action.RAISED: (frozenset(), AlertState.PENDING),
    Action.REPEATED: (_OPEN, None),
    Action.CAUSE_CLEARED: (_ANY, None),
    Action.ESCALATED: (_OPEN, AlertState.PENDING),
    Action.ACKNOWLEDGED: (frozenset({AlertState.PENDING}), AlertState.ACKNOWLEDGED),
    Action.ACK_EXPIRED: (frozenset({AlertState.ACKNOWLEDGED}), AlertState.PENDING),
    Action.RESOLVED: (_OPEN, AlertState.RESOLVED),
    Action.REOPENED: (frozenset({AlertState.RESOLVED}), AlertState.PENDING),
    Action.NOTIFIED: (_ANY, None),
    Action.FLAPPING: (_ANY, None),
    Action.FLAPPING_ENDED: (_ANY, None),
}
"""From which states an action leads where; ``None`` stays. ``RAISED`` makes the alert."""

COUNTED_TRANSITIONS = frozenset({Action.RAISED, Action.REOPENED, Action.RESOLVED})
"""The actions that flapping counts."""


class AlertPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Attributes:
        reopen_s: a cause that holds again within this time of resolving reopens the same alert.
        flap_s: the time over which moves are counted.
        flap_transitions: more moves than this in that time are flapping.
        overruled_s: how long a person's "resolved" keeps a cause quiet that holds all the while.
        unavailable_s: how long a webhook must have been unavailable: a hiccup of seconds is nobody's trouble.
        mass_failure_ratio: more than this share of the webhooks failing together is one trouble, not many.
        mass_failure_min: fewer than this are never "many".
        mass_failure_s: webhooks that began to fail within this time fail together.
    """

    reopen_s: Seconds = 900.0
    flap_s: Seconds = 3_600.0
    flap_transitions: Count = 4
    suppress_s: Seconds = 86_400.0
    unavailable_s: Seconds = 60.0
    mass_failure_ratio: Ratio = 0.5
    mass_failure_min: Count = 5
    mass_failure_s: Seconds = 900.0


class Identity(msgspec.Struct, frozen=True):
    """Which alert it is; ``webhook_id`` is ``SYSTEM_ID`` for one about all of them."""

    id: UUID
    webhook_id: UUID
    kind: AlertKind


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of an alert's history. Append-only.

    ``actor`` is a token's subject or :data:`SYSTEM_ACTOR`. What does not change is null.
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
    One trouble from raising to resolving.

    Attributes:
        title: one sentence.
        count: how often it was raised, repeated or reopened.
        causes: those that hold; after a person resolved it, those that were overruled and still hold.
        evidence: what was measured, by cause; plain JSON values.
        first_acknowledged_at: kept for statistics when an acknowledgement dies.
        note: the last word on it: of who acknowledged it, then of why it is over.
        moves: when it was raised, reopened or resolved lately, oldest first; what flapping is judged by.
        told: subscribers know of it as open. ``news`` waits to be told.
        version: counts the entries.
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

    @property
    def is_open(self) -> bool:
        return self.state is not AlertState.RESOLVED


class IllegalTransition(ValueError):
    """A history that the table of this module does not allow."""


def apply_entry(alert: Alert | None, entry: HistoryEntry, identity: Identity, policy: AlertPolicy) -> Alert:
    """
    Return the alert after *entry*.

    Raises:
        IllegalTransition: the entry cannot follow.
    """
    if alert is None:
        if entry.action is not Action.RAISED:
            raise IllegalTransition(f"{entry.action} cannot begin an alert")
        return _begin(entry, identity)
    allowed, following = TRANSITIONS[entry.action]
    if alert.state not in allowed:
        raise IllegalTransition(f"{entry.action} cannot follow {alert.state}")
    changes: dict[str, Any] = {"version": alert.version + 1, "state": following or alert.state}
    changes |= {name: value for name in ("severity", "title", "causes") if (value := getattr(entry, name)) is not None}
    if entry.evidence is not None:
        changes["evidence"] = alert.evidence | entry.evidence
    if entry.action in COUNTED_TRANSITIONS:
        changes["transitions"] = (*recent_transitions(alert, entry.at, policy), entry.at)
    changes |= _effects(alert, entry)
    return msgspec.structs.replace(alert, **changes)


def replay(identity: Identity, entries: Iterable[HistoryEntry], policy: AlertPolicy) -> Alert:
    """
    Return the alert that *entries*, oldest first and at least one, tell of.

    Raises:
        IllegalTransition: they are not a history.
    """
    alert = None
    for entry in entries:
        alert = apply_entry(alert, entry, identity, policy)
    if alert is None:
        raise IllegalTransition("a history has at least one entry")
    return alert


def recent_transitions(alert: Alert, now: datetime, policy: AlertPolicy) -> tuple[datetime, ...]:
    """Return when *alert* moved within the time that flapping looks at."""
    after = now - timedelta(seconds=policy.flap_s)
    return tuple(at for at in alert.transitions if at > after)


def _begin(entry: HistoryEntry, identity: Identity) -> Alert:
    return Alert(
        id=identity.id,
        webhook_id=identity.webhook_id,
        kind=identity.kind,
        severity=entry.severity or Severity.WARNING,
        state=AlertState.PENDING,
        title=entry.title or "",
        count=1,
        causes=entry.causes or (),
        evidence=entry.evidence or {},
        raised_at=entry.at,
        transitions=(entry.at,),
    )


_COUNTED = frozenset({Action.REPEATED, Action.ESCALATED, Action.REOPENED})
_END_ACK = frozenset({Action.ESCALATED, Action.ACK_EXPIRED, Action.REOPENED})
_NO_ACK: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": None, "ack_expires_at": None, "note": None}


def _effects(alert: Alert, entry: HistoryEntry) -> dict[str, Any]:
    """Return what an action changes beside the state and what the entry names."""
    changes: dict[str, Any] = {}
    if entry.action in _COUNTED:
        changes["count"] = alert.count + 1
    if entry.action in _END_ACK:
        changes |= {**_NO_ACK, "pending_notification": True}
    match entry.action:
        case Action.ACKNOWLEDGED:
            changes |= {
                "acknowledged_at": entry.at,
                "acknowledged_by": entry.actor,
                "ack_expires_at": entry.expires_at,
                "first_acknowledged_at": alert.first_acknowledged_at or entry.at,
                "note": entry.note,
            }
        case Action.RESOLVED:
            changes |= {"resolved_at": entry.at, "resolved_by": entry.actor, "pending_notification": alert.notified}
            changes |= {} if entry.note is None else {"note": entry.note}
        case Action.REOPENED:
            changes |= {"resolved_at": None, "resolved_by": None}
        case Action.NOTIFIED:
            changes |= {"notified": alert.is_open, "pending_notification": False}
        case Action.FLAPPING:
            changes |= {"flapping": True, "notified": True, "pending_notification": False}
        case Action.FLAPPING_ENDED:
            # Whatever it came to rest at, subscribers heard of the moves only, not of where they ended.
            changes |= {"flapping": False, "pending_notification": True}
        case _:
            pass
    return changes
