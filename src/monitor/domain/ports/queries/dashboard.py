"""Reads of the dashboard."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.views.dashboard import OverviewView, PerformanceView, RowPosition, WebhookRow, Window
from monitor.domain.vocab import HealthStatus


class DashboardQueries(Protocol):
    """Aggregates over all webhooks. The cost depends on the number of webhooks, not of attempts."""

    async def overview(self) -> OverviewView:
        """Return the counts and the traffic of all webhooks."""
        ...

    async def rows(self, *, status: HealthStatus | None, after: RowPosition | None, limit: int) -> list[WebhookRow]:
        """Return webhooks after *after*, worst first: by health, then by the chance that the next delivery fails."""
        ...

    async def performance(self, window: Window) -> PerformanceView:
        """Return the series of *window* beside the window before it."""
        ...
