"""Reads of the dashboard."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.views.dashboard import (
    OverviewView,
    PerformanceView,
    RowFilter,
    RowLook,
    RowOrder,
    RowPosition,
    Window,
)
from monitor.domain.vocab import WebhookStatus


class DashboardQueries(Protocol):
    """Aggregates over all webhooks. The cost depends on the number of webhooks, not of attempts."""

    async def overview(self) -> OverviewView:
        """Return the counts and the traffic of all webhooks."""
        ...

    async def rows(self, where: RowFilter, order: RowOrder, *, after: RowPosition | None, limit: int) -> RowLook:
        """Return up to *limit* webhooks after *after*."""
        ...

    async def row_counts(self, where: RowFilter) -> dict[WebhookStatus, int]:
        """Count by status the webhooks that *where* matches apart from its status; each status is there."""
        ...

    async def performance(self, window: Window) -> PerformanceView:
        """Return the series of *window* beside the window before it."""
        ...
