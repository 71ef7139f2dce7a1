"""Builds the ASGI application of a serving process."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from litestar import Litestar
from litestar.types import ASGIApp

from monitor.adapters.key_factory import WebhookKeyFactory, sign_v1a
from monitor.adapters.postgres.migrate import schema_problem
from monitor.adapters.postgres.peers import warn_of_missing_redis
from monitor.adapters.postgres.schema import stored_schema
from monitor.adapters.recurrences import expand
from monitor.auth.tokens import TokenVerifier
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import CacheWarming, fetch_keys, first_revocations, server_loops
from monitor.domain.errors import Unavailable
from monitor.domain.services.action_links import LinkCommands
from monitor.domain.services.alert_details import AlertDetails
from monitor.domain.services.alerts import AlertCommands
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.backlogs import BacklogCommands
from monitor.domain.services.bulk import BulkCommands
from monitor.domain.services.exchanges import ExchangeReader
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.publish import Publisher
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.resends import ResendCommands
from monitor.domain.services.silences import SilenceCommands
from monitor.domain.services.tokens import TokenCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.http import app as http_app
from monitor.http import probes
from monitor.http.live import LiveEndpoint
from monitor.http.metrics import GroupMetrics
from monitor.http.middleware.access_log import access_log
from monitor.http.middleware.body_budget import BodyBudget
from monitor.http.middleware.stack import Application
from monitor.http.requests.hosts import LOOPBACK_NAMES, ServedHosts
from monitor.http.routes.prometheus import Exposition, WorkerReport
from monitor.http.routes.services import Services
from monitor.settings.schema import Http, Settings

FEED_OPENED_S = 2.0
"""How long a start waits for the log of the live feed; without it, sockets begin with snapshots."""


def build_services(container: Container, warming: CacheWarming | None = None) -> Services:
    """Return what the routes call."""
    c = container
    return Services(
        registry=WebhookCommands(
            c.unit_of_work,
            c.queries,
            c.clock,
            WebhookKeyFactory(c.clock),
            c.canonical_url,
            events_kept_s=c.events_kept_s,
        ),
        publisher=Publisher(c.unit_of_work, c.clock, c.tracing),
        measurer=AttemptRecorder(
            c.unit_of_work, c.queries, c.sender, c.clock, sign_v1a, c.policy, c.settings.public_url
        ),
        exchanges=ExchangeReader(c.queries, sign_v1a, c.action_links),
        replayer=ReplayCommands(c.unit_of_work, c.clock, deliveries_kept_s=c.deliveries_kept_s),
        resender=ResendCommands(c.unit_of_work, c.clock),
        jobs=JobCommands(c.unit_of_work),
        bulk=BulkCommands(c.unit_of_work, c.clock),
        backlogs=BacklogCommands(c.unit_of_work, c.clock),
        tokens=TokenCommands(c.unit_of_work, kept_s=c.token_policy.revocation_s),
        triage=AlertCommands(c.unit_of_work, c.queries, c.alert_queries, c.detection_policy.alert),
        silencer=SilenceCommands(c.unit_of_work, c.queries, c.alert_queries, c.clock, expand),
        queries=c.queries,
        alert_queries=c.alert_queries,
        alert_details=AlertDetails(c.queries, c.alert_queries),
        dashboards=c.dashboards,
        system=c.system,
        views=c.views,
        readiness=lambda: readiness(c, warming),
    )


def build_app(
    container: Container,
    *,
    owns_container: bool = True,
    hosts: ServedHosts | None = None,
    worker_report: WorkerReport | None = None,
    group: GroupMetrics | None = None,
) -> Application:
    """
    Return the ASGI application.

    Args:
        owns_container: opens and closes *container* with its lifespan; ``False`` if the caller does.
        hosts: by which clients may reach it; those of the settings by default, or all.
        worker_report: figures of the worker in the same process, if there is one.
        group: metrics of the other processes behind the same socket, if there are any.
    """
    c, http = container, container.settings.http
    warming = CacheWarming(c)
    exposition = Exposition(
        c.supervisor,
        c.log_stream,
        c.database,
        cache=c.cache.stats,
        hub=c.hub.status,
        worker=worker_report,
        replica=c.replica,
        group=group,
    )
    hosts = hosts or served_hosts(c.settings)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if owns_container:
                await stack.enter_async_context(c)
            # Before the first request: a revoked token must not be good once more, and without the provider's keys the
            # first callers would be refused.
            await first_revocations(c)
            await fetch_keys(c)
            await c.clock_watch.measure()
            await c.key_watch.measure()
            if c.settings.redis_url is None:
                await warn_of_missing_redis(c.database)
            stack.callback(exposition.share)
            loops = {**server_loops(c, warming)}
            if group is not None:
                loops["metrics.share"] = exposition.share_loop
            await stack.enter_async_context(c.supervisor.running(loops))
            await c.feed.opened(FEED_OPENED_S)
            stack.callback(c.lines.flush)
            stack.callback(c.hub.drain)
            yield

    verifier = TokenVerifier(c.ring, c.token_policy, is_revoked=c.is_revoked)
    feed = LiveEndpoint(
        c.hub,
        verifier,
        now=c.unix_s,
        new_id=c.request_ids(),
        allowed_origins=c.settings.ws.allowed_origins,
        hosts=hosts,
        https=http.hsts,
    )
    services = build_services(c, warming)
    links = None
    if c.action_links is not None:
        links = LinkCommands(c.unit_of_work, services.triage, services.silencer, c.action_links)
    return http_app.build(
        services,
        verifier,
        c.limiter,
        feed,
        bodies=BodyBudget(subject_bytes=http.subject_body_bytes, process_bytes=http.process_body_bytes),
        cache_report=c.cache.stats,
        hub_status=c.hub.status,
        task_report=c.supervisor,
        exposition=exposition,
        has_redis=c.settings.redis_url is not None,
        replica_report=c.replica,
        retention_d=msgspec.structs.asdict(c.settings.retention),
        now=c.unix_s,
        ticks_s=time.monotonic,
        new_id=c.request_ids(),
        lifespan=[lifespan],
        links=links,
        cors_origins=http.cors_origins,
        hosts=hosts,
        https=http.hsts,
        root_path=http.root_path,
        metrics_open=http.metrics_open,
        metrics_per_webhook=c.settings.metrics.per_webhook,
        serve_schema=http.serve_schema,
        write_line=access_log(c.lines, c.unix_s),
    )


def build_exposition(container: Container, worker_report: WorkerReport, group: GroupMetrics | None) -> Exposition:
    """Return the metrics of a worker, among those of the other processes of its *group*, if there are any."""
    c = container
    return Exposition(c.supervisor, c.log_stream, c.database, worker=worker_report, group=group)


def build_probes(container: Container, exposition: Exposition) -> ASGIApp:
    """Return the application with the probes and metrics of a worker."""
    c = container
    return probes.build(
        exposition,
        lambda: readiness(c),
        new_id=c.request_ids(),
        ticks_s=time.monotonic,
        write_line=access_log(c.lines, c.unix_s),
    )


def served_hosts(settings: Settings, host: str = "", addresses: Iterable[str] = ()) -> ServedHosts:
    """
    Return the hosts that are served: the configured ones, else the own names where these are known, else all. They are
    known of a process that listens on loopback alone, unless it is behind a proxy, which has a name of its own.

    Args:
        host: what the process is to listen on.
        addresses: what it listens on.
    """
    addresses = tuple(addresses)
    is_local = bool(addresses) and all(ipaddress.ip_address(address).is_loopback for address in addresses)
    if settings.http.allowed_hosts or settings.http.hsts or not is_local:
        return ServedHosts(settings.http.allowed_hosts)
    return ServedHosts((*LOOPBACK_NAMES, *filter(None, (host,)), *addresses, *settings.egress.self_hosts))


def http_bounds(http: Http) -> dict[str, float]:
    """Return the configured bounds of a connection, for :class:`~monitor.http.server.server.Server`."""
    return {"body_bytes_per_s": http.body_bytes_per_s, "max_connections": http.max_connections}


async def readiness(container: Container, warming: CacheWarming | None = None) -> list[str]:
    """Return what keeps this process from serving, one line each."""
    try:
        schema = await stored_schema(container.database)
        read_only = await container.queries.is_read_only()
    except Unavailable as error:
        return [error.detail]
    if read_only:
        return ["The database is read-only, so nothing can be accepted or delivered."]
    if problem := schema_problem(schema):
        return [problem]
    if warming is not None and container.revoked is None:
        return ["The revoked tokens have not been read yet, so no token is accepted."]
    if warming is not None and warming.is_cold:
        return ["The cache is being filled; try again in a moment."]
    return [
        *container.clock_watch.problems(),
        *container.key_watch.problems(),
        *container.supervisor.problems(),
    ]
