"""Routes of the dashboard: cached views, all of them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from litestar import Controller, Response, get
from litestar.params import QueryParameter

from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, decode_position, page, page_by
from monitor.domain.views.activity import MAX_ACTIVITY, ActivityKind, ActivityList
from monitor.domain.views.alerts import AnomalyView
from monitor.domain.views.dashboard import (
    DashboardView,
    OverviewView,
    PerformanceView,
    RowPosition,
    WebhookRow,
    Window,
    cursor_position,
    performance_view,
)
from monitor.domain.vocab import HealthStatus, Page, Role
from monitor.http.middleware.authentication import requires
from monitor.http.openapi.responses import NOT_MODIFIED, READ, problems
from monitor.http.requests.query import Cursor, Limit
from monitor.http.responses.cached import cached_response
from monitor.http.responses.conditional import encoded_response
from monitor.http.routes.services import AnyRequest, Injected


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
        summary="List webhooks by health",
        description="Worst first, each with the last hour, a sparkline of it, and its open alerts and anomalies."
        " Role: viewer.",
        responses=problems(*READ) | NOT_MODIFIED,
    )
    async def webhooks(
        self,
        services: Injected,
        request: AnyRequest,
        status: Annotated[HealthStatus | None, QueryParameter(description="Only this health.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Response[Page[WebhookRow]]:
        if status is None and cursor is None and limit == DEFAULT_LIMIT:
            return await cached_response(request, services.views, "webhook_health")
        after = decode_position(cursor, RowPosition)
        rows = await services.dashboards.rows(status=status, after=after, limit=limit + 1)
        return encoded_response(request, page_by(rows, limit, cursor_position))

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
