"""Notifications of alerts: the events that Monitor publishes to its own subscribers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, Alert, AlertKind, AlertState, Cause, HistoryEntry
from monitor.domain.alerts.conditions import Condition, reach_of
from monitor.domain.delivery.fan_out import NO_REACH, Reach
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.vocab import Severity

RAISED = "monitor.alert.raised"
ACKNOWLEDGED = "monitor.alert.acknowledged"
RESOLVED = "monitor.alert.resolved"
FLAPPING = "monitor.alert.flapping"

LABELS_MAX = 32

TOLD_CHANGES = frozenset(
    {
        Action.RAISED,
        Action.REOPENED,
        Action.ESCALATED,
        Action.WIDENED,
        Action.ACK_EXPIRED,
        Action.UNACKNOWLEDGED,
        Action.RESOLVED,
        Action.RECOVERED,
    }
)
"""Actions that cause a notification."""


class AlertNotification(msgspec.Struct, frozen=True):
    """
    An event to publish. ``labels`` are those of the webhook, with ``severity`` and ``kind``, so that a subscriber can
    filter by these. ``except_webhook`` gets no delivery: a failing webhook cannot report itself. ``version`` is that of
    the history entry which it is about; 0 of one that an older version of Monitor queued. ``reach`` and ``told`` are
    those of the event, see :class:`~monitor.domain.delivery.fan_out.FanOutEvent`.
    """

    type: str
    payload: bytes
    labels: dict[str, str]
    except_webhook: UUID
    alert_id: UUID = SYSTEM_ID
    version: int = 0
    reach: Reach = NO_REACH
    told: Reach | None = None


class ToldChange(NamedTuple):
    """When a change came about, and when its notification is due: later than that if a silence or flapping held it."""

    changed_at: datetime
    due_at: datetime


class NotificationRef(msgspec.Struct, frozen=True):
    """The event by which subscribers were notified of an alert's history entry."""

    alert_id: UUID
    version: int
    event_id: UUID


def event_types(
    before: Alert | None, after: Alert, entries: Sequence[HistoryEntry], *, silenced: bool
) -> dict[str, int]:
    """Return the types of the events that *entries*, the last ones of *after*, make: in their order, each at most once,
    with the version of the first entry that makes it."""
    was_notified = before is not None and before.notified
    types: dict[str, int] = {}
    for version, entry in enumerate(entries, after.version - len(entries) + 1):
        if entry.action is Action.NOTIFIED:
            types.setdefault(_state_event_type(after, was_notified=was_notified), version)
        elif entry.action is Action.FLAPPING:
            types.setdefault(FLAPPING, version)
        elif entry.action is Action.ACKNOWLEDGED and was_notified and not silenced:
            types.setdefault(ACKNOWLEDGED, version)
    return types


def told_before(before: Alert | None, entries: Sequence[HistoryEntry]) -> Reach | None:
    """Return the destinations that a notification of *entries* leaves out. An alert that only concerns further labels
    is not sent again to the destinations of its former labels; ``None`` leaves out none."""
    actions = {entry.action for entry in entries}
    if before is None or not before.notified or actions != {Action.WIDENED, Action.NOTIFIED}:
        return None
    return reach_of(before.evidence)


def changed_at(alert: Alert, entries: Sequence[HistoryEntry], version: int) -> datetime:
    """
    Return when the change came about that the event of a history entry reports.

    Args:
        entries: the last ones of *alert*, added at once; one has this *version*.
    """
    entry = entries[version - alert.version - 1]
    if entry.action is not Action.NOTIFIED:
        return entry.at
    changes = [one.at for one in entries if one.action in TOLD_CHANGES]
    # Without one, a silence or flapping held the notification since.
    since = alert.resolved_at or alert.acknowledged_at or alert.transitions[-1]
    return changes[-1] if changes else since


