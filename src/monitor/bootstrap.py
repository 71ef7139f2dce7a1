"""The composition root: settings into adapters, adapters into services, services into the app and the worker."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog
from litestar import Litestar

from monitor.adapters.clock import SystemClock
from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.egress.sender import AiohttpSender
from monitor.adapters.postgres.alert_queries import PostgresAlertQueries
from monitor.adapters.postgres.dashboard_queries import PostgresDashboardQueries
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.facts import PostgresFactLog
from monitor.adapters.postgres.folding import PostgresFolder
from monitor.adapters.postgres.housekeeping import PostgresHousekeeping
from monitor.adapters.postgres.listener import PostgresWakeups
from monitor.adapters.postgres.migrate import newest_revision
from monitor.adapters.postgres.partitions import Retention
from monitor.adapters.postgres.queries import PostgresQueries
from monitor.adapters.postgres.uow import PostgresUnitOfWork
from monitor.adapters.redis.bus import RedisFeedLog
from monitor.adapters.vault import KeyVault, WebhookKeys, sign_v1a
from monitor.cache import Cache, RedisCacheServer, Warmer
from monitor.catalogue import Catalogue
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent
from monitor.domain.lanes import LanePolicy
from monitor.domain.live.facts import told
from monitor.domain.services.deliver import DeliverConfig, Deliverer
from monitor.domain.services.feed import LiveFeed
from monitor.domain.services.measure import Measurer
from monitor.domain.services.publish import Publisher
from monitor.domain.services.registry import Registry
from monitor.domain.services.relay import Relay
from monitor.domain.services.triage import Triage
from monitor.domain.services.watch import Watcher
from monitor.domain.watching import WatchPolicy
from monitor.hearing import Hearing
from monitor.http import app as http_app
from monitor.http.keys import Key, KeyRing
from monitor.http.limits import LocalRateLimiter
from monitor.http.live import Hub, LiveEndpoint
from monitor.http.services import Services
from monitor.http.tokens import TokenPolicy, TokenVerifier
from monitor.log import is_console
from monitor.request_lines import RequestLines
from monitor.settings import JwtKey, Settings
from monitor.worker.delivering import DeliveryConfig, DeliveryWorker
from monitor.worker.periodic import Periodic

REFRESH_S = 2.0
"""How often revocations and the key file are read: a revoked token is refused everywhere within 5 s."""

FIGURES_S = 1.0
"""How often the live feed asks for new figures."""

WARM_S = 60.0
"""How often one process of all computes anew what the dashboard shows first."""

WATCH_S = 1.0
"""How often the workers ask which webhooks are due for a look, and what is to be told."""

SURVEY_S = 5.0

log = structlog.get_logger(__name__)


class Parts:
    """Everything a process is made of. Building it does no I/O but reading the key file; entering it opens pools."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.vault = KeyVault([(key.kid, key.decoded()) for key in settings.secrets.keys])
        self.database = Database(
            DatabaseConfig(
                dsn=settings.database_url or "",
                read_pool=settings.db.read_pool,
                write_pool=settings.db.write_pool,
                statement_timeout_ms=settings.db.statement_timeout_ms,
                acquire_timeout_s=settings.db.acquire_timeout_s,
            )
        )
        self.egress = EgressPolicy(
            profile=settings.egress.profile,
            allow_cidrs=settings.egress.allow_cidrs,
            self_hosts=settings.egress.self_hosts,
        )
        self.sender = AiohttpSender(self.egress)
        self.queries = PostgresQueries(self.database, self.vault)
        self.ring = KeyRing([_key(key) for key in jwt_keys(settings)])
        self.token_policy = token_policy(settings)
        self.alert_queries = PostgresAlertQueries(self.database)
        self.dashboards = PostgresDashboardQueries(self.database)
        server = RedisCacheServer(settings.redis_url) if settings.redis_url else None
        self.cache = Cache(self.clock, server=server)
        self.catalogue = Catalogue(self.cache, self.queries, self.dashboards, self.alert_queries)
        self.hearing = Hearing(self.cache, PostgresFactLog(self.database), self.clock)
        self.feed_log = self._feed_log()
        self.feed = LiveFeed(self.feed_log, now=self.clock.now, new_epoch=self._random_name)
        """Whoever runs the process runs it: the hub of a server, or a worker."""
        self.policy = LanePolicy()
        self.watch_policy = WatchPolicy()
        self.revoked: set[str] = set()
        self.cold = False
        """Set while a server that has just started fills its cache."""
        self._stack = AsyncExitStack()

    def unit_of_work(self) -> PostgresUnitOfWork:
        return PostgresUnitOfWork(self.database, self.vault, self.clock, self.hearing.hear)

    def _random_name(self) -> str:
        return self.clock.token_bytes(12).hex()

    def _feed_log(self) -> RedisFeedLog | None:
        if self.settings.redis_url is None:
            return None
        return RedisFeedLog(self.settings.redis_url, producer=self._random_name(), new_epoch=self._random_name)

    def canonical_url(self, url: str) -> str:
        """Return the one spelling of *url*. Raises ``UrlRefused``."""
        return parse_target(url, self.egress).url

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.database)
        await self._stack.enter_async_context(self.sender)
        await self._stack.enter_async_context(self.cache)
        await self._stack.enter_async_context(self.hearing)
        if self.feed_log is not None:
            await self._stack.enter_async_context(self.feed_log)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def refresh(self) -> None:
        """Read again what may change while the process runs: revocations and the key file."""
        self.revoked = await self.queries.revoked()
        if self.settings.jwt.keys_file:
            self.ring.replace([_key(key) for key in await asyncio.to_thread(jwt_keys, self.settings)])


