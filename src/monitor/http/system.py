"""Probes, metrics, the audit log and the first line of the dashboard."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from prometheus_client import CONTENT_TYPE_LATEST

from monitor.domain.alerts.views import AnomalyView
from monitor.domain.errors import Unavailable
from monitor.domain.views import AuditView, OverviewView
from monitor.domain.vocab import Page, Role
from monitor.http.answers import READ, problems
from monitor.http.auth import OPEN, requires
from monitor.http.exposition import Exposition
from monitor.http.paging import DEFAULT_LIMIT, Cursor, Limit, decode_cursor
from monitor.http.services import Services, page


class DashboardController(Controller):
    """What an operator sees first."""

    path = "/dashboard"
    tags = ("dashboard",)

    @get(
        "/overview",
        summary="Read the overview",
        description="Webhooks by health, traffic of the last hour, queue depth and its oldest due age. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ),
    )
    async def overview(self, services: NamedDependency[Services]) -> OverviewView:
        return await services.queries.overview()

    @get(
        "/anomalies",
        summary="List anomalies",
        description="Open ones with their evidence, newest first; `state=closed` for history. Role: viewer.",
        opt=requires(Role.VIEWER),
        responses=problems(*READ),
    )
    async def anomalies(
        self,
        services: NamedDependency[Services],
        state_: Annotated[
            Literal["open", "closed"], QueryParameter(name="state", description="Which to list.")
        ] = "open",
        webhook_id: Annotated[UUID | None, QueryParameter(description="Only of this webhook.")] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[AnomalyView]:
        rows = await services.alert_queries.anomalies(
            is_open=state_ == "open", webhook_id=webhook_id, after=decode_cursor(cursor), limit=limit + 1
        )
        return page(rows, limit)


class AuditController(Controller):
    """Who changed what."""

    path = "/audit-log"
    tags = ("audit",)

    @get(
        summary="List changes",
        description="Every mutating call, newest first, without secrets. Role: admin.",
        opt=requires(Role.ADMIN),
        responses=problems(*READ),
    )
    async def audit_log(
        self, services: NamedDependency[Services], limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
    ) -> Page[AuditView]:
        return page(await services.queries.audit_log(after=decode_cursor(cursor), limit=limit + 1), limit)


@get("/health/live", opt=OPEN, tags=["system"], summary="Is the process alive?", description="Open to all.")
async def live() -> dict[str, str]:
    return {"status": "live"}


@get(
    "/health/ready",
    opt=OPEN,
    tags=["system"],
    summary="Can it serve?",
    description="503 until the database answers with the schema this version needs. Open to all.",
    responses=problems(503),
)
async def ready(services: NamedDependency[Services]) -> dict[str, str]:
    missing = await services.readiness()
    if missing:
        raise Unavailable(" ".join(missing))
    return {"status": "ready"}


def metrics_route(*, is_open: bool) -> Any:
    """Return the route of the Prometheus exposition."""

    @get(
        "/metrics",
        opt=OPEN if is_open else requires(Role.VIEWER),
        tags=["system"],
        media_type=MediaType.TEXT,
        summary="Prometheus metrics",
        description="Role: viewer, unless `MONITOR_HTTP__METRICS_OPEN` opens it.",
        responses=problems(*READ),
    )
    async def metrics(services: NamedDependency[Services], exposition: NamedDependency[Exposition]) -> Response[bytes]:
        body = exposition.render(await services.queries.overview())
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    return metrics
