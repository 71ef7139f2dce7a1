"""
Read models: exactly what a client sees. Filled by SQL, never by entities.

Names end in ``_at`` (RFC 3339 UTC), ``_ms``, ``_s``, ``_ratio`` (0 to 1); a ratio or percentile of nothing is null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery import Phases, RetryPolicy
from monitor.domain.vocab import BodyFormat, DeliveryState, HealthStatus, Severity, SignatureScheme
from monitor.domain.watching import Normal
from monitor.domain.webhooks import RateLimit


class HealthView(msgspec.Struct, frozen=True):
    status: HealthStatus
    reason: str
    failure_probability: float
    changed_at: datetime | None


class LastHour(msgspec.Struct, frozen=True):
    """How the last 60 minutes went."""

    attempts: int
    success_ratio: float | None
    p95_ms: float | None


class WebhookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """
    One webhook. ``headers`` shows names only, each value as ``***``; ``last_hour`` is set in lists.

    Details tell what the detector knows: ``signals`` is ``learning``, ``normal`` or ``open`` for each signal, and
    ``normal`` the band that the webhook is held against.
    """

    id: UUID
    name: str
    url: str
    description: str
    event_types: list[str]
    labels: dict[str, str]
    headers: dict[str, str]
    enabled: bool
    disabled_reason: str | None
    paused_at: datetime | None
    timeout_s: float
    retry: RetryPolicy
    max_concurrency: int
    rate_limit: RateLimit | None
    ordered: bool
    signature: SignatureScheme
    body_format: BodyFormat
    health: HealthView
    version: int
    created_at: datetime
    updated_at: datetime
    last_hour: LastHour | msgspec.UnsetType | None = msgspec.UNSET
    signals: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    normal: Normal | msgspec.UnsetType = msgspec.UNSET
    secret: str | msgspec.UnsetType = msgspec.UNSET


class SecretView(msgspec.Struct, frozen=True):
    """A signing secret, shown once. ``previous_expires_at`` tells until when the one before signs too."""

    secret: str
    previous_expires_at: datetime | None


class DeliveryCounts(msgspec.Struct, frozen=True):
    pending: int = 0
    delivered: int = 0
    failed: int = 0
    cancelled: int = 0
    quarantined: int = 0


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event. ``payload`` is the JSON exactly as it was posted; lists leave it out."""

    id: UUID
    type: str
    labels: dict[str, str]
    occurred_at: datetime
    created_at: datetime
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    deliveries: DeliveryCounts | msgspec.UnsetType = msgspec.UNSET


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP try. ``kind`` is ``delivery``, ``test`` or ``reported``; ``number`` counts from 1 within a delivery."""

    id: UUID
    webhook_id: UUID
    kind: str
    delivery_id: UUID | None
    event_id: UUID | None
    event_type: str | None
    number: int
    ok: bool
    status_code: int | None
    error: str | None
    error_detail: str | None
    latency_ms: float
    phases: Phases
    response_body: str | None
    at: datetime


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one webhook. ``due_at`` is null once it is finished; details hold ``attempt_log``, newest first."""

    id: UUID
    event_id: UUID
    webhook_id: UUID
    event_type: str | None
    state: DeliveryState
    attempts: int
    in_flight: bool
    due_at: datetime | None
    last_status_code: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None
    attempt_log: list[AttemptView] | msgspec.UnsetType = msgspec.UNSET


class MetricsPoint(msgspec.Struct, frozen=True):
    """One step of a series; ``at`` is its start."""

    at: datetime
    attempts: int
    failures: int
    success_ratio: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    errors: dict[str, int]


class MetricsView(msgspec.Struct, frozen=True):
    """A series over ``[from, to)``; steps without attempts are left out. ``total`` merges all of it. Steps of whole
    hours or days widen the range to whole hours or days, UTC."""

    from_at: datetime
    to_at: datetime
    step_s: int
    total: MetricsPoint
    points: list[MetricsPoint]


class QueueView(msgspec.Struct, frozen=True):
    """``pending`` counts what is not finished, at most ``PENDING_COUNT_CAP``; ``oldest_due_age_s`` leaves paused and
    disabled webhooks out, and those whose breaker pauses."""

    pending: int
    in_flight: int
    oldest_due_age_s: float


class Traffic(msgspec.Struct, frozen=True):
    window_s: int
    attempts: int
    throughput_per_s: float
    success_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class OverviewView(msgspec.Struct, frozen=True):
    """
    The first line of the dashboard. ``traffic`` covers the last hour, ``webhooks`` counts by health, ``alerts`` the
    pending ones by severity, ``anomalies`` the open ones.

    ``sockets`` and ``cache_hit_ratio`` are those of the process that counted; null where nothing is counted.
    """

    as_of: datetime
    webhooks: dict[str, int]
    disabled: int
    paused: int
    traffic: Traffic
    queue: QueueView
    alerts: dict[Severity, int]
    acknowledged: int
    anomalies: int
    sockets: int | None = None
    cache_hit_ratio: float | None = None


class AuditView(msgspec.Struct, frozen=True):
    """One mutating call. ``before`` and ``after`` hold what changed, never a secret."""

    id: UUID
    at: datetime
    subject: str
    role: str | None
    request_id: str | None
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


PENDING_COUNT_CAP = 100_000
"""Counting further costs more than it tells."""
