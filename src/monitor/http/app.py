"""The Litestar application, put together from controllers and plumbing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide

from monitor.auth.tokens import TokenVerifier
from monitor.domain.services.action_links import LinkCommands
from monitor.http.live import HubStatus, LiveEndpoint, live_route
from monitor.http.middleware.body_budget import BodyBudget
from monitor.http.middleware.cached_fast_path import CachedFastPath
from monitor.http.middleware.edge import WriteLine
from monitor.http.middleware.publish_fast_path import PublishFastPath
from monitor.http.middleware.rate_limit import RateLimiter
from monitor.http.middleware.root_path import UnderRootPath
from monitor.http.middleware.stack import Application, build_edge, litestar_options
from monitor.http.openapi.reference import openapi_config, reference_routes
from monitor.http.page.assets import asset_routes, load_assets
from monitor.http.requests.hosts import ServedHosts
from monitor.http.requests.query import check_query
from monitor.http.routes.action_links import action_link_routes
from monitor.http.routes.alerts import AlertController
from monitor.http.routes.audit import AuditController
from monitor.http.routes.backlogs import BacklogController
from monitor.http.routes.dashboard import DashboardController
from monitor.http.routes.deliveries import DeliveryController
from monitor.http.routes.events import EventController
from monitor.http.routes.history import WebhookHistoryController
from monitor.http.routes.jobs import JobController
from monitor.http.routes.notifications import NotificationController
from monitor.http.routes.prometheus import CacheReport, Exposition, ReplicaReport, TaskReport
from monitor.http.routes.replays import ReplayController
from monitor.http.routes.services import Services
from monitor.http.routes.session import session_controller
from monitor.http.routes.silences import SilenceController
from monitor.http.routes.stats import stats_route
from monitor.http.routes.system import live, metrics_route, ready
from monitor.http.routes.tokens import TokenController
from monitor.http.routes.webhooks import WebhookController

API = "/api/v1"


def build(
    services: Services,
    verifier: TokenVerifier,
    limiter: RateLimiter,
    feed: LiveEndpoint,
    *,
    bodies: BodyBudget,
    cache_report: Callable[[], CacheReport],
    hub_status: Callable[[], HubStatus],
    task_report: TaskReport,
    exposition: Exposition,
    has_redis: bool,
    replica_report: ReplicaReport | None = None,
    retention_d: Mapping[str, int],
    now: Callable[[], float],
    ticks_s: Callable[[], float],
    new_id: Callable[[], str],
    lifespan: Collection[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    links: LinkCommands | None = None,
    cors_origins: Collection[str] = (),
    hosts: ServedHosts | None = None,
    https: bool = False,
    root_path: str = "",
    metrics_open: bool = False,
    metrics_per_webhook: int = 0,
    serve_schema: bool = True,
    write_line: WriteLine | None = None,
) -> Application:
    """
    Return the application. Nothing is opened before its lifespan starts.

    Args:
        retention_d: days that are kept, by what.
        links: uses of the links in messages; without it, there are none.
        now: Unix seconds, for tokens.
        ticks_s: monotonic seconds, for durations.
    """
    dependencies: dict[str, Any] = {
        "services": Provide(lambda: services, sync_to_thread=False, use_cache=True),
        "exposition": Provide(lambda: exposition, sync_to_thread=False, use_cache=True),
    }
    api = Router(
        API,
        route_handlers=[
            WebhookController,
            WebhookHistoryController,
            EventController,
            DeliveryController,
            AlertController,
            SilenceController,
            NotificationController,
            JobController,
            BacklogController,
            ReplayController,
            DashboardController,
            AuditController,
            TokenController,
            stats_route(
                cache_report,
                hub_status,
                task_report,
                now,
                has_redis=has_redis,
                replica=replica_report,
                retention_d=retention_d,
            ),
            session_controller(now, https=https),
        ],
        before_request=check_query,
    )
    litestar = Litestar(
        route_handlers=[
            api,
            live,
            ready,
            metrics_route(is_open=metrics_open, per_webhook=metrics_per_webhook),
            live_route(feed),
            *(() if links is None else (action_link_routes(links, limiter),)),
            *asset_routes(load_assets(root_path=root_path)),
            *(reference_routes(root_path) if serve_schema else ()),
        ],
        dependencies=dependencies,
        lifespan=list(lifespan),
        openapi_config=openapi_config(root_path, stored=not metrics_open) if serve_schema else None,
        signature_types=[Services, Exposition],
        **litestar_options(verifier=verifier, now=now, limiter=limiter, bodies=bodies, https=https),
    )
    edge = build_edge(
        litestar,
        new_id=new_id,
        ticks_s=ticks_s,
        cors_origins=cors_origins,
        hosts=hosts,
        https=https,
        layer=lambda app: PublishFastPath(
            app,
            services.publisher,
            verifier,
            limiter,
            bodies,
            path=f"{API}{EventController.path}",
            now=now,
            hosts=hosts,
        ),
        observe=exposition.observe_request,
        write_line=write_line,
    )
    fast_path = CachedFastPath(
        edge,
        services.views,
        verifier,
        limiter,
        now=now,
        ticks_s=ticks_s,
        cors=bool(cors_origins),
        hosts=hosts,
        https=https,
    )
    return Application(litestar, UnderRootPath(fast_path, root_path) if root_path else fast_path)
