"""Read models of alerts, silences and anomalies."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, AlertKind, AlertState, Cause
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.views.webhooks import HealthView
from monitor.domain.vocab import BodyFormat, HealthStatus, Severity, WebhookStatus


class ToldView(msgspec.Struct, frozen=True):
    """How many destinations got the notification of a change of an alert, and how many finally did not, of all that
    subscribed; up to 100 are counted. ``destinations`` of 0 means that none subscribed."""

    destinations: int
    delivered: int
    failed: int


class HistoryView(msgspec.Struct, frozen=True):
    """
    One line of an alert's history; ``actor`` is ``system`` for automatic transitions. ``event_id`` is the event that
    notified destinations, null if there was none. In details ``told`` says how many got it; it is null while deliveries
    are being made, and once the event reached retention.
    """

    at: datetime
    action: Action
    actor: str
    note: str | None
    severity: Severity | None
    title: str | None
    event_id: UUID | None = None
    told: ToldView | msgspec.UnsetType | None = msgspec.UNSET


class AlertNow(msgspec.Struct, frozen=True, kw_only=True):
    """
    The webhook of an alert now, beside the evidence of then: its attempts of the last ``window_s`` seconds, with the
    latency of the successful ones, and its health: ``status`` and ``reason`` are null of a deleted webhook.
    """

    window_s: int
    attempts: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    status: HealthStatus | None
    reason: str | None


class FailedAttemptRef(msgspec.Struct, frozen=True):
    """The last failed attempt in the time of an alert."""

    id: UUID
    webhook_id: UUID
    at: datetime
    status_code: int | None
    error: str | None


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One alert. ``webhook_id`` is null for one about all webhooks; ``evidence`` is keyed by cause; ``silenced`` is
    true while a silence matches.

    Details add the last 200 lines of the ``history``, oldest first; ``now``, the webhook's figures of the last minutes,
    null if the alert is about all webhooks; and the ``last_failed_attempt`` from a quarter of an hour before raising
    until resolving, null without one.
    """

    id: UUID
    kind: AlertKind
    severity: Severity
    state: AlertState
    webhook_id: UUID | None
    webhook_name: str | None
    title: str
    count: int
    causes: list[Cause]
    evidence: dict[str, Any]
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ack_expires_at: datetime | None
    note: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    silenced: bool
    flapping: bool
    version: int
    history: list[HistoryView] | msgspec.UnsetType = msgspec.UNSET
    now: AlertNow | msgspec.UnsetType | None = msgspec.UNSET
    last_failed_attempt: FailedAttemptRef | msgspec.UnsetType | None = msgspec.UNSET


class LastTold(msgspec.Struct, frozen=True):
    """The latest attempt to notify a destination of an alert; ``error`` is null if it arrived."""

    attempt_id: UUID
    at: datetime
    status_code: int | None
    error: str | None


class NotificationDestinationView(msgspec.Struct, frozen=True, kw_only=True):
    """
    A webhook that subscribes to ``monitor.alert.raised``. ``labels`` restrict the alerts that it gets: ``severity``,
    ``kind``, and labels of the webhook that an alert is about. ``critical``: it gets critical alerts, at least some.
    ``status`` and ``status_reason`` are those of the webhook. ``last_told`` is null without a notification among its
    last 100 attempts.
    """

    webhook_id: UUID
    name: str
    body_format: BodyFormat
    event_types: list[str]
    labels: dict[str, str]
    enabled: bool
    paused: bool
    critical: bool
    status: WebhookStatus | msgspec.UnsetType = msgspec.UNSET
    status_reason: str | msgspec.UnsetType = msgspec.UNSET
    health: HealthView
    last_told: LastTold | None


class NotificationCoverage(msgspec.Struct, frozen=True):
    """``critical``: at least one enabled webhook gets critical alerts."""

    critical: bool


class AlertCount(msgspec.Struct, frozen=True):
    """Number of alerts of one state, severity and kind."""

    state: AlertState
    severity: Severity
    kind: AlertKind
    count: int


class AlertsPerDay(msgspec.Struct, frozen=True):
    """Alerts of one UTC day; ``raised`` counts by severity, ``resolved`` all."""

    day: date
    raised: dict[Severity, int]
    resolved: int


class Durations(msgspec.Struct, frozen=True):
    """Statistics of a duration over ``n`` alerts; null without alerts."""

    n: int
    median_s: float | None
    p90_s: float | None
    mean_s: float | None


class AlertStatsView(msgspec.Struct, frozen=True):
    """
    Alerts raised in the last ``days`` days, and all that are open. ``time_to_acknowledge`` (MTTA) runs from raising to
    the first acknowledgement, ``time_to_resolve`` (MTTR) to resolving.
    """

    as_of: datetime
    days: int
    counts: list[AlertCount]
    oldest_pending_age_s: float | None
    series: list[AlertsPerDay]
    time_to_acknowledge: Durations
    time_to_resolve: Durations


class SilenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One silence. ``matches`` counts the open alerts that it silences now; ``webhook_name`` is null for one that names
    no webhook, and once its history is gone."""

    id: UUID
    created_by: str
    created_at: datetime
    reason: str
    ends_at: datetime
    webhook_id: UUID | None
    label: str | None
    kind: AlertKind | None
    active: bool
    matches: int
    webhook_name: str | None = None


class SilencePreview(msgspec.Struct, frozen=True):
    """Matches of a silence: open alerts (the first 50) and the number of webhooks."""

    webhooks: int
    alerts: list[AlertView]


class AnomalyView(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly; ``closed_at`` is null while it is open. ``alert_id`` is the open alert of which it is a cause, else
    null."""

    id: UUID
    webhook_id: UUID
    webhook_name: str
    signal: Signal
    severity: Severity
    sentence: str
    evidence: Evidence
    opened_at: datetime
    closed_at: datetime | None
    alert_id: UUID | None = None
