"""
Domain events, in the past tense: the cause of cache invalidations and live messages.

The unit of work stores each with the change that caused it. Every struct is tagged by its name, so a stored one is
decoded as the same type.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import AlertKind
from monitor.domain.anomaly.model import Signal
from monitor.domain.vocab import HealthStatus, Severity


class WebhookCreated(msgspec.Struct, frozen=True, tag=True):
    webhook_id: UUID


class WebhookUpdated(msgspec.Struct, frozen=True, tag=True):
    """Configured, paused, resumed, disabled, enabled by a probe, or its secret rotated."""

    webhook_id: UUID


class LaneChanged(msgspec.Struct, frozen=True, tag=True):
    """A user changed what waits for a webhook, or when it is sent."""

    webhook_id: UUID


class WebhookDeleted(msgspec.Struct, frozen=True, tag=True):
    webhook_id: UUID


class WebhookStatusChanged(msgspec.Struct, frozen=True, tag=True):
    webhook_id: UUID
    status: HealthStatus
    reason: str
    at: datetime


class AnomalyOpened(msgspec.Struct, frozen=True, tag=True):
    anomaly_id: UUID
    webhook_id: UUID
    signal: Signal
    severity: Severity
    sentence: str


class AnomalyClosed(msgspec.Struct, frozen=True, tag=True):
    anomaly_id: UUID
    webhook_id: UUID
    signal: Signal


class AlertRaised(msgspec.Struct, frozen=True, tag=True):
    """Raised or reopened."""

    alert_id: UUID
    webhook_id: UUID
    kind: AlertKind
    severity: Severity
    title: str


class AlertUpdated(msgspec.Struct, frozen=True, tag=True):
    """Its count, severity, causes or flags changed, or an acknowledgement expired."""

    alert_id: UUID
    webhook_id: UUID


class AlertAcknowledged(msgspec.Struct, frozen=True, tag=True):
    alert_id: UUID
    webhook_id: UUID
    by: str


class AlertUnacknowledged(msgspec.Struct, frozen=True, tag=True):
    """A user took its acknowledgement back."""

    alert_id: UUID
    webhook_id: UUID
    by: str


class AlertResolved(msgspec.Struct, frozen=True, tag=True):
    alert_id: UUID
    webhook_id: UUID
    by: str


class SilencesChanged(msgspec.Struct, frozen=True, tag=True):
    """A silence was created or ended, or an occurrence began or ended."""


DomainEvent = (
    WebhookCreated
    | WebhookUpdated
    | LaneChanged
    | WebhookDeleted
    | WebhookStatusChanged
    | AnomalyOpened
    | AnomalyClosed
    | AlertRaised
    | AlertUpdated
    | AlertAcknowledged
    | AlertUnacknowledged
    | AlertResolved
    | SilencesChanged
)
