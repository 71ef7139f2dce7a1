"""Notifications of alerts: the events that Monitor publishes to its own subscribers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, Alert, AlertKind, AlertState, Cause, HistoryEntry
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.vocab import Severity

RAISED = "monitor.alert.raised"
ACKNOWLEDGED = "monitor.alert.acknowledged"
RESOLVED = "monitor.alert.resolved"
FLAPPING = "monitor.alert.flapping"

LABELS_MAX = 32


class AlertNotification(msgspec.Struct, frozen=True):
    """
    An event to publish. ``labels`` are those of the webhook, with ``severity`` and ``kind``, so that a subscriber can
    filter by them. ``except_webhook`` gets no delivery: a failing webhook cannot report itself. ``version`` is that of
    the history entry which it is about; 0 of one that an older version of Monitor queued.
    """

    type: str
    payload: bytes
    labels: dict[str, str]
    except_webhook: UUID
    alert_id: UUID = SYSTEM_ID
    version: int = 0


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


def notification_of(
    event_type: str, alert: Alert, webhook_name: str | None, labels: Mapping[str, str], version: int = 0
) -> AlertNotification:
    """Return the event about *alert*; *webhook_name* is ``None`` for an alert about all webhooks. *version* is that of
    the history entry which makes it."""
    webhook = None if alert.webhook_id == SYSTEM_ID else {"id": alert.webhook_id, "name": webhook_name}
    at = max(alert.transitions[-1], alert.acknowledged_at or alert.raised_at)
    payload = {"type": event_type, "timestamp": at, "data": {"alert": alert_payload(alert), "webhook": webhook}}
    own = {"severity": str(alert.severity), "kind": str(alert.kind)}
    kept = dict(list(labels.items())[: LABELS_MAX - len(own)])
    return AlertNotification(event_type, msgspec.json.encode(payload), kept | own, alert.webhook_id, alert.id, version)


def sample_notification(alert_id: UUID, webhook_id: UUID, now: datetime) -> AlertNotification:
    """Return a notification that says it is a sample, of an alert that does not exist about *webhook_id*."""
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
    return notification_of(RAISED, sample, "Sample", {})


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


def except_webhook_of(payload: bytes) -> UUID | None:
    """Return the webhook that the stored event with *payload*, made by :func:`notification_of`, is about, which gets no
    delivery of it; ``None`` for an alert about all webhooks."""
    return msgspec.json.decode(payload, type=_Payload).data.alert.webhook_id


class _Alert(msgspec.Struct, frozen=True):
    webhook_id: UUID | None


class _Data(msgspec.Struct, frozen=True):
    alert: _Alert


class _Payload(msgspec.Struct, frozen=True):
    data: _Data
