"""Read models of the dashboard, the cursor of its list of webhooks, and its time windows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from monitor.domain.monitoring.metrics import HOUR_S
from monitor.domain.views.alerts import AlertView, AnomalyView
from monitor.domain.views.metrics import MetricsPoint
from monitor.domain.views.webhooks import HealthView, LastHour
from monitor.domain.vocab import WORST_FIRST, Severity

Window = Literal["15m", "1h", "6h", "24h", "7d", "30d"]

WINDOWS: dict[Window, tuple[int, int]] = {
    "15m": (900, 60),
    "1h": (3_600, 60),
    "6h": (6 * 3_600, 300),
    "24h": (86_400, 3_600),
    "7d": (7 * 86_400, 3_600),
    "30d": (30 * 86_400, 4 * 3_600),
}
"""Length of each window and of its steps, in seconds."""

INITIAL_ROWS = 20
"""Rows of each list in the first response."""

INITIAL_WINDOW: Window = "1h"
"""Window of the performance in the first response."""

SPARK_STEP_S = 300
SPARK_STEPS = 12


class Sparkline(msgspec.Struct, frozen=True):
    """The last hour in ``SPARK_STEPS`` steps of ``step_s`` seconds, oldest first."""

    step_s: int
    attempts: list[int]
    failures: list[int]


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook on the dashboard; ``alerts`` and ``anomalies`` count open ones."""

    id: UUID
    name: str
    enabled: bool
    paused_at: datetime | None
    health: HealthView
    last_hour: LastHour
    sparkline: Sparkline
    alerts: int
    anomalies: int


class RowPosition(msgspec.Struct, frozen=True, array_like=True):
    """Position of a webhook in the list: the rank of its health, the negated failure probability, and the id."""

    rank: Annotated[int, msgspec.Meta(ge=0, le=len(WORST_FIRST))]
    negated_failure_probability: Annotated[float, msgspec.Meta(ge=-1, le=0)]
    id: UUID


class PerformanceView(msgspec.Struct, frozen=True):
    """All webhooks together over a window that ends with the current step, beside the window before it."""

    as_of: datetime
    window_s: int
    step_s: int
    current: TrafficSummary
    previous: TrafficSummary
    series: list[MetricsPoint]


class DashboardView(msgspec.Struct, frozen=True):
    """The first response to the page; the lists hold their first rows."""

    as_of: datetime
    overview: OverviewView
    webhooks: list[WebhookRow]
    performance: PerformanceView
    anomalies: list[AnomalyView]
    alerts: list[AlertView]


def performance_view(window: Window) -> str:
    """Return the name of the cached view of *window*; views of an hour and more are cached for longer."""
    return "performance" if WINDOWS[window][0] < HOUR_S else "performance_long"


def cursor_position(row: WebhookRow) -> bytes:
    """Return the position of *row* in the order of :meth:`DashboardQueries.rows`, encoded for a cursor."""
    # Disabled webhooks come last, since they get no deliveries.
    rank = WORST_FIRST.index(row.health.status) if row.enabled else len(WORST_FIRST)
    return msgspec.msgpack.encode(RowPosition(rank, -row.health.failure_probability, row.id))


class QueueView(msgspec.Struct, frozen=True):
    """``pending`` counts unfinished deliveries, at most ``PENDING_COUNT_CAP``, also those that wait for a paused or
    disabled webhook or are being cancelled after a deletion. ``oldest_due_age_s`` ignores webhooks that are paused,
    disabled, deleted or have an open breaker, and counts what a pause held from its turn on. ``oldest_lease_age_s`` is
    that of the oldest live lease. ``fan_outs`` counts those that workers have not finished, and
    ``oldest_fan_out_age_s`` is since acceptance."""

    pending: int
    in_flight: int
    oldest_lease_age_s: float
    oldest_due_age_s: float
    fan_outs: int = 0
    oldest_fan_out_age_s: float = 0.0


class TrafficSummary(msgspec.Struct, frozen=True):
    """Attempts of all webhooks in one window; latencies are of the successful ones."""

    window_s: int
    attempts: int
    throughput_per_s: float
    success_ratio: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Throughput(msgspec.Struct, frozen=True):
    """Attempts of all webhooks in the last whole minutes, ``window_s`` together."""

    window_s: int
    attempts: int
    per_s: float


class OverviewView(msgspec.Struct, frozen=True):
    """
    The first line of the dashboard. ``throughput`` covers the last five minutes, ``traffic`` the last hour;
    ``webhooks`` counts by health, ``alerts`` the pending ones by severity, ``anomalies`` the open ones.

    ``sockets`` and ``cache_hit_ratio`` are those of the responding process; null if it counts none.
    """

    as_of: datetime
    webhooks: dict[str, int]
    disabled: int
    paused: int
    throughput: Throughput
    traffic: TrafficSummary
    queue: QueueView
    alerts: dict[Severity, int]
    acknowledged: int
    anomalies: int
    sockets: int | None = None
    cache_hit_ratio: float | None = None


THROUGHPUT_MINUTES = 5
"""Whole minutes over which the present throughput is taken: the current one is not over."""

PENDING_COUNT_CAP = 100_000
"""An exact count of more is not worth its cost."""
