"""Which domain event goes over the feed, as what, and with which view as its data."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from monitor.domain import events
from monitor.domain.events import DomainEvent
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.live.messages import Kind


class LiveMessageSpec(msgspec.Struct, frozen=True):
    """``view`` names what to read by ``id`` for the data; ``event`` means the event itself."""

    kind: Kind
    webhook_id: UUID | None
    view: Literal["alert", "anomaly", "event"]
    id: UUID


def live_message_for(event: DomainEvent) -> LiveMessageSpec | None:
    """Return what sockets hear of *event*; ``None`` for nothing."""
    match event:
        case events.AlertRaised(alert_id, webhook_id):
            return LiveMessageSpec(Kind.ALERT_NEW, _about(webhook_id), "alert", alert_id)
        case (
            events.AlertUpdated(alert_id, webhook_id)
            | events.AlertAcknowledged(alert_id, webhook_id)
            | events.AlertResolved(alert_id, webhook_id)
        ):
            return LiveMessageSpec(Kind.ALERT_UPDATED, _about(webhook_id), "alert", alert_id)
        case events.AnomalyOpened(anomaly_id, webhook_id):
            return LiveMessageSpec(Kind.ANOMALY_OPENED, _about(webhook_id), "anomaly", anomaly_id)
        case events.AnomalyClosed(anomaly_id, webhook_id):
            return LiveMessageSpec(Kind.ANOMALY_CLOSED, _about(webhook_id), "anomaly", anomaly_id)
        case events.WebhookStatusChanged(webhook_id):
            return LiveMessageSpec(Kind.WEBHOOK_STATUS_CHANGED, webhook_id, "event", webhook_id)
        case _:
            return None


def _about(webhook_id: UUID) -> UUID | None:
    return None if webhook_id == SYSTEM_ID else webhook_id
