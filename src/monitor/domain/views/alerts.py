"""Read models of alerts, silences and anomalies."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action, AlertKind, AlertState, Cause
from monitor.domain.anomaly.model import Evidence, Signal
from monitor.domain.vocab import Severity


class HistoryView(msgspec.Struct, frozen=True):
    """One line of an alert's history; ``actor`` is ``system`` for automatic transitions."""

    at: datetime
    action: Action
    actor: str
    note: str | None
    severity: Severity | None
    title: str | None


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """
    One alert. ``webhook_id`` is null for one about all webhooks; ``evidence`` is keyed by cause; ``silenced`` is
    true while a silence matches. Details hold the ``history``, oldest first.
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
    """One silence. ``matches`` counts the open alerts that it silences now."""

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


class SilencePreview(msgspec.Struct, frozen=True):
    """Matches of a silence: open alerts (the first 50) and the number of webhooks."""

    webhooks: int
    alerts: list[AlertView]


class AnomalyView(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly; ``closed_at`` is null while it is open."""

    id: UUID
    webhook_id: UUID
    webhook_name: str
    signal: Signal
    severity: Severity
    sentence: str
    evidence: Evidence
    opened_at: datetime
    closed_at: datetime | None
