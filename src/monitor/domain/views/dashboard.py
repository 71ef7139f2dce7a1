"""Read models of the dashboard, the cursor of its list of webhooks, and its time windows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from monitor.domain.monitoring.metrics import HOUR_S
from monitor.domain.paging import decode_position, encode_cursor, malformed_cursor
from monitor.domain.views.alerts import AlertView, AnomalyView
from monitor.domain.views.metrics import MetricsPoint
from monitor.domain.views.webhooks import HealthView, LastHour
from monitor.domain.vocab import Severity, WebhookStatus

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
    """
    One webhook in the list. ``status`` is that of its health worsened by open alerts, and what its configuration says;
    ``reason`` says why. Below the role admin, as for all roles here, ``url`` shows of a chat service its origin only.

    ``alerts`` and ``anomalies`` count open ones. ``waiting`` counts its unfinished deliveries, at most
    ``WAITING_COUNT_CAP``, as of the last measurement.
    """

    id: UUID
    name: str
    url: str
    labels: dict[str, str]
    enabled: bool
    paused_at: datetime | None
    status: WebhookStatus
    reason: str
    health: HealthView
    waiting: int
    last_attempt_at: datetime | None
    last_hour: LastHour
    sparkline: Sparkline
    alerts: int
    anomalies: int


RowSort = Literal["worst", "name", "newest", "traffic", "failures", "latency", "waiting"]
"""Orders of the list: by status and alerts, by name, by age, and by the figures of the last hour or of the queue."""


class RowOrder(msgspec.Struct, frozen=True):
    """Each sort begins with the worst or the largest, ``name`` with the first, ``newest`` with the youngest."""

    sort: RowSort = "worst"
    reverse: bool = False


class RowFilter(msgspec.Struct, frozen=True):
    """
    Conditions on the webhooks of the list; ``None`` matches any.

    ``q`` is part of the name, URL, description or the value of a label; ``label`` is ``name`` or ``name=value``;
    ``failing`` is whether attempts failed in the last hour, ``alerting`` whether alerts are open, ``waiting`` whether
    deliveries wait. ``ids`` names the webhooks.
    """

    status: WebhookStatus | None = None
    q: str | None = None
    label: str | None = None
    event_type: str | None = None
    failing: bool | None = None
    alerting: bool | None = None
    waiting: bool | None = None
    ids: tuple[UUID, ...] | None = None


class RowPosition(msgspec.Struct, frozen=True, array_like=True):
    """Position of a webhook in one order of the list: the value sorted by, ``None`` by age, and the id."""

    sort: RowSort
    key: Annotated[float, msgspec.Meta(ge=-1, le=1e12)] | Annotated[str, msgspec.Meta(max_length=64)] | None
    id: UUID

    @property
    def is_possible(self) -> bool:
        """Whether a webhook can have this position."""
        if self.sort == "name":
            return isinstance(self.key, str) and "\0" not in self.key
        return self.key is None if self.sort == "newest" else isinstance(self.key, float)


class RowLook(msgspec.Struct, frozen=True):
    """Rows of one page, and the position after which the next one begins; ``None`` on the last page."""

    rows: list[WebhookRow]
    following: RowPosition | None = None


class WebhookRows(msgspec.Struct, frozen=True):
    """
    A page of the list. On the first page, ``total`` counts the webhooks that match, and ``counts`` by status those
    that match apart from the status; both are null on the next ones.
    """

    items: list[WebhookRow]
    next_cursor: str | None = None
    total: int | None = None
    counts: dict[WebhookStatus, int] | None = None


def rows_page(look: RowLook, counts: dict[WebhookStatus, int] | None, status: WebhookStatus | None) -> WebhookRows:
    """Return the page of *look*. *counts* are of the first page, ``None`` on the next ones."""
    cursor = encode_cursor(msgspec.msgpack.encode(look.following)) if look.following else None
    if counts is None:
        return WebhookRows(look.rows, cursor)
    return WebhookRows(look.rows, cursor, sum(counts.values()) if status is None else counts[status], counts)


def row_position(cursor: str | None, order: RowOrder) -> RowPosition | None:
    """
    Return the position after which the page begins; ``None`` for the first page.

    Raises:
        Malformed: not a cursor of this list, or of another order.
    """
    position = decode_position(cursor, RowPosition)
    if position is not None and (position.sort != order.sort or not position.is_possible):
        raise malformed_cursor()
    return position


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
    ``webhooks`` counts by status, ``alerts`` the pending ones by severity, ``anomalies`` the open ones.

    ``sockets`` and ``cache_hit_ratio`` are those of the responding process; null if it counts none.
    """

    as_of: datetime
    webhooks: dict[WebhookStatus, int]
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

WAITING_COUNT_CAP = 10_000
"""Likewise, of one webhook."""
