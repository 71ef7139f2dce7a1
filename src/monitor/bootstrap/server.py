"""The composition root: settings into adapters, adapters into services, services into the app and the worker."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from litestar import Litestar

from monitor.adapters.clock import SystemClock
from monitor.adapters.key_factory import WebhookKeyFactory, sign_v1a
from monitor.adapters.postgres.migrate import newest_revision
from monitor.auth.tokens import TokenVerifier
from monitor.bootstrap.container import Container
from monitor.bootstrap.loops import (
    fetch_keys,
    fetch_keys_loop,
    metrics_loop,
    refresh,
    refresh_loop,
    restart_forever,
    share_rates_loop,
    tell_feed,
    warm_loop,
)
from monitor.domain.errors import Unavailable
from monitor.domain.services.alerts import AlertCommands
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.publish import Publisher
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.http import app as http_app
from monitor.http.live import Hub, LiveEndpoint
from monitor.http.middleware.access_log import AccessLogWriter
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.shared_rate_limit import SharedRateLimiter
from monitor.http.middleware.stack import Application
from monitor.http.routes.services import Services
from monitor.log import is_console

log = structlog.get_logger(__name__)


def build_services(parts: Container) -> Services:
    """Return what the routes call."""
    return Services(
        registry=WebhookCommands(
            parts.unit_of_work, parts.queries, parts.clock, WebhookKeyFactory(parts.clock), parts.canonical_url
        ),
        publisher=Publisher(parts.unit_of_work, parts.clock),
        measurer=AttemptRecorder(parts.unit_of_work, parts.queries, parts.sender, parts.clock, sign_v1a, parts.policy),
        replayer=ReplayCommands(parts.unit_of_work, parts.clock),
        triage=AlertCommands(
            parts.unit_of_work, parts.queries, parts.alert_queries, parts.clock, parts.watch_policy.alert
        ),
        queries=parts.queries,
        alert_queries=parts.alert_queries,
        dashboards=parts.dashboards,
        views=parts.catalogue,
        readiness=lambda: readiness(parts),
    )


def build_hub(parts: Container) -> Hub:
    """Return the live feed's sockets."""

    async def snapshot() -> bytes:
        return (await parts.catalogue.answer("dashboard")).body

    hub = Hub(
        parts.stream,
        snapshot,
        now=lambda: parts.clock.now().timestamp(),
        is_revoked=lambda jti: jti in parts.revoked,
        max_per_user=parts.settings.ws.max_per_user,
    )
    parts.catalogue.sockets = lambda: hub.count
    return hub


@dataclass(frozen=True)
class ServerApp:
    """The ASGI application, and the hub of its sockets."""

    asgi: Application
    hub: Hub


def build_app(parts: Container, *, owns_parts: bool = True) -> ServerApp:
    """
    Return the ASGI application.

    Args:
        owns_parts: opens and closes *parts* with its lifespan; ``False`` if the caller does.
    """

    hub = build_hub(parts)
    feed = parts.build_feed(hub)
    tell_feed(parts, feed)
    limiter = build_limiter(parts)
    lines = request_lines(parts)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if owns_parts:
                await stack.enter_async_context(parts)
            # Before anybody is let in, or a token that was revoked would be good once more.
            await refresh(parts)
            # Else the first callers would be refused, or, with a provider that is away, wait for ever.
            await fetch_keys(parts)
            loops = (refresh_loop, warm_loop, fetch_keys_loop)
            beside = [asyncio.create_task(loop(parts)) for loop in loops]
            beside.append(asyncio.create_task(metrics_loop(parts, hub)))
            restartable = hub.loops() | feed.loops()
            beside += [asyncio.create_task(restart_forever(name, loop)) for name, loop in restartable.items()]
            if isinstance(limiter, SharedRateLimiter):
                beside.append(asyncio.create_task(share_rates_loop(limiter)))
            try:
                yield
            finally:
                hub.drain()
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                if lines is not None:
                    lines.flush()

    http = parts.settings.http
    verifier = TokenVerifier(parts.ring, parts.token_policy, is_revoked=lambda jti: jti in parts.revoked)
    endpoint = LiveEndpoint(
        hub,
        verifier,
        now=lambda: parts.clock.now().timestamp(),
        new_id=request_ids(parts.clock),
        allowed_origins=parts.settings.ws.allowed_origins,
        https=http.hsts,
    )
    app = http_app.build(
        build_services(parts),
        verifier,
        limiter,
        endpoint,
        cache_report=parts.cache.stats,
        hub_status=hub.status,
        now=lambda: parts.clock.now().timestamp(),
        ticks_s=time.monotonic,
        new_id=request_ids(parts.clock),
        lifespan=[lifespan],
        cors_origins=http.cors_origins,
        https=http.hsts,
        metrics_open=http.metrics_open,
        write_line=lines,
    )
    return ServerApp(app, hub)


def build_limiter(parts: Container) -> LocalRateLimiter:
    """Return what holds callers to their rate: over all processes where they share a Redis."""
    http = parts.settings.http
    if parts.rate_ledger is None:
        return LocalRateLimiter(per_s=http.rate_limit_per_s, burst=http.rate_burst, ticks_s=time.monotonic)
    return SharedRateLimiter(
        parts.rate_ledger, per_s=http.rate_limit_per_s, burst=http.rate_burst, ticks_s=time.monotonic
    )


def request_ids(clock: SystemClock) -> Callable[[], str]:
    """Return what makes ids of requests: unique, and a tenth of the price of a UUID."""
    prefix, numbers = clock.token_bytes(10).hex(), itertools.count(1)
    return lambda: f"{prefix}{next(numbers):012x}"


def request_lines(parts: Container) -> AccessLogWriter | None:
    """Return what writes the request log; ``None`` leaves it to the general logger, for people who read along."""
    if not _logs_json(parts):
        return None
    return AccessLogWriter(sys.stderr.buffer, lambda: parts.clock.now().timestamp())


def _logs_json(parts: Container) -> bool:
    style = parts.settings.log
    return style.level in {"debug", "info"} and not is_console(style.format)


async def readiness(parts: Container) -> list[str]:
    """Return what keeps this process from serving, one line each."""
    try:
        revision = await parts.queries.revision()
    except Unavailable as error:
        return [error.detail]
    newest = newest_revision()
    if revision != newest:
        return [f"The database schema is {revision or 'missing'}, this version needs {newest}; run `monitor migrate`."]
    return ["The cache is being filled; try again in a moment."] if parts.cold else []
