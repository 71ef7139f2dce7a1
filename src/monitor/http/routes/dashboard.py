"""Routes of the dashboard: all are cached views."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import QueryParameter

from monitor.domain.paging import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, page
from monitor.domain.views.activity import MAX_ACTIVITY, ActivityKind, ActivityList
from monitor.domain.views.alerts import AnomalyView
from monitor.domain.views.dashboard import (
    DashboardView,
    OverviewView,
    PerformanceView,
    RowFilter,
    RowOrder,
    RowSort,
    WebhookRows,
    Window,
    performance_view,
    row_position,
    rows_page,
)
from monitor.domain.vocab import Page, Role, WebhookStatus
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.query import NO_NUL, Cursor, Limit, check_query
from monitor.http.responses.cached import cached_response
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected

_ID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
IDS = f"^{_ID}(,{_ID}){{0,{MAX_LIMIT - 1}}}$"

RowCursor = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=512, pattern="^[A-Za-z0-9_-]+$", description="`next_cursor` of the page before."
    ),
]
"""Longer than the others: it may hold a name."""


class DashboardController(Controller):
    """What an operator sees first. When the database is away, the last good answer comes with `stale` and `age_s`."""

    path = "/dashboard"
    tags = ("dashboard",)
    opt = requires(Role.VIEWER)

    @get(
        summary="Read the dashboard",
        description="Everything the page shows at first paint, in one request. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def dashboard(self, services: Injected, request: AnyRequest) -> Response[DashboardView]:
        return await cached_response(request, services.views, "dashboard")

    @get(
        "/overview",
        summary="Read the overview",
        description="Webhooks by health, traffic of the last hour, queue depth and its oldest due age, alerts by"
        " severity, open anomalies, open sockets and the cache hit ratio. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def overview(self, services: Injected, request: AnyRequest) -> Response[OverviewView]:
        return await cached_response(request, services.views, "overview")

    @get(
        "/webhooks",
        summary="List webhooks by status",
        description="Worst first unless sorted otherwise, each with its status and the reason, the last hour, a"
        " sparkline of it, what waits, and its open alerts and anomalies. The first page has the number of webhooks"
        " that match, and how many of each status match the other conditions. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
        before_request=check_query,
    )
    async def webhooks(
        self,
        services: Injected,
        request: AnyRequest,
        status: Annotated[WebhookStatus | None, QueryParameter(description="Only of this status.")] = None,
        q: Annotated[
            str | None,
            QueryParameter(
                max_length=200, pattern=NO_NUL, description="Part of name, URL, description or a label's value."
            ),
        ] = None,
        label: Annotated[
            str | None,
            QueryParameter(
                max_length=321, pattern=NO_NUL, description="Only those with a label: `name` or `name=value`."
            ),
        ] = None,
        event_type: Annotated[
            str | None,
            QueryParameter(max_length=128, pattern=NO_NUL, description="Only those that get events of this type."),
        ] = None,
        failing: Annotated[
            bool | None, QueryParameter(description="Only those with failed attempts in the last hour, or without.")
        ] = None,
        alerting: Annotated[bool | None, QueryParameter(description="Only those with open alerts, or without.")] = None,
        waiting: Annotated[
            bool | None, QueryParameter(description="Only those with unfinished deliveries, or without.")
        ] = None,
        ids: Annotated[
            str | None,
            QueryParameter(
                max_length=7400, pattern=IDS, description="Only these webhooks, ids with commas between them: 200."
            ),
        ] = None,
        sort: Annotated[
            RowSort,
            QueryParameter(
                description="By status, name, age, attempts, share of failures, 95th percentile of latency, or"
                " unfinished deliveries."
            ),
        ] = "worst",
        reverse: Annotated[bool, QueryParameter(description="The other way round.")] = False,
        limit: Limit = DEFAULT_LIMIT,
        cursor: RowCursor = None,
    ) -> Response[WebhookRows]:
        chosen = tuple(UUID(id_) for id_ in ids.split(",")) if ids else None
        where, order = (
            RowFilter(status, q, label, event_type, failing, alerting, waiting, chosen),
            RowOrder(sort, reverse),
        )
        if where == RowFilter() and order == RowOrder() and cursor is None and limit == DEFAULT_LIMIT:
            return await cached_response(request, services.views, "webhook_health")
        after = row_position(cursor, order)
        look, counts = await asyncio.gather(
            services.dashboards.rows(where, order, after=after, limit=limit),
            services.dashboards.row_counts(where) if after is None else _uncounted(),
        )
        return encoded_response(request, rows_page(look, counts, status))

    @get(
        "/activity",
        summary="List what happened lately",
        description="The newest changes of alerts, anomalies and the health of webhooks, newest first: where the live"
        " feed goes on from. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def activity(
        self,
        services: Injected,
        request: AnyRequest,
        kind: Annotated[ActivityKind | None, QueryParameter(description="Only these.")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_ACTIVITY, description="Rows.")] = MAX_ACTIVITY,
    ) -> Response[ActivityList]:
        found = await services.system.activity(kind=kind, limit=limit)
        return encoded_response(request, ActivityList(found))

    @get(
        "/performance",
        summary="Read performance",
        description="Throughput and latency percentiles of successful attempts, of all webhooks over `window`, as a"
        " series, beside the window before. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def performance(
        self,
        services: Injected,
        request: AnyRequest,
        window: Annotated[Window, QueryParameter(description="How far back.")] = "1h",
    ) -> Response[PerformanceView]:
        return await cached_response(request, services.views, performance_view(window), window=window)

    @get(
        "/anomalies",
        summary="List anomalies",
        description="Open ones with their evidence, newest first; `state=closed` for history. Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def anomalies(
        self,
        services: Injected,
        request: AnyRequest,
        state_: Annotated[
            Literal["open", "closed"], QueryParameter(name="state", description="Which to list.")
        ] = "open",
        webhook_id: Annotated[UUID | None, QueryParameter(description="Only of this webhook.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[AnomalyView]]:
        if state_ == "open" and webhook_id is None and cursor is None and limit == DEFAULT_LIMIT:
            return await cached_response(request, services.views, "anomalies")
        rows = await services.alert_queries.anomalies(
            is_open=state_ == "open", webhook_id=webhook_id, after=decode_cursor(cursor), limit=limit + 1
        )
        return encoded_response(request, page(rows, limit))


async def _uncounted() -> None:
    """The counts are those of the first page."""
