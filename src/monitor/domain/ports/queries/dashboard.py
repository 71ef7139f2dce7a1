"""Reads of the dashboard."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.views.dashboard import OverviewView, PerformanceView, RowPosition, WebhookRow, Window
from monitor.domain.vocab import HealthStatus


class DashboardQueries(Protocol):
    """Reads outside any unit of work. Cost follows the number of webhooks, never of attempts."""

    async def overview(self) -> OverviewView: ...

    async def rows(self, *, status: HealthStatus | None, after: RowPosition | None, limit: int) -> list[WebhookRow]:
        """Return webhooks, worst first: by health, then by the chance that the next delivery fails."""
        ...

    async def performance(self, window: Window) -> PerformanceView: ...
