"""Read models of metrics."""

from __future__ import annotations

from datetime import datetime

import msgspec


class MetricsPoint(msgspec.Struct, frozen=True):
    """
    One step of a series; ``at`` is its start.

    ``mean_ms`` and the percentiles are of successful attempts, ``failed_mean_ms`` of failed ones; null without any.
    """

    at: datetime
    attempts: int
    failures: int
    success_ratio: float | None
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    failed_mean_ms: float | None
    errors: dict[str, int]


class MetricsView(msgspec.Struct, frozen=True):
    """A series over ``[from_at, to_at)``; steps without attempts are left out. ``total`` merges all steps. Steps of
    whole hours or days widen the range to whole hours or days, UTC."""

    from_at: datetime
    to_at: datetime
    step_s: int
    total: MetricsPoint
    points: list[MetricsPoint]
