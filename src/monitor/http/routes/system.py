"""Probes, metrics, the audit log and the first line of the dashboard."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.di import NamedDependency

from monitor.domain.errors import Unavailable
from monitor.domain.views.dashboard import OverviewView, RowLook, WebhookRow
from monitor.domain.vocab import Role
from monitor.http.middleware.authentication import OPEN, requires
from monitor.http.openapi.responses import MEDIA_TYPES, problems
from monitor.http.responses.headers import list_header
from monitor.http.routes.prometheus import Exposition, negotiated
from monitor.http.routes.services import AnyRequest, Injected, Services


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


async def _busiest(services: Services, limit: int) -> list[WebhookRow]:
    if not limit:
        return []
    try:
        answer = await services.views.answer("busiest_webhooks", limit=limit)
    except Unavailable:
        return []
    return msgspec.json.decode(answer.body, type=RowLook).rows


def metrics_route(*, is_open: bool, per_webhook: int = 0) -> Any:
    """Return the route of the Prometheus exposition, with series of *per_webhook* single webhooks at most."""

    @get(
        "/metrics",
        opt={
            **(OPEN if is_open else requires(Role.VIEWER)),
            MEDIA_TYPES: ("text/plain", "application/openmetrics-text"),
        },
        tags=["system"],
        media_type=MediaType.TEXT,
        summary="Prometheus metrics",
        description="In the text format, or as OpenMetrics to clients that accept it. Role: viewer, unless"
        " `MONITOR_HTTP__METRICS_OPEN` opens it. Covers all processes of this `monitor serve`. Answers without the"
        " database, too.",
        responses=problems(400, 401, 403, 429),
    )
    async def metrics(
        services: Injected, request: AnyRequest, exposition: NamedDependency[Exposition]
    ) -> Response[bytes]:
        media_type = negotiated(list_header(request.scope["headers"], b"accept") or "")
        webhooks = await _busiest(services, per_webhook)
        body = exposition.render(await _overview(services), media_type, webhooks)
        # As a header: the framework would add a second charset.
        return Response(body, headers={"content-type": media_type, "vary": "Accept"})

    return metrics
