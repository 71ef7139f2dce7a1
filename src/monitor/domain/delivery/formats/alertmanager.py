"""
Alertmanager's API v2: one active alert for each alert of ours, by its labels.

Source: Prometheus "Alertmanager API v2" (``postableAlerts``: a list of alerts with ``labels``, ``annotations``,
``startsAt``, ``endsAt`` and ``generatorURL``) and "Alerting, clients". Equal labels are the same alert. One without
``endsAt`` resolves itself after ``resolve_timeout``, five minutes by default, unless it is sent again. Ours are sent
once, so an open one ends far ahead (:data:`OPEN_FOR`), and the event that resolves it ends it before. Routes go by
``severity``, so that is a label, too: each request ends the alert's variants of other severities.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from monitor.domain.delivery.alert_event import AlertEvent, cut, later, read_alert, rfc3339
from monitor.domain.delivery.rendered import RenderedBody
from monitor.domain.vocab import Severity

OPEN_FOR = timedelta(days=365)
"""How far ahead an open alert ends: longer than any is open, and not for ever, if Monitor is taken away meanwhile."""

SAMPLE_FOR = timedelta(minutes=5)

EPOCH = datetime.fromtimestamp(0, UTC)
VALUE_MAX = 2_000


def alertmanager(event_type: str, payload: bytes) -> RenderedBody:
    """Return the alert in each severity, all but one ended. Any other event is an alert that ended long ago, so that it
    opens nothing. Total."""
    event = read_alert(event_type, payload)
    if event is None:
        times = {"startsAt": rfc3339(EPOCH), "endsAt": rfc3339(later(EPOCH, timedelta(seconds=1)))}
        return RenderedBody(msgspec.json.encode([{"labels": {"alertname": event_type or "monitor"}, **times}]))
    return RenderedBody(msgspec.json.encode([_alert(event, severity) for severity in Severity]))


def _alert(event: AlertEvent, severity: Severity) -> dict[str, Any]:
    alert, at = event.alert, event.at or EPOCH
    starts_at = alert.raised_at or at
    if event.is_over or severity is not alert.severity:
        # An end must lie behind the start.
        ends_at = max(alert.resolved_at or at, later(starts_at, timedelta(milliseconds=1)))
    else:
        ends_at = later(at, SAMPLE_FOR if event.is_sample else OPEN_FOR)
    labels = {"alertname": f"Monitor {alert.kind}", "alert_id": event.key, "severity": severity}
    return {
        "labels": labels,
        "annotations": _annotations(event),
        "startsAt": rfc3339(starts_at),
        "endsAt": rfc3339(ends_at),
        **({} if event.alert_link is None else {"generatorURL": event.alert_link}),
    }


def _annotations(event: AlertEvent) -> dict[str, str]:
    facts = {label.lower().replace(" ", "_"): cut(value, VALUE_MAX) for label, value in event.facts().items()}
    links = {f"{text.lower().replace(' ', '_')}_url": url for text, url in event.links}
    state = {"state": event.verb} if event.verb else {}
    return {"summary": cut(event.sentence, VALUE_MAX), **state, **facts, **links}
