"""
The Prometheus exposition of one process: its requests, cache and sockets, and figures of the database about all.

Whether caching a view pays can be read off its counters: reads a second times seconds per creation, and reads per
invalidation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from monitor.domain.views.dashboard import OverviewView
from monitor.http.live import HubStatus

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_OURS = {"text/plain": TEXT, "text/*": TEXT, "*/*": TEXT, "application/openmetrics-text": OPENMETRICS}
_VERSION = re.compile(r'version="?[01]\.\d+\.\d+"?')
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

READ_FROM = {
    "memory": "l1_hits", "server": "l2_hits", "stale": "stale_hits", "fail_safe": "fail_safe", "created": "misses",
}  # fmt: skip
"""Label of a source of answers, and the field of its count."""


class ViewCounts(Protocol):
    """Counts of one cached view since the process started."""

    view: str
    l1_hits: int
    l2_hits: int
    stale_hits: int
    fail_safe: int
    misses: int
    creations: int
    failures: int
    creation_s: float
    invalidations: int


class CacheReport(Protocol):
    """The cache of this process. ``pending_invalidations`` counts tags whose invalidation Redis has not taken."""

    @property
    def views(self) -> Sequence[ViewCounts]: ...
    @property
    def entries(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def pending_invalidations(self) -> int: ...


class TaskReport(Protocol):
    """The background tasks of this process: whether each is up, and how often it failed."""

    @property
    def tasks(self) -> Mapping[str, bool]: ...
    @property
    def failures(self) -> Mapping[str, int]: ...


class LogReport(Protocol):
    """The log of this process. ``dropped`` counts writes that failed."""

    @property
    def dropped(self) -> int: ...


class DatabaseReport(Protocol):
    """The database as this process sees it: counts of rows set aside by table, and whether wake-ups arrive (``None``
    without a worker)."""

    @property
    def unreadable_rows(self) -> Mapping[str, int]: ...
    @property
    def listening(self) -> bool | None: ...


class ReplicaLag(Protocol):
    """How far the replica was behind."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class ReplicaReport(Protocol):
    """
    The replica that serves heavy reads.

    Attributes:
        is_used: whether reads try it at present.
        served: how many it served.
        passed_on: how many the primary served instead, by the cause.
        lag: as last measured; ``None`` if the replica did not answer.
    """

    @property
    def is_used(self) -> bool: ...
    @property
    def served(self) -> int: ...
    @property
    def passed_on(self) -> Mapping[str, int]: ...
    @property
    def lag(self) -> ReplicaLag | None: ...


