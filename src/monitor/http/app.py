"""The Litestar application, put together from controllers and plumbing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, MediaType, Response, Router, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from monitor import __version__
from monitor.http.alerts import AlertController, SilenceController
from monitor.http.auth import OPEN
from monitor.http.deliveries import DeliveryController
from monitor.http.events import EventController
from monitor.http.exposition import Exposition
from monitor.http.limits import RateLimiter
from monitor.http.middleware import add_edge, http_plumbing
from monitor.http.services import Services
from monitor.http.system import AuditController, DashboardController, live, metrics_route, ready
from monitor.http.tokens import TokenVerifier
from monitor.http.webhooks import WebhookController

API = "/api/v1"

LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Monitor</title>
<h1>Monitor</h1>
<p>The service is up. Start with <a href="/schema/openapi.json">the OpenAPI document</a> or <code>GET
/api/v1/dashboard/overview</code>, with <code>Authorization: Bearer &lt;token&gt;</code>.</p>
</html>
"""


@get("/", opt=OPEN, include_in_schema=False, media_type=MediaType.HTML)
async def landing() -> Response[str]:
    return Response(LANDING, media_type=MediaType.HTML)


def build(
    services: Services,
    verifier: TokenVerifier,
    limiter: RateLimiter,
    *,
    now: Callable[[], float],
    ticks_s: Callable[[], float],
    new_id: Callable[[], str],
    lifespan: Collection[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    cors_origins: Collection[str] = (),
    https: bool = False,
    metrics_open: bool = False,
) -> Litestar:
    """
    Return the application. Nothing is opened before its lifespan starts.

    Args:
        now: Unix seconds, for tokens.
        ticks_s: monotonic seconds, for durations.
    """
    exposition = Exposition()
    dependencies: dict[str, Any] = {
        "services": Provide(lambda: services, sync_to_thread=False, use_cache=True),
        "exposition": Provide(lambda: exposition, sync_to_thread=False, use_cache=True),
    }
    api = Router(
        API,
        route_handlers=[
            WebhookController,
            EventController,
            DeliveryController,
            AlertController,
            SilenceController,
            DashboardController,
            AuditController,
        ],
    )
    app = Litestar(
        route_handlers=[api, live, ready, metrics_route(is_open=metrics_open), landing],
        dependencies=dependencies,
        lifespan=list(lifespan),
        openapi_config=_openapi(),
        signature_types=[Services, Exposition],
        **http_plumbing(verifier=verifier, now=now, limiter=limiter),
    )
    return add_edge(
        app,
        new_id=new_id,
        ticks_s=ticks_s,
        cors_origins=cors_origins,
        https=https,
        observe=exposition.observe_request,
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Monitor",
        version=__version__,
        description="Delivers webhooks and watches them. Errors are RFC 9457 problems.",
        # What the API looks like is no secret.
        openapi_router=Router("/schema", route_handlers=[], opt=OPEN, include_in_schema=False),
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
        security=[{"bearer": []}],
    )
