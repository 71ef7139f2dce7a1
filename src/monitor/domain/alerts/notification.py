"""What subscribers are told: the events that alerts are themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from monitor.domain.alerts.model import Action, Alert, AlertState, HistoryEntry
from monitor.domain.ids import SYSTEM_ID

RAISED = "monitor.alert.raised"
ACKNOWLEDGED = "monitor.alert.acknowledged"
RESOLVED = "monitor.alert.resolved"
FLAPPING = "monitor.alert.flapping"

LABELS_MAX = 32


class AlertNotification(msgspec.Struct, frozen=True):
    """
    An event to publish. ``labels`` are those of the webhook concerned with ``severity`` and ``kind``, so a subscriber
    may choose by them; ``except_webhook`` never gets it, since what is broken cannot tell about itself.
    """

    type: str
    payload: bytes
    labels: dict[str, str]
    except_webhook: UUID


def event_types(before: Alert | None, after: Alert, entries: Sequence[HistoryEntry], *, silenced: bool) -> list[str]:
    """Return the types of the events that *entries* make, in their order, each at most once."""
    was_told = before is not None and before.notified
    types = []
    for entry in entries:
        if entry.action is Action.NOTIFIED:
            types.append(_standing(after, was_told=was_told))
        elif entry.action is Action.FLAPPING:
            types.append(FLAPPING)
        elif entry.action is Action.ACKNOWLEDGED and was_told and not silenced:
            types.append(ACKNOWLEDGED)
    return list(dict.fromkeys(types))


def notification_of(
    event_type: str, alert: Alert, webhook_name: str | None, labels: Mapping[str, str]
) -> AlertNotification:
    """Return the event that tells of *alert*; *webhook_name* is ``None`` for an alert about all webhooks."""
    about = None if alert.webhook_id == SYSTEM_ID else {"id": alert.webhook_id, "name": webhook_name}
    at = max(alert.transitions[-1], alert.acknowledged_at or alert.raised_at)
    payload = {"type": event_type, "timestamp": at, "data": {"alert": shown(alert), "webhook": about}}
    own = {"severity": str(alert.severity), "kind": str(alert.kind)}
    kept = dict(list(labels.items())[: LABELS_MAX - len(own)])
    return AlertNotification(event_type, msgspec.json.encode(payload), kept | own, alert.webhook_id)


def _standing(alert: Alert, *, was_told: bool) -> str:
    """Return the type that tells where *alert* stands; who never heard of it hears that it was raised."""
    if not alert.is_open:
        return RESOLVED
    return ACKNOWLEDGED if was_told and alert.state is AlertState.ACKNOWLEDGED else RAISED


def shown(alert: Alert) -> dict[str, object]:
    """Return the members of *alert* that clients rely on."""
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
