"""Notifications of alerts: the events that Monitor publishes to its own subscribers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, Alert, AlertState, HistoryEntry
from monitor.domain.ids import SYSTEM_ID

RAISED = "monitor.alert.raised"
ACKNOWLEDGED = "monitor.alert.acknowledged"
RESOLVED = "monitor.alert.resolved"
FLAPPING = "monitor.alert.flapping"

LABELS_MAX = 32


class AlertNotification(msgspec.Struct, frozen=True):
    """
    An event to publish. ``labels`` are those of the webhook, with ``severity`` and ``kind``, so that a subscriber can
    filter by them. ``except_webhook`` gets no delivery: a failing webhook cannot report itself.
    """

    type: str
    payload: bytes
    labels: dict[str, str]
    except_webhook: UUID


def event_types(before: Alert | None, after: Alert, entries: Sequence[HistoryEntry], *, silenced: bool) -> list[str]:
    """Return the types of the events that *entries* make, in their order, each at most once."""
    was_notified = before is not None and before.notified
    types = []
    for entry in entries:
        if entry.action is Action.NOTIFIED:
            types.append(_state_event_type(after, was_notified=was_notified))
        elif entry.action is Action.FLAPPING:
            types.append(FLAPPING)
        elif entry.action is Action.ACKNOWLEDGED and was_notified and not silenced:
            types.append(ACKNOWLEDGED)
    return list(dict.fromkeys(types))


def notification_of(
    event_type: str, alert: Alert, webhook_name: str | None, labels: Mapping[str, str]
) -> AlertNotification:
    """Return the event about *alert*; *webhook_name* is ``None`` for an alert about all webhooks."""
    webhook = None if alert.webhook_id == SYSTEM_ID else {"id": alert.webhook_id, "name": webhook_name}
    at = max(alert.transitions[-1], alert.acknowledged_at or alert.raised_at)
    payload = {"type": event_type, "timestamp": at, "data": {"alert": alert_payload(alert), "webhook": webhook}}
    own = {"severity": str(alert.severity), "kind": str(alert.kind)}
    kept = dict(list(labels.items())[: LABELS_MAX - len(own)])
    return AlertNotification(event_type, msgspec.json.encode(payload), kept | own, alert.webhook_id)


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
