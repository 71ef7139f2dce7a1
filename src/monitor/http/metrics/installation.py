"""Metrics of the whole installation, read from the database: the same whichever process answers. Take their maximum."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from monitor.domain.views.dashboard import OverviewView, WebhookRow
from monitor.domain.vocab import WebhookStatus


def overview_metrics(overview: OverviewView) -> Iterator[Metric]:
    """Return what the first line of the dashboard shows."""
    traffic, queue = overview.traffic, overview.queue
    yield gauge("overview_timestamp_seconds", "When what follows was counted", overview.as_of.timestamp())
    yield _by("webhooks", "Webhooks by status", "status", overview.webhooks)
    yield gauge("webhooks_disabled", "Webhooks that are disabled", overview.disabled)
    yield gauge("webhooks_paused", "Webhooks whose deliveries are held", overview.paused)
    yield gauge("deliveries_pending", "Deliveries that are not finished", queue.pending)
    yield gauge("deliveries_in_flight", "Deliveries under lease", queue.in_flight)
    yield gauge("oldest_lease_age_seconds", "How long the oldest live lease has been held", queue.oldest_lease_age_s)
    yield gauge("oldest_due_age_seconds", "How late the oldest due delivery is", queue.oldest_due_age_s)
    yield gauge("fan_outs_unfinished", "Fan-outs whose deliveries workers are still making", queue.fan_outs)
    yield gauge("oldest_fan_out_age_seconds", "How long ago the oldest of them began", queue.oldest_fan_out_age_s)
    yield gauge("attempts_last_hour", "Attempts in the last hour", traffic.attempts)
    yield gauge("success_ratio_last_hour", "Share of those that succeeded", traffic.success_ratio)
    latencies = {"0.5": traffic.p50_ms, "0.95": traffic.p95_ms, "0.99": traffic.p99_ms}
    seconds = {quantile: None if ms is None else ms / 1000 for quantile, ms in latencies.items()}
    text = "Latency of the successful attempts of the last hour"
    yield _by("attempt_latency_seconds_last_hour", text, "quantile", seconds)
    yield _by("alerts_pending", "Alerts that are not acknowledged", "severity", overview.alerts)
    yield gauge("alerts_acknowledged", "Alerts that are acknowledged and not resolved", overview.acknowledged)
    yield gauge("anomalies_open", "Departures from a webhook's normal", overview.anomalies)


def webhook_metrics(rows: Sequence[WebhookRow]) -> Iterator[Metric]:
    """Return the series of single webhooks. Names of webhooks are values of a label, and may change."""
    attempts = _family("webhook_attempts_last_hour", "Attempts of the webhook in the last hour", "outcome")
    latency = _family("webhook_latency_p95_seconds_last_hour", "Latency of its successful attempts, 95th percentile")
    status = _family("webhook_status", "1 for its present status, 0 for the others", "status")
    pending = _family("webhook_deliveries_pending", "Its deliveries that are not finished, at most 10,000 counted")
    alerts = _family("webhook_alerts_open", "Its alerts that are not resolved")
    for row in rows:
        webhook, hour, failures = (str(row.id), row.name), row.last_hour, sum(row.sparkline.failures)
        attempts.add_metric((*webhook, "ok"), hour.attempts - failures)
        attempts.add_metric((*webhook, "failed"), failures)
        latency.add_metric(webhook, math.nan if hour.p95_ms is None else hour.p95_ms / 1000)
        for one in WebhookStatus:
            status.add_metric((*webhook, one.value), row.status is one)
        pending.add_metric(webhook, row.waiting)
        alerts.add_metric(webhook, row.alerts)
    yield from (attempts, latency, status, pending, alerts)


def gauge(name: str, text: str, value: float | None) -> Metric:
    """Return a gauge of one value; ``None`` is not a number."""
    return GaugeMetricFamily(f"monitor_{name}", text, math.nan if value is None else float(value))


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"monitor_{name}", text, labels=("webhook", "name", *labels))


def _by(name: str, text: str, label: str, values: Mapping[Any, float | None]) -> Metric:
    family = GaugeMetricFamily(f"monitor_{name}", text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), math.nan if number is None else number)
    return family