class WorkerReport(Protocol):
    """
    The delivery worker of this process.

    Attributes:
        concurrency: how many attempts it makes at once.
        in_flight: how many attempts are under way.
        held: how many deliveries it has leased and not settled, those in flight too.
        attempts: attempts that were settled, by outcome: ``ok``, a status code or a kind of error.
        seconds: the latencies of all of them, added up.
    """

    @property
    def concurrency(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def attempts(self) -> Mapping[str, int]: ...
    @property
    def seconds(self) -> float: ...


class Exposition:
    """
    One registry per application, so that two in a process do not mix.

    Args:
        cache: looks at the cache of this process, if it serves.
        hub: looks at its sockets, if it serves.
        worker: its delivery worker, if it has one.
        replica: the replica that it reads from, if it has one.
    """

    def __init__(
        self,
        tasks: TaskReport,
        log: LogReport,
        database: DatabaseReport,
        *,
        cache: Callable[[], CacheReport] | None = None,
        hub: Callable[[], HubStatus] | None = None,
        worker: WorkerReport | None = None,
        replica: ReplicaReport | None = None,
    ) -> None:
        self._tasks = tasks
        self._log = log
        self._database = database
        self._cache = cache
        self._hub = hub
        self._worker = worker
        self._replica = replica
        self._overview: OverviewView | None = None
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
        self._registry.register(self)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = self._requests.labels(method, route, str(status))
        series.observe(seconds)

    def render(self, overview: OverviewView | None, media_type: str = TEXT) -> bytes:
        """
        Return the exposition in the format of *media_type*, one of :data:`TEXT` and :data:`OPENMETRICS`. Without
        *overview*, as when the database is away, it covers this process alone.
        """
        self._overview = overview
        if media_type == OPENMETRICS:
            encoded: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            return encoded
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for values that are read now rather than counted as they change."""
        if self._cache is not None:
            yield from _cache_metrics(self._cache())
        if self._hub is not None:
            yield from _socket_metrics(self._hub())
        if self._worker is not None:
            yield from _worker_metrics(self._worker)
        if self._replica is not None:
            yield from _replica_metrics(self._replica)
        yield from _task_metrics(self._tasks)
        yield CounterMetricFamily("monitor_log_writes_dropped", "Log writes that failed", self._log.dropped)
        unreadable = CounterMetricFamily(
            "monitor_unreadable_rows", "Rows set aside that this version cannot read", labels=("table",)
        )
        for table, count in self._database.unreadable_rows.items():
            unreadable.add_metric((table,), count)
        yield unreadable
        if self._database.listening is not None:
            yield _gauge(
                "wakeups_connected", "1 while the worker here is woken by new events", self._database.listening
            )
        if self._overview is not None:
            yield from _overview_metrics(self._overview)


def negotiated(accept: str) -> str:
    """
    Return the media type to answer the header *accept* with (RFC 9110 section 12.5.1): OpenMetrics where it is listed
    in a version that is ours and weighs no less than the text format, else the text format, which every client reads.
    """
    weights = {TEXT: 0.0, OPENMETRICS: 0.0}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        known = _OURS.get(name)
        versions = [part for part in parameters if part.startswith("version=")]
        if known is not None and all(_VERSION.fullmatch(version) for version in versions):
            weight = next((match[1] for match in map(_WEIGHT.fullmatch, parameters) if match), "1")
            weights[known] = max(weights[known], float(weight))
    return OPENMETRICS if weights[OPENMETRICS] and weights[OPENMETRICS] >= weights[TEXT] else TEXT


def _cache_metrics(report: CacheReport) -> Iterator[Metric]:
    views = report.views
    reads = CounterMetricFamily("monitor_cache_reads", "Reads of a cached view, by source", labels=("view", "source"))
    for view in views:
        for source, count in READ_FROM.items():
            reads.add_metric((view.view, source), getattr(view, count))
    yield reads
    yield _by_view("creations", "Times a view was computed", ((v.view, v.creations) for v in views))
    yield _by_view("creation_failures", "Of those, the ones that failed", ((v.view, v.failures) for v in views))
    yield _by_view("creation_seconds", "Time spent computing a view", ((v.view, v.creation_s) for v in views))
    yield _by_view("invalidations", "Values in memory dropped by an event", ((v.view, v.invalidations) for v in views))
    yield _gauge("cache_entries", "Values in memory", report.entries)
    yield _gauge("cache_bytes", "What the values in memory take", report.bytes)
    yield _gauge("cache_trusted", "1 while memory may be answered from", report.trusted)
    pending = report.pending_invalidations
    yield _gauge("cache_pending_invalidations", "Tags whose invalidation Redis has not taken yet", pending)


def _by_view(name: str, text: str, counts: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"monitor_cache_{name}", text, labels=("view",))
    for view, count in counts:
        family.add_metric((view,), count)
    return family


def _socket_metrics(hub: HubStatus) -> Iterator[Metric]:
    yield _gauge("sockets", "Open live feeds", len(hub.sockets))
    yield _gauge("socket_users", "Subjects that hold one", len(hub.per_user))
    yield _gauge("socket_backlog", "Messages that sockets have yet to be sent", sum(s.backlog for s in hub.sockets))
    yield _gauge("sockets_congested", "Sockets whose peer does not read", sum(s.congested for s in hub.sockets))
    yield _gauge("feed_connected", "1 while this process follows the log of the live feed", hub.connected)
    yield CounterMetricFamily("monitor_sockets_opened", "Live feeds opened", hub.opened)
    for name, text, label, counts in (
        ("closed", "Live feeds closed", "reason", hub.closed),
        ("refused", "Handshakes refused", "problem", hub.refused),
    ):
        family = CounterMetricFamily(f"monitor_sockets_{name}", text, labels=(label,))
        for value, count in counts.items():
            family.add_metric((value,), count)
        yield family


def _worker_metrics(report: WorkerReport) -> Iterator[Metric]:
    yield _gauge("worker_concurrency", "Attempts that the worker of this process makes at once", report.concurrency)
    yield _gauge("worker_attempts_in_flight", "Attempts that it is making", report.in_flight)
    yield _gauge("worker_deliveries_held", "Deliveries that it has leased and not settled", report.held)
    attempts = CounterMetricFamily("monitor_worker_attempts", "Attempts that it settled", labels=("outcome",))
    for outcome, count in report.attempts.items():
        attempts.add_metric((outcome,), count)
    yield attempts
    yield CounterMetricFamily("monitor_worker_attempt_seconds", "Time that these attempts took", report.seconds)


def _replica_metrics(report: ReplicaReport) -> Iterator[Metric]:
    yield _gauge("replica_used", "1 while heavy reads try the replica", report.is_used)
    lag = report.lag
    yield _gauge("replica_lag_bytes", "WAL that the replica had not replayed", None if lag is None else lag.size_bytes)
    yield _gauge(
        "replica_lag_seconds",
        "Age of what it replayed last, while it is behind",
        None if lag is None else lag.seconds,
    )
    yield CounterMetricFamily("monitor_replica_reads", "Heavy reads that the replica served", report.served)
    passed_on = CounterMetricFamily(
        "monitor_replica_reads_passed_on", "Heavy reads that the primary served instead", labels=("cause",)
    )
    for cause, count in report.passed_on.items():
        passed_on.add_metric((cause,), count)
    yield passed_on


def _task_metrics(report: TaskReport) -> Iterator[Metric]:
    up = GaugeMetricFamily("monitor_background_task_up", "1 while the task runs", labels=("task",))
    failures = CounterMetricFamily("monitor_background_task_failures", "Failures of the task", labels=("task",))
    for name, is_up in report.tasks.items():
        up.add_metric((name,), float(is_up))
        failures.add_metric((name,), report.failures.get(name, 0))
    yield up
    yield failures


def _overview_metrics(overview: OverviewView) -> Iterator[Metric]:
    traffic, queue = overview.traffic, overview.queue
    yield _gauge("overview_timestamp_seconds", "When what follows was counted", overview.as_of.timestamp())
    yield _by("webhooks", "Webhooks by status", "status", overview.webhooks)
    yield _gauge("webhooks_disabled", "Webhooks that are disabled", overview.disabled)
    yield _gauge("webhooks_paused", "Webhooks whose deliveries are held", overview.paused)
    yield _gauge("deliveries_pending", "Deliveries that are not finished", queue.pending)
    yield _gauge("deliveries_in_flight", "Deliveries under lease", queue.in_flight)
    yield _gauge("oldest_lease_age_seconds", "How long the oldest live lease has been held", queue.oldest_lease_age_s)
    yield _gauge("oldest_due_age_seconds", "How late the oldest due delivery is", queue.oldest_due_age_s)
    yield _gauge("fan_outs_unfinished", "Fan-outs whose deliveries workers are still making", queue.fan_outs)
    yield _gauge("oldest_fan_out_age_seconds", "How long ago the oldest of them began", queue.oldest_fan_out_age_s)
    yield _gauge("attempts_last_hour", "Attempts in the last hour", traffic.attempts)
    yield _gauge("success_ratio_last_hour", "Share of those that succeeded", traffic.success_ratio)
    latencies = {"0.5": traffic.p50_ms, "0.95": traffic.p95_ms, "0.99": traffic.p99_ms}
    seconds = {quantile: None if ms is None else ms / 1000 for quantile, ms in latencies.items()}
    text = "Latency of the successful attempts of the last hour"
    yield _by("attempt_latency_seconds_last_hour", text, "quantile", seconds)
    yield _by("alerts_pending", "Alerts that are not acknowledged", "severity", overview.alerts)
    yield _gauge("alerts_acknowledged", "Alerts that are acknowledged and not resolved", overview.acknowledged)
    yield _gauge("anomalies_open", "Departures from a webhook's normal", overview.anomalies)


def _by(name: str, text: str, label: str, values: Mapping[Any, float | None]) -> Metric:
    family = GaugeMetricFamily(f"monitor_{name}", text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), math.nan if number is None else number)
    return family


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return GaugeMetricFamily(f"monitor_{name}", text, math.nan if value is None else float(value))
