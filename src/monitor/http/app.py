"""The Litestar application, put together from controllers and plumbing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide

from monitor.http.alerts import AlertController, SilenceController
from monitor.http.cached import HotPath
from monitor.http.dashboard import DashboardController
from monitor.http.deliveries import DeliveryController
from monitor.http.events import EventController
from monitor.http.exposition import CacheReport, Exposition
from monitor.http.limits import RateLimiter
from monitor.http.live import HubStatus, LiveEndpoint, live_route
from monitor.http.middleware import add_edge, http_plumbing
from monitor.http.openapi import openapi_config, reference_routes
from monitor.http.page import load_page, page_routes
from monitor.http.query import check_query
from monitor.http.replays import ReplayController
from monitor.http.request_log import WriteLine
from monitor.http.services import Services
from monitor.http.system import AuditController, live, metrics_route, ready
from monitor.http.tokens import TokenVerifier
from monitor.http.webhooks import WebhookController

API = "/api/v1"


def build(
    services: Services,
    verifier: TokenVerifier,
    limiter: RateLimiter,
    feed: LiveEndpoint,
    *,
    cache_report: Callable[[], CacheReport],
    hub_status: Callable[[], HubStatus],
    now: Callable[[], float],
    ticks_s: Callable[[], float],
    new_id: Callable[[], str],
    lifespan: Collection[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    cors_origins: Collection[str] = (),
    https: bool = False,
    metrics_open: bool = False,
    write_line: WriteLine | None = None,
) -> Litestar:
    """
    Return the application. Nothing is opened before its lifespan starts.

    Args:
        now: Unix seconds, for tokens.
        ticks_s: monotonic seconds, for durations.
    """
    exposition = Exposition(cache_report, hub_status)
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
            ReplayController,
            DashboardController,
            AuditController,
        ],
        before_request=check_query,
    )
    app = Litestar(
        route_handlers=[
            api,
            live,
            ready,
            metrics_route(is_open=metrics_open),
            live_route(feed),
            *page_routes(load_page()),
            *reference_routes(),
        ],
        dependencies=dependencies,
        lifespan=list(lifespan),
        openapi_config=openapi_config(),
        signature_types=[Services, Exposition],
        **http_plumbing(verifier=verifier, now=now, limiter=limiter),
    )
    edge = add_edge(
        app,
        new_id=new_id,
        ticks_s=ticks_s,
        cors_origins=cors_origins,
        https=https,
        observe=exposition.observe_request,
        write_line=write_line,
    )
    app.asgi_handler = HotPath(
        edge, services.views, verifier, limiter, now=now, ticks_s=ticks_s, cors=bool(cors_origins)
    )
    return app
