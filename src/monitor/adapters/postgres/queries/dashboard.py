"""Reads of the dashboard: from rollups and the webhooks' own rows, never from attempts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from monitor.adapters.postgres.engine import Database
from monitor.adapters.postgres.queries.metrics import overview, series, total, traffic_of
from monitor.adapters.postgres.queries.webhook_rows import row_counts, rows_look
from monitor.adapters.postgres.replica import Reads
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.views.dashboard import (
    WINDOWS,
    OverviewView,
    PerformanceView,
    RowFilter,
    RowLook,
    RowOrder,
    RowPosition,
    Window,
)
from monitor.domain.vocab import WebhookStatus


class PostgresDashboardQueries:
    """See :class:`monitor.domain.ports.queries.dashboard.DashboardQueries`."""

    def __init__(self, database: Database, reads: Reads | None = None) -> None:
        """*reads* serves what reads many rows; by default *database* does."""
        self._db = database
        self._reads = database if reads is None else reads

    async def overview(self) -> OverviewView:
        return await overview(self._reads)

    async def rows(self, where: RowFilter, order: RowOrder, *, after: RowPosition | None, limit: int) -> RowLook:
        return await rows_look(self._reads, where, order, after, limit)

    async def row_counts(self, where: RowFilter) -> dict[WebhookStatus, int]:
        return await row_counts(self._reads, where)

    async def performance(self, window: Window) -> PerformanceView:
        window_s, step_s = WINDOWS[window]
        row = await self._db.fetchrow(
            "SELECT now() AS as_of, date_bin(make_interval(secs => $1), now(), 'epoch') AS step_at", float(step_s)
        )
        assert row is not None
        # The running step counts: the newest minute matters most.
        end = row["step_at"] + timedelta(seconds=step_s)
        start = end - timedelta(seconds=window_s)
        current, previous = await asyncio.gather(
            series(self._reads, SYSTEM_ID, start, end, step_s),
            total(self._reads, SYSTEM_ID, start - timedelta(seconds=window_s), start, step_s),
        )
        return PerformanceView(
            as_of=row["as_of"],
            window_s=window_s,
            step_s=step_s,
            current=traffic_of(current.total, window_s),
            previous=traffic_of(previous, window_s),
            series=current.points,
        )
