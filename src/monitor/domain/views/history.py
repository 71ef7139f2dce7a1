"""Read models of a webhook's history: its uptime, and the annotations of its charts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.alert import Action
from monitor.domain.monitoring.metrics import DAY_S, HOUR_S
from monitor.domain.monitoring.uptime import (
    DAYS,
    HOURS,
    Counts,
    UptimeBucket,
    by_day,
    success_ratio,
    uptime_buckets,
    without_silenced,
    worst_by_day,
)
from monitor.domain.vocab import Severity

MAX_ANNOTATIONS = 200
"""Annotations of one response."""

CHANGES_ALONE = frozenset({"version", "updated_at", "hidden_changes", "disabled_at", "probe_at", "probes"})
"""Members of an audited webhook that follow from a change, or are about it."""


class SuccessRatios(msgspec.Struct, frozen=True):
    """Share of attempts that succeeded, null without attempts: in the last 24 hours, the current one included, and in
    the last 7, 30 and 90 days, UTC, today included."""

    last_24h: float | None
    last_7d: float | None
    last_30d: float | None
    last_90d: float | None


class UptimeView(msgspec.Struct, frozen=True):
    """Uptime of a webhook, oldest first: 72 hours and 90 days, UTC; the last ones are under way."""

    as_of: datetime
    success_ratios: SuccessRatios
    hours: list[UptimeBucket]
    days: list[UptimeBucket]


def uptime_view(
    now: datetime,
    hours: Mapping[datetime, Counts],
    days: Mapping[datetime, Counts],
    silenced: Mapping[datetime, Counts] = MappingProxyType({}),
) -> UptimeView:
    """Return the uptime from the attempts of hours and days, by their starts, without those of *silenced* hours; see
    :class:`UptimeView`."""
    silenced_days = by_day(silenced)
    hours, days = without_silenced(hours, silenced), without_silenced(days, silenced_days)
    hour = now.replace(minute=0, second=0, microsecond=0)
    day, width = hour.replace(hour=0), timedelta(seconds=DAY_S)
    hourly = uptime_buckets(hours, hour, timedelta(seconds=HOUR_S), HOURS, silenced=silenced)
    daily = uptime_buckets(days, day, width, DAYS, worst_by_day(hours), silenced_days)
    ratios = SuccessRatios(
        last_24h=success_ratio(hourly[-24:]),
        last_7d=success_ratio(daily[-7:]),
        last_30d=success_ratio(daily[-30:]),
        last_90d=success_ratio(daily),
    )
    return UptimeView(now, ratios, hourly, daily)


class AnnotationKind(StrEnum):
    """What happened to a webhook, or to an alert about it."""

    CREATED = "created"
    UPDATED = "updated"
    ENABLED = "enabled"
    DISABLED = "disabled"
    PAUSED = "paused"
    RESUMED = "resumed"
    SECRET_ROTATED = "secret_rotated"  # noqa: S105 - a name
    DELETED = "deleted"
    ALERT_RAISED = "alert_raised"
    ALERT_ESCALATED = "alert_escalated"
    ALERT_ACKNOWLEDGED = "alert_acknowledged"
    ALERT_SUPERSEDED = "alert_superseded"
    ALERT_RESOLVED = "alert_resolved"


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """
    One annotation of a webhook's charts. ``actor`` is ``system`` for what Monitor did by itself. ``members`` names what
    an update changed, without values; ``alert_id``, ``severity`` and ``title`` are of the alert, else null.
    """

    at: datetime
    kind: AnnotationKind
    actor: str
    members: list[str] = []
    alert_id: UUID | None = None
    severity: Severity | None = None
    title: str | None = None


class AnnotationsView(msgspec.Struct, frozen=True):
    """The annotations of ``[from_at, to_at)``, newest first; ``complete`` is false if there are more than 200."""

    from_at: datetime
    to_at: datetime
    complete: bool
    items: list[Annotation]


AUDITED: Mapping[str, AnnotationKind] = {
    "webhook.create": AnnotationKind.CREATED,
    "webhook.update": AnnotationKind.UPDATED,
    "webhook.enable": AnnotationKind.ENABLED,
    "webhook.disable": AnnotationKind.DISABLED,
    "webhook.pause": AnnotationKind.PAUSED,
    "webhook.resume": AnnotationKind.RESUMED,
    "webhook.rotate_secret": AnnotationKind.SECRET_ROTATED,
    "webhook.delete": AnnotationKind.DELETED,
}
"""By the action of the audit log."""

ALERTED: Mapping[Action, AnnotationKind] = {
    Action.RAISED: AnnotationKind.ALERT_RAISED,
    Action.REOPENED: AnnotationKind.ALERT_RAISED,
    Action.ESCALATED: AnnotationKind.ALERT_ESCALATED,
    Action.ACKNOWLEDGED: AnnotationKind.ALERT_ACKNOWLEDGED,
    Action.SUPERSEDED: AnnotationKind.ALERT_SUPERSEDED,
    Action.RECOVERED: AnnotationKind.ALERT_RESOLVED,
    Action.RESOLVED: AnnotationKind.ALERT_RESOLVED,
}
"""By the action of an alert's history."""


def audited_annotation(
    at: datetime, actor: str, action: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Annotation:
    """Return the annotation of an audit row, whose *action* is one of ``AUDITED``. An update that enables or disables
    the webhook is annotated as that."""
    kind = AUDITED[action]
    if kind is not AnnotationKind.UPDATED:
        return Annotation(at=at, kind=kind, actor=actor)
    members = changed_members(before or {}, after or {})
    if "enabled" in members:
        kind = AnnotationKind.ENABLED if (after or {}).get("enabled") else AnnotationKind.DISABLED
    return Annotation(at=at, kind=kind, actor=actor, members=members)


def changed_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that differ, and of those that changed although shown alike."""
    hidden = after.get("hidden_changes")
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - CHANGES_ALONE
    return sorted(names | set(hidden if isinstance(hidden, list) else ()))


def newest(annotations: list[Annotation]) -> tuple[list[Annotation], bool]:
    """Return at most ``MAX_ANNOTATIONS`` of *annotations*, newest first, and whether these are all."""
    ordered = sorted(annotations, key=lambda annotation: annotation.at, reverse=True)
    return ordered[:MAX_ANNOTATIONS], len(ordered) <= MAX_ANNOTATIONS
