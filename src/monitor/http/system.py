"""Probes, metrics, the audit log and the first line of the dashboard."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from monitor.domain.errors import Unavailable
from monitor.domain.paging import DEFAULT_LIMIT, decode_cursor, page
from monitor.domain.views import AuditView, OverviewView
from monitor.domain.vocab import Page, Role
from monitor.http.answers import READ, problems
from monitor.http.auth import OPEN, requires
from monitor.http.exposition import Exposition
from monitor.http.paging import Cursor, Limit
from monitor.http.services import Services


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


async def _overview(services: Services) -> OverviewView | None:
    # What this process says about itself is needed most while the database is away.
    try:
        answer = await services.views.answer("overview")
    except Unavailable:
        return None
    return msgspec.json.decode(answer.body, type=OverviewView)


def metrics_route(*, is_open: bool) -> Any:
    """Return the route of the Prometheus exposition."""

    @get(
        "/metrics",
        opt=OPEN if is_open else requires(Role.VIEWER),
        tags=["system"],
        media_type=MediaType.TEXT,
        summary="Prometheus metrics",
        description="Role: viewer, unless `MONITOR_HTTP__METRICS_OPEN` opens it. Answers without the database, too.",
        responses=problems(400, 401, 403, 429),
    )
    async def metrics(services: NamedDependency[Services], exposition: NamedDependency[Exposition]) -> Response[bytes]:
        return Response(exposition.render(await _overview(services)), media_type=CONTENT_TYPE_LATEST)

    return metrics
