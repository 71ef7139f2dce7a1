"""
The cached views, in one place: the query of each, how long it lives, what its answer depends on, and what drops it.

A view is worth caching when it is read often for what it costs: at least twenty milliseconds of queries saved a second,
and five reads for each time it is dropped. ``/metrics`` shows both for every view. Whatever a caller filters freely,
and every page but the first, is read from the database each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from monitor.cache import POLICIES, Cache, Creator, Entry, Key, View
from monitor.domain.alerts.alert import AlertState
from monitor.domain.errors import Unavailable
from monitor.domain.paging import DEFAULT_LIMIT, page
from monitor.domain.ports.queries.alerts import AlertFilter, AlertQueries
from monitor.domain.ports.queries.dashboard import DashboardQueries
from monitor.domain.ports.queries.resources import Queries, WebhookFilter
from monitor.domain.views.dashboard import (
    INITIAL_ROWS,
    INITIAL_WINDOW,
    WINDOWS,
    OverviewView,
    RowFilter,
    RowLook,
    RowOrder,
    WebhookRows,
    performance_view,
    rows_page,
)
from monitor.domain.views.webhooks import WebhookView, below_admin
from monitor.domain.vocab import Page

STATS_DAYS = 30
TOO_LONG = "This took too long to compute; try again in a moment."
NOT_CURRENT = "The answer cannot be computed now, and the last one may be outdated; try again in a moment."
PART_MISSING = "A part of the dashboard cannot be computed now; try again in a moment."


Query = Callable[..., Awaitable[Any]]


class CachedViews:
    """
    The cached views: encoded JSON, from the cache where possible.

    Args:
        sockets: counts the open sockets of this process; ``None`` where it has none by design.
    """

    def __init__(
        self,
        cache: Cache,
        queries: Queries,
        dashboards: DashboardQueries,
        alerts: AlertQueries,
        *,
        sockets: Callable[[], int | None],
    ) -> None:
        self._sockets = sockets
        self._cache = cache
        self._queries = queries
        self._dashboards = dashboards
        self._alerts = alerts
        self._views: dict[str, tuple[View, Query]] = {}
        # Composed of other views, so what drops one of them drops it.
        self._add("dashboard", self._dashboard, "dashboard", "health", "anomalies", "alerts")
        self._add("overview", self._overview, "dashboard")
        self._add("webhook_health", self._rows, "dashboard", "health", "alerts")
        self._add("performance", dashboards.performance, "health", scope=("window",))
        self._add("performance_long", dashboards.performance, "health", scope=("window",))
        self._add("anomalies", self._anomalies, "anomalies", "alerts")
        self._add("alerts", self._pending_alerts, "alerts")
        self._add("alert_stats", alerts.stats, "alerts", scope=("days",))
        # Not dropped by traffic: single webhooks are read twice a minute for scrapes, whatever the traffic.
        self._add("busiest_webhooks", self._busiest, "webhooks", scope=("limit",))
        # ``admin``: whether a role sees the URLs of chat services.
        self._add("webhooks", self._webhooks, "webhooks", scope=("admin",))
        self._add("webhook", self._webhook, "webhook:{webhook_id}", scope=("webhook_id", "admin"))
        self._add("uptime", queries.uptime, "webhook:{webhook_id}", scope=("webhook_id",))
        self._add(
            "metrics_closed",
            queries.metrics,
            "webhook:{webhook_id}",
            scope=("webhook_id", "from_at", "to_at", "step_s"),
        )

    def _add(self, name: str, query: Query, *tags: str, scope: tuple[str, ...] = ()) -> None:
        self._views[name] = (View(name, POLICIES[name], tags, scope), query)

    async def answer(self, name: str, **scope: Any) -> Entry:
        """
        Return the answer of the view *name*.

        Raises:
            NotFound: it is about something that is not there.
            Unavailable: it could not be computed, and there is no last good one.
        """
        key, create = self._key(name, scope)
        try:
            return await self._cache.get(key, create)
        except TimeoutError:
            raise Unavailable(TOO_LONG) from None

    async def current(self, name: str, **scope: Any) -> bytes:
        """
        Return the answer of the view *name*, computed after this call and never the last good one.

        Raises:
            Unavailable: it could not be computed.
        """
        key, create = self._key(name, scope)
        try:
            entry = await self._cache.recompute(key, create)
        except TimeoutError:
            raise Unavailable(TOO_LONG) from None
        if entry.stale:
            raise Unavailable(NOT_CURRENT)
        return entry.body

    def text(self, name: str, **scope: Any) -> str:
        """Return what :meth:`peek` takes."""
        return self._key(name, scope)[0].text

    def peek(self, text: str) -> Entry | None:
        """Return the answer that memory may give without waiting, if it holds one."""
        return self._cache.peek_stale(text)

    def pinned(self) -> list[tuple[Key, Creator]]:
        """Return what is kept warm: all that the page shows first."""
        scopes: list[tuple[str, dict[str, Any]]] = [
            ("dashboard", {}),
            ("overview", {}),
            ("webhook_health", {}),
            ("anomalies", {}),
            ("alerts", {}),
            ("alert_stats", {"days": STATS_DAYS}),
            ("webhooks", {"admin": False}),
            ("webhooks", {"admin": True}),
            *((performance_view(window), {"window": window}) for window in WINDOWS),
        ]
        return [self._key(name, scope) for name, scope in scopes]

    def _key(self, name: str, scope: dict[str, Any]) -> tuple[Key, Creator]:
        view, query = self._views[name]
        return view.key(**scope), partial(_encoded, query, scope)

    async def _overview(self) -> OverviewView:
        overview = await self._dashboards.overview()
        stats = self._cache.stats()
        ratio = None if stats.hit_ratio is None else round(stats.hit_ratio, 4)
        return msgspec.structs.replace(overview, sockets=self._sockets(), cache_hit_ratio=ratio)

    async def _dashboard(self) -> dict[str, msgspec.Raw | list[msgspec.Raw]]:
        """Return a :class:`DashboardView`, put together from the answers of the views that it shows."""
        name, scope = performance_view(INITIAL_WINDOW), {"window": INITIAL_WINDOW}
        overview, rows, performance, anomalies, alerts = await asyncio.gather(
            self._part("overview"),
            self._part("webhook_health"),
            self._part(name, **scope),
            self._part("anomalies"),
            self._part("alerts"),
        )
        return {
            "as_of": msgspec.json.decode(overview, type=_Dated).as_of,
            "overview": msgspec.Raw(overview),
            "webhooks": _first_rows(rows),
            "performance": msgspec.Raw(performance),
            "anomalies": _first_rows(anomalies),
            "alerts": _first_rows(alerts),
        }

    async def _part(self, name: str, **scope: Any) -> bytes:
        key, create = self._key(name, scope)
        entry = await self._cache.dependency(key, create)
        if entry.stale:
            # What is made of a last good value would pass for a new one.
            raise Unavailable(PART_MISSING)
        return entry.body

    async def _rows(self) -> WebhookRows:
        look, counts = await asyncio.gather(
            self._dashboards.rows(RowFilter(), RowOrder(), after=None, limit=DEFAULT_LIMIT),
            self._dashboards.row_counts(RowFilter()),
        )
        return rows_page(look, counts, None)

    async def _busiest(self, *, limit: int) -> RowLook:
        return await self._dashboards.rows(RowFilter(), RowOrder("traffic"), after=None, limit=limit)

    async def _webhooks(self, *, admin: bool) -> Page[WebhookView]:
        views = await self._queries.webhooks(WebhookFilter(), after=None, limit=DEFAULT_LIMIT + 1)
        return page(views if admin else [below_admin(view) for view in views], DEFAULT_LIMIT)

    async def _webhook(self, webhook_id: UUID, *, admin: bool) -> WebhookView:
        view = await self._queries.webhook(webhook_id)
        return view if admin else below_admin(view)

    async def _anomalies(self) -> Page[Any]:
        rows = await self._alerts.anomalies(is_open=True, webhook_id=None, after=None, limit=DEFAULT_LIMIT + 1)
        return page(rows, DEFAULT_LIMIT)

    async def _pending_alerts(self) -> Page[Any]:
        where = AlertFilter((AlertState.PENDING,))
        return page(await self._alerts.alerts(where, after=None, limit=DEFAULT_LIMIT + 1), DEFAULT_LIMIT)


class _Dated(msgspec.Struct):
    as_of: msgspec.Raw


class _Listed(msgspec.Struct):
    items: list[msgspec.Raw]


def _first_rows(page: bytes) -> list[msgspec.Raw]:
    return msgspec.json.decode(page, type=_Listed).items[:INITIAL_ROWS]


async def _encoded(query: Query, scope: dict[str, Any]) -> bytes:
    return msgspec.json.encode(await query(**scope))
