"""Probes, metrics, the audit log and the first line of the dashboard."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from monitor.domain.errors import Unavailable
from monitor.domain.views.dashboard import OverviewView
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import OPEN, requires
from monitor.http.openapi.responses import problems
from monitor.http.routes.prometheus import Exposition
from monitor.http.routes.services import Injected, Services


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
async def ready(services: Injected) -> dict[str, str]:
    missing = await services.readiness()
    if missing:
        raise Unavailable(" ".join(missing))
    return {"status": "ready"}


async def _overview(services: Services) -> OverviewView | None:
    # The metrics of this process are needed most while the database is away.
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
    async def metrics(services: Injected, exposition: NamedDependency[Exposition]) -> Response[bytes]:
        return Response(exposition.render(await _overview(services)), media_type=CONTENT_TYPE_LATEST)

    return metrics
