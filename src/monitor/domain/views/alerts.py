"""Read models of alerts, silences and anomalies."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, AlertKind, AlertState, Cause
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.views.webhooks import HealthView
from monitor.domain.vocab import BodyFormat, Severity, WebhookStatus


class ToldView(msgspec.Struct, frozen=True):
    """How many destinations got the notification of a change of an alert, how many finally did not, and for how many a
    newer one ``replaced`` it before it was sent, of all that subscribed; up to 100 are counted. ``destinations`` of 0
    means that none subscribed."""

    destinations: int
    delivered: int
    failed: int
    replaced: int = 0


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
    latency of the successful ones, and its ``status`` with the ``reason``, null of a deleted webhook.
    """

    window_s: int
    attempts: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    status: WebhookStatus | None
    reason: str | None


class HeldCondition(msgspec.Struct, frozen=True):
    """A cause that holds for a webhook now, with the sentence and the measurements of now."""

    cause: Cause
    severity: Severity
    title: str
    evidence: dict[str, Any]


class FailedAttemptRef(msgspec.Struct, frozen=True):
    """The last failed attempt in the time of an alert."""

    id: UUID
    webhook_id: UUID
    at: datetime
    status_code: int | None
    error: str | None


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One alert. ``webhook_id`` is null for one about all webhooks; ``evidence`` is that of the beginning, keyed by cause;
    ``conditions`` is what holds at ``conditions_at``, the worst first: none before the first evaluation, and of an
    alert about all webhooks. ``severity`` follows what holds, and ``worst_severity`` is the highest that it ever had.
    ``superseded``: the alert about all webhooks replaced it, and it counts in no statistics. ``silenced`` is true while
    a silence matches.

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
    worst_severity: Severity | msgspec.UnsetType = msgspec.UNSET
    superseded: bool = False
    conditions_at: datetime | None = None
    conditions: list[HeldCondition] = []
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
