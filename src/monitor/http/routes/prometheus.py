"""
The Prometheus exposition of a process, or of all that share a socket: requests, cache and sockets; and, of those that
serve, figures of the database about the whole installation.

Whether caching a view pays can be read off its counters: reads a second times seconds per creation, and reads per
invalidation.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from monitor.domain.views.dashboard import OverviewView, WebhookRow
from monitor.http.live import HubStatus
from monitor.http.metrics import GroupMetrics, RequestTimes, processes, request_metric
from monitor.http.metrics.installation import gauge, overview_metrics, webhook_metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_OURS = {"text/plain": TEXT, "text/*": TEXT, "*/*": TEXT, "application/openmetrics-text": OPENMETRICS}
_VERSION = re.compile(r'version="?[01]\.\d+\.\d+"?')
_WEIGHT = re.compile(r"q=([01](?:\.\d*)?)")

SHARE_S = 1.0
"""How often a process of a group writes what it has counted, which takes it about a thousandth of its time."""

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
    """The cache of this process. ``pending_invalidations`` counts tags of invalidations that Redis has not taken."""

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
    """The database as this process sees it: counts of rows set aside by table, whether wake-ups arrive, and how many
    partitions of the coming days are missing (both ``None`` without a worker)."""

    @property
    def unreadable_rows(self) -> Mapping[str, int]: ...
    @property
    def listening(self) -> bool | None: ...
    @property
    def partitions_missing(self) -> int | None: ...


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
        trouble: why not; ``None`` while reads try it.
        served: how many it served.
        passed_on: how many the primary served instead, by the cause.
        lag: as last measured; ``None`` if the replica did not answer.
    """

    @property
    def is_used(self) -> bool: ...
    @property
    def trouble(self) -> str | None: ...
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
        seconds: the latencies of all, added up.
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
        group: the other processes behind its socket, if there are any.
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
        group: GroupMetrics | None = None,
    ) -> None:
        self._tasks = tasks
        self._log = log
        self._database = database
        self._cache = cache
        self._hub = hub
        self._worker = worker
        self._replica = replica
        self._group = group
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._times = RequestTimes()
        self.observe_request = self._times.observe
        self._registry.register(self)

    def render(
        self, overview: OverviewView | None, media_type: str = TEXT, webhooks: Sequence[WebhookRow] = ()
    ) -> bytes:
        """
        Return the exposition in the format of *media_type*, one of :data:`TEXT` and :data:`OPENMETRICS`.

        Args:
            overview: of the installation; ``None`` without the database, which leaves the processes.
            webhooks: those with series of their own.
        """
        families = _Families(self._registry.collect())
        if self._group is not None:
            families = _Families(self._group.merged(families, self._times.series))
        else:
            families += (request_metric(self._times.series), processes(1))
        if overview is not None:
            families += overview_metrics(overview)
        if webhooks:
            families += webhook_metrics(webhooks)
        if media_type == OPENMETRICS:
            encoded: bytes = generate_openmetrics(families)  # type: ignore[no-untyped-call]
            return encoded
        return generate_latest(families)

    def share(self) -> None:
        """Let the other processes of the group answer for this one."""
        if self._group is not None:
            self._group.share(self._registry.collect(), self._times.series)

    async def share_loop(self) -> None:
        """Do so every :data:`SHARE_S`."""
        while True:
            self.share()
            await asyncio.sleep(SHARE_S)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for values that are read now rather than counted at each change."""
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
            yield gauge("wakeups_connected", "1 while the worker here is woken by new events", self._database.listening)
        if self._database.partitions_missing is not None:
            text = "Partitions of the coming days that are missing, at the hourly look"
            yield gauge("partitions_missing", text, self._database.partitions_missing)


class _Families(list[Metric]):
    """Collected metrics, in the form that encoders take."""

    def collect(self) -> Iterable[Metric]:
        return self


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
    yield gauge("cache_entries", "Values in memory", report.entries)
    yield gauge("cache_bytes", "What the values in memory take", report.bytes)
    yield gauge("cache_trusted", "1 while memory may be answered from", report.trusted)
    pending = report.pending_invalidations
    yield gauge("cache_pending_invalidations", "Tags whose invalidation Redis has not taken yet", pending)


def _by_view(name: str, text: str, counts: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"monitor_cache_{name}", text, labels=("view",))
    for view, count in counts:
        family.add_metric((view,), count)
    return family


def _socket_metrics(hub: HubStatus) -> Iterator[Metric]:
    yield gauge("sockets", "Open live feeds", len(hub.sockets))
    yield gauge("socket_users", "Subjects that hold one", len(hub.per_user))
    yield gauge("socket_backlog", "Messages that sockets have yet to be sent", sum(s.backlog for s in hub.sockets))
    yield gauge("sockets_congested", "Sockets whose peer does not read", sum(s.congested for s in hub.sockets))
    yield gauge("feed_connected", "1 while this process follows the log of the live feed", hub.connected)
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
    yield gauge("worker_concurrency", "Attempts that the worker of this process makes at once", report.concurrency)
    yield gauge("worker_attempts_in_flight", "Attempts that it is making", report.in_flight)
    yield gauge("worker_deliveries_held", "Deliveries that it has leased and not settled", report.held)
    attempts = CounterMetricFamily("monitor_worker_attempts", "Attempts that it settled", labels=("outcome",))
    for outcome, count in report.attempts.items():
        attempts.add_metric((outcome,), count)
    yield attempts
    yield CounterMetricFamily("monitor_worker_attempt_seconds", "Time that these attempts took", report.seconds)


def _replica_metrics(report: ReplicaReport) -> Iterator[Metric]:
    yield gauge("replica_used", "1 while heavy reads try the replica", report.is_used)
    lag = report.lag
    yield gauge("replica_lag_bytes", "WAL that the replica had not replayed", None if lag is None else lag.size_bytes)
    yield gauge(
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
