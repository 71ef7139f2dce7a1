"""The composition root: settings into adapters, adapters into services, services into the app and the worker."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from litestar import Litestar

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.folding import PostgresFolder
from monitor.adapters.postgres.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.listener import PostgresWakeups
from monitor.adapters.postgres.migrate import newest_revision
from monitor.adapters.vault import WebhookKeys, sign_v1a
from monitor.attempt_lines import AttemptLines
from monitor.background import (
    fetch_keys,
    fetch_keys_for_ever,
    figures_for_ever,
    refresh,
    refresh_for_ever,
    share_rates_for_ever,
    tell_feed,
    warm_for_ever,
)
from monitor.domain.errors import Unavailable
from monitor.domain.services.deliver import DeliverConfig, Deliverer
from monitor.domain.services.measure import Measurer
from monitor.domain.services.publish import Publisher
from monitor.domain.services.registry import Registry
from monitor.domain.services.relay import Relay
from monitor.domain.services.replay import Replayer
from monitor.domain.services.triage import Triage
from monitor.domain.services.watch import Watcher
from monitor.http import app as http_app
from monitor.http.limits import LocalRateLimiter
from monitor.http.live import Hub, LiveEndpoint
from monitor.http.services import Services
from monitor.http.shared_limits import SharedRateLimiter
from monitor.http.tokens import TokenVerifier
from monitor.log import is_console
from monitor.parts import Parts, retention
from monitor.request_lines import RequestLines
from monitor.worker.delivering import DeliveryConfig, DeliveryWorker
from monitor.worker.periodic import Periodic

WATCH_S = 1.0
"""How often the workers ask which webhooks are due for a look, and what is to be told."""

SURVEY_S = 5.0

log = structlog.get_logger(__name__)


def build_services(parts: Parts) -> Services:
    """Return what the routes call."""
    return Services(
        registry=Registry(
            parts.unit_of_work, parts.queries, parts.clock, WebhookKeys(parts.clock), parts.canonical_url
        ),
        publisher=Publisher(parts.unit_of_work, parts.clock),
        measurer=Measurer(parts.unit_of_work, parts.queries, parts.sender, parts.clock, sign_v1a, parts.policy),
        replayer=Replayer(parts.unit_of_work, parts.clock),
        triage=Triage(parts.unit_of_work, parts.queries, parts.alert_queries, parts.clock, parts.watch_policy.alert),
        queries=parts.queries,
        alert_queries=parts.alert_queries,
        dashboards=parts.dashboards,
        views=parts.catalogue,
        readiness=lambda: readiness(parts),
    )


def build_hub(parts: Parts) -> Hub:
    """Return the live feed's sockets."""

    async def snapshot() -> bytes:
        return (await parts.catalogue.answer("dashboard")).body

    hub = Hub(
        parts.feed,
        snapshot,
        now=lambda: parts.clock.now().timestamp(),
        is_revoked=lambda jti: jti in parts.revoked,
        max_per_user=parts.settings.ws.max_per_user,
    )
    parts.catalogue.sockets = lambda: hub.count
    tell_feed(parts)
    return hub


def build_app(parts: Parts, *, owns_parts: bool = True) -> Litestar:
    """
    Return the ASGI application.

    Args:
        owns_parts: opens and closes *parts* with its lifespan; ``False`` if the caller does.
    """

    hub = build_hub(parts)
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
            loops = (refresh_for_ever, warm_for_ever, figures_for_ever, fetch_keys_for_ever)
            beside = [asyncio.create_task(loop(parts)) for loop in loops]
            beside.append(asyncio.create_task(hub.run()))
            if isinstance(limiter, SharedRateLimiter):
                beside.append(asyncio.create_task(share_rates_for_ever(limiter)))
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
    feed = LiveEndpoint(
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
        feed,
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
    app.state.hub = hub
    return app


def build_limiter(parts: Parts) -> LocalRateLimiter:
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


def request_lines(parts: Parts) -> RequestLines | None:
    """Return what writes the request log; ``None`` leaves it to the general logger, for people who read along."""
    if not _logs_json(parts):
        return None
    return RequestLines(sys.stderr.buffer, lambda: parts.clock.now().timestamp())


def _logs_json(parts: Parts) -> bool:
    style = parts.settings.log
    return style.level in {"debug", "info"} and not is_console(style.format)


def build_worker(parts: Parts, *, name: str) -> DeliveryWorker:
    """Return the delivery worker called *name*."""
    worker = parts.settings.worker
    deliverer = Deliverer(
        parts.unit_of_work,
        parts.queries,
        parts.sender,
        parts.clock,
        sign_v1a,
        DeliverConfig(worker=name, lease_s=worker.lease_s, policy=parts.policy),
    )
    return DeliveryWorker(
        deliverer,
        PostgresWakeups(parts.database),
        DeliveryConfig(
            concurrency=worker.concurrency,
            backlog=worker.concurrency * 10,
            poll_s=worker.poll_s,
            renew_s=worker.renew_s,
            drain_s=worker.drain_s,
        ),
        log_attempts=AttemptLines(sys.stderr.buffer, parts.clock.now) if _logs_json(parts) else None,
    )


def build_periodic(parts: Parts) -> Periodic:
    """Return the jobs that run by the clock."""
    days = parts.settings.retention
    keeper = PostgresHousekeeping(
        parts.database, parts.vault, retention(parts.settings), audit_d=days.audit_d, alerts_d=days.alerts_d
    )
    watcher = Watcher(parts.unit_of_work, parts.clock, parts.watch_policy)
    relay = Relay(parts.unit_of_work, parts.clock)
    return Periodic(
        [
            (WATCH_S, watcher.tick),
            (SURVEY_S, watcher.survey),
            (WATCH_S, relay.run),
            (WATCH_S, Replayer(parts.unit_of_work, parts.clock).run),
            (3600.0, keeper.maintain_partitions),
            (600.0, keeper.purge),
            (600.0, keeper.reseal),
            (60.0, PostgresFolder(parts.database).fold),
        ]
    )


async def readiness(parts: Parts) -> list[str]:
    """Return what keeps this process from serving, one line each."""
    try:
        revision = await parts.queries.revision()
    except Unavailable as error:
        return [error.detail]
    newest = newest_revision()
    if revision != newest:
        return [f"The database schema is {revision or 'missing'}, this version needs {newest}; run `monitor migrate`."]
    return ["The cache is being filled; try again in a moment."] if parts.cold else []