def notification_of(
    event_type: str,
    alert: Alert,
    webhook_name: str | None,
    labels: Mapping[str, str],
    version: int = 0,
    *,
    change: ToldChange | None = None,
    conditions: Sequence[Condition] | None = None,
    told: Reach | None = None,
) -> AlertNotification:
    """
    Return the event about *alert*.

    Args:
        webhook_name: ``None`` for an alert about all webhooks.
        version: of the history entry which makes it.
        change: the one that it reports; the last transition, reported at once, unless given.
        conditions: what holds now, ``None`` if that was not evaluated.
        told: destinations that this notification leaves out.
    """
    webhook = None if alert.webhook_id == SYSTEM_ID else {"id": alert.webhook_id, "name": webhook_name}
    shown = alert_payload(alert)
    if conditions is not None:
        shown["conditions"] = conditions
    data: dict[str, Any] = {"alert": shown, "webhook": webhook}
    reach = _reach(alert)
    if reach != NO_REACH:
        data["reach"] = reach
    if told is not None:
        data["told"] = told
    change = change or ToldChange(alert.transitions[-1], alert.transitions[-1])
    payload = {"type": event_type, "timestamp": change.changed_at, "due_at": change.due_at, "data": data}
    own = {"severity": str(alert.severity), "kind": str(alert.kind)}
    kept = dict(list(labels.items())[: LABELS_MAX - len(own)])
    return AlertNotification(
        event_type, msgspec.json.encode(payload), kept | own, alert.webhook_id, alert.id, version, reach, told
    )


def _reach(alert: Alert) -> Reach:
    """Return what else selects the destinations of *alert*: the labels of all webhooks that it is about, and the other
    severities with which it was sent, so that a destination that got its begin gets its end."""
    about = reach_of(alert.evidence)
    others = tuple(str(severity) for severity in alert.told_severities if severity is not alert.severity)
    return msgspec.structs.replace(about, labels=about.labels | {"severity": others}) if others else about


def sample_notification(alert_id: UUID, webhook_id: UUID, now: datetime) -> AlertNotification:
    """Return a notification marked as a sample, of an alert that does not exist about *webhook_id*."""
    sample = Alert(
        id=alert_id,
        webhook_id=webhook_id,
        kind=AlertKind.FAILING,
        severity=Severity.INFO,
        state=AlertState.PENDING,
        title="This is a sample. Alerts of Monitor arrive here.",
        count=1,
        causes=(Cause.HEALTH,),
        evidence={"health": {"reason": "This is a sample; nothing failed."}},
        raised_at=now,
        transitions=(now,),
    )
    made = notification_of(RAISED, sample, "Sample", {})
    return msgspec.structs.replace(made, payload=made.payload.removesuffix(b"}") + b',"sample":true}')


def _state_event_type(alert: Alert, *, was_notified: bool) -> str:
    """Return the type for the present state of *alert*; the first notification of an open alert is ``RAISED``."""
    if not alert.is_open:
        return RESOLVED
    return ACKNOWLEDGED if was_notified and alert.state is AlertState.ACKNOWLEDGED else RAISED


def alert_payload(alert: Alert) -> dict[str, object]:
    """Return the public members of *alert*."""
    return {
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "worst_severity": alert.worst,
        "state": alert.state,
        "webhook_id": None if alert.webhook_id == SYSTEM_ID else alert.webhook_id,
        "title": alert.title,
        "count": alert.count,
        "evidence": alert.evidence,
        "raised_at": alert.raised_at,
        "acknowledged_at": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "note": alert.note,
        "resolved_at": alert.resolved_at,
        "resolved_by": alert.resolved_by,
        "flapping": alert.flapping,
    }


class Selection(msgspec.Struct, frozen=True):
    """What selects the destinations of an alert's event besides its labels. ``except_webhook`` is the webhook that it
    is about, ``None`` for an alert about all webhooks."""

    except_webhook: UUID | None = None
    reach: Reach = NO_REACH
    told: Reach | None = None


NO_SELECTION = Selection()


def selection_of(payload: bytes) -> Selection:
    """Return the selection of the stored event with *payload*, made by :func:`notification_of`."""
    data = msgspec.json.decode(payload, type=_Payload).data
    return Selection(data.alert.webhook_id, data.reach, data.told)


class _Alert(msgspec.Struct, frozen=True):
    webhook_id: UUID | None


class _Data(msgspec.Struct, frozen=True):
    alert: _Alert
    reach: Reach = NO_REACH
    told: Reach | None = None


class _Payload(msgspec.Struct, frozen=True):
    data: _Data