def build_services(parts: Parts) -> Services:
    """Return what the routes call."""
    return Services(
        registry=Registry(
            parts.unit_of_work, parts.queries, parts.clock, WebhookKeys(parts.clock), parts.canonical_url
        ),
        publisher=Publisher(parts.unit_of_work, parts.clock),
        measurer=Measurer(parts.unit_of_work, parts.queries, parts.sender, parts.clock, sign_v1a, parts.policy),
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


def tell_feed(parts: Parts) -> None:
    """Have the live feed hear of what happens in this process."""

    async def tell(happened: Sequence[DomainEvent]) -> None:
        for event in happened:
            message = told(event)
            if message is None:
                continue
            data: Any = msgspec.structs.asdict(event)
            if message.view == "alert":
                data = await parts.alert_queries.alert(message.id)
            elif message.view == "anomaly":
                data = await parts.alert_queries.anomaly(message.id)
            parts.feed.publish(message.kind, data, message.webhook_id)

    parts.hearing.tell = tell


async def _figures_for_ever(parts: Parts) -> None:
    """Hand the newest figures to the live feed, when they change."""
    last = ""

    async def once() -> None:
        nonlocal last
        overview = await parts.catalogue.answer("overview")
        if overview.etag != last and not overview.stale:
            last = overview.etag
            parts.feed.metrics(overview.body)

    while True:
        await _logged(once, "figures_not_read")
        await asyncio.sleep(FIGURES_S)


def build_app(parts: Parts, *, owns_parts: bool = True) -> Litestar:
    """
    Return the ASGI application.

    Args:
        owns_parts: opens and closes *parts* with its lifespan; ``False`` if the caller does.
    """

    hub = build_hub(parts)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if owns_parts:
                await stack.enter_async_context(parts)
            beside = [
                asyncio.create_task(step(parts)) for step in (_refresh_for_ever, _warm_for_ever, _figures_for_ever)
            ]
            beside.append(asyncio.create_task(hub.run()))
            try:
                yield
            finally:
                hub.drain()
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

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
        LocalRateLimiter(per_s=http.rate_limit_per_s, burst=http.rate_burst, ticks_s=time.monotonic),
        feed,
        now=lambda: parts.clock.now().timestamp(),
        ticks_s=time.monotonic,
        new_id=request_ids(parts.clock),
        lifespan=[lifespan],
        cors_origins=http.cors_origins,
        https=http.hsts,
        metrics_open=http.metrics_open,
        write_line=request_lines(parts),
    )
    app.state.hub = hub
    return app


def request_ids(clock: SystemClock) -> Callable[[], str]:
    """Return what makes ids of requests: unique, and a tenth of the price of a UUID."""
    prefix, numbers = clock.token_bytes(10).hex(), itertools.count(1)
    return lambda: f"{prefix}{next(numbers):012x}"


def request_lines(parts: Parts) -> RequestLines | None:
    """Return what writes the request log; ``None`` leaves it to the general logger, for people who read along."""
    style = parts.settings.log
    if style.level not in {"debug", "info"} or is_console(style.format):
        return None
    return RequestLines(sys.stderr.buffer, lambda: parts.clock.now().timestamp())


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
    )


def build_periodic(parts: Parts) -> Periodic:
    """Return the jobs that run by the clock."""
    keeper = PostgresHousekeeping(
        parts.database, parts.vault, retention(parts.settings), parts.settings.retention.audit_d
    )
    watcher = Watcher(parts.unit_of_work, parts.clock, parts.watch_policy)
    relay = Relay(parts.unit_of_work, parts.clock)
    return Periodic(
        [
            (WATCH_S, watcher.tick),
            (SURVEY_S, watcher.survey),
            (WATCH_S, relay.publish),
            (3600.0, keeper.maintain_partitions),
            (600.0, keeper.purge),
            (600.0, keeper.reseal),
            (60.0, PostgresFolder(parts.database).fold),
        ]
    )


def retention(settings: Settings) -> Retention:
    """Return the retention that the settings ask for."""
    days = settings.retention
    return Retention(days.events_d, days.deliveries_d, days.attempts_d, days.minutes_d, days.hours_d, days.days_d)


def token_policy(settings: Settings) -> TokenPolicy:
    jwt = settings.jwt
    return TokenPolicy(jwt.issuer, jwt.audience, float(jwt.leeway_s), float(jwt.max_lifetime_s))


def jwt_keys(settings: Settings) -> list[JwtKey]:
    """Return the token keys from the settings or from their file. Raises ``OSError``, ``msgspec.DecodeError``."""
    if settings.jwt.keys_file is None:
        return list(settings.jwt.keys)
    return msgspec.json.decode(Path(settings.jwt.keys_file).read_bytes(), type=list[JwtKey])


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


async def _warm_for_ever(parts: Parts) -> None:
    """Fill the cache before anybody is sent here, and keep it filled."""
    warmer = Warmer(parts.cache, parts.catalogue.pinned(), tick_s=WARM_S)
    parts.cold = True
    while await warmer.warm():  # noqa: ASYNC110 - what is missing is tried again, there is nothing to wait for
        await asyncio.sleep(REFRESH_S)
    parts.cold = False
    while True:
        await asyncio.sleep(WARM_S)
        await _logged(warmer.tick, "warming_failed")


async def _refresh_for_ever(parts: Parts) -> None:
    while True:
        await _logged(parts.refresh, "refresh_failed")
        await asyncio.sleep(REFRESH_S)


async def _logged(step: Callable[[], Awaitable[object]], event: str) -> None:
    try:
        await step()
    except Unavailable as error:
        log.warning(event, detail=error.detail)
    except Exception:
        # The last good state stays in force; the next round tries again.
        log.exception(event)


def _key(key: JwtKey) -> Key:
    return Key(key.kid, key.alg, key.key)
