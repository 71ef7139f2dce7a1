"""The Prometheus exposition of one process: its requests, and what the database says about all of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, PlatformCollector, ProcessCollector, generate_latest

from monitor.domain.views import OverviewView

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Exposition:
    """One registry per application, so that two in a process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Histogram(
            "monitor_http_request_seconds",
            "Time to answer, by route template",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=BUCKETS_S,
        )
        # By template, so there are few; looking one up through the library costs as much as counting it.
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._webhooks = self._gauge("monitor_webhooks", "Webhooks by health", ("status",))
        self._disabled = self._gauge("monitor_webhooks_disabled", "Webhooks that are disabled")
        self._paused = self._gauge("monitor_webhooks_paused", "Webhooks whose deliveries are held")
        self._pending = self._gauge("monitor_deliveries_pending", "Deliveries that are not finished")
        self._in_flight = self._gauge("monitor_deliveries_in_flight", "Deliveries under lease")
        self._oldest = self._gauge("monitor_oldest_due_age_seconds", "How late the oldest due delivery is")
        self._attempts = self._gauge("monitor_attempts_last_hour", "Attempts in the last hour")
        self._success = self._gauge("monitor_success_ratio_last_hour", "Share of those that succeeded")
        self._latency = self._gauge(
            "monitor_attempt_latency_seconds_last_hour", "Attempt latency in the last hour", ("quantile",)
        )

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = self._requests.labels(method, route, str(status))
        series.observe(seconds)

    def render(self, overview: OverviewView) -> bytes:
        """Return the text format."""
        for status, count in overview.webhooks.items():
            self._webhooks.labels(status).set(count)
        self._disabled.set(overview.disabled)
        self._paused.set(overview.paused)
        self._pending.set(overview.queue.pending)
        self._in_flight.set(overview.queue.in_flight)
        self._oldest.set(overview.queue.oldest_due_age_s)
        self._attempts.set(overview.traffic.attempts)
        ratio = overview.traffic.success_ratio
        self._success.set(float("nan") if ratio is None else ratio)
        traffic = overview.traffic
        for quantile, value_ms in (("0.5", traffic.p50_ms), ("0.95", traffic.p95_ms), ("0.99", traffic.p99_ms)):
            self._latency.labels(quantile).set(float("nan") if value_ms is None else value_ms / 1000)
        return generate_latest(self._registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)
