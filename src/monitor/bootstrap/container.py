"""Container: everything that one process owns, built from its settings by constructor arguments."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

import structlog
from asyncpg.pgproto import pgproto

from monitor.adapters.clock import SystemClock
from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.egress.jwks import HttpKeySource
from monitor.adapters.postgres.clock_watch import ClockWatch
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.identity import database_identity, database_incarnation
from monitor.adapters.postgres.key_watch import KeyWatch
from monitor.adapters.postgres.queries.alerts import PostgresAlertQueries
from monitor.adapters.postgres.queries.dashboard import PostgresDashboardQueries
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.queries.system import PostgresSystemQueries
from monitor.adapters.postgres.replica import ReplicaReads
from monitor.adapters.postgres.repositories.event_outbox import PostgresEventOutbox
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.redis.endpoint import endpoint
from monitor.adapters.redis.feed_log import PREFIX as FEED_PREFIX
from monitor.adapters.redis.feed_log import RedisFeedLog
from monitor.adapters.redis.namespace import RedisNamespace
from monitor.adapters.redis.rate_ledger import RedisRateLedger
from monitor.adapters.secret_box import SecretBox, derived_key
from monitor.auth.jwks import ProviderKeys
from monitor.auth.keys import KeyRing
from monitor.bootstrap.mail import mail_server
from monitor.bootstrap.outbound import outbound_tls
from monitor.bootstrap.senders import build_sender
from monitor.bootstrap.subscribers import invalidator, is_live, live_publisher
from monitor.bootstrap.supervise import Loop, Supervisor
from monitor.bootstrap.token_keys import jwt_keys, token_policy
from monitor.bootstrap.tracing import process_tracing
from monitor.cache import Cache, RedisCacheServer
from monitor.cache.redis_server import PREFIX as CACHE_PREFIX
from monitor.cache.views import CachedViews
from monitor.domain.alerts import AlertPolicy
from monitor.domain.alerts.action_links import ActionLinks
from monitor.domain.alerts.evaluation import DetectionPolicy
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.errors import Unavailable, UrlRefused
from monitor.domain.events import DomainEvent
from monitor.domain.live import Stream
from monitor.domain.monitoring.metrics import DAY_S
from monitor.domain.services.event_dispatch import EventDispatcher
from monitor.domain.services.live_feed import LiveFeed
from monitor.domain.webhooks.mail_url import canonical_mail_url, is_mail_url
from monitor.http.live import Hub
from monitor.http.live.frames import encode_entry
from monitor.http.middleware.rate_limit import LocalRateLimiter
from monitor.http.middleware.shared_rate_limit import SharedRateLimiter
from monitor.log import LogStream, line_log
from monitor.settings.schema import Settings

CLOSE_S = 10.0
"""How long closing may take; a few milliseconds, as a rule."""

log = structlog.get_logger(__name__)


class Container:
    """
    Everything that one process owns. Building it does no I/O but reading the key file; entering it opens pools.

    Args:
        command: the one that runs.
        serves: the process answers the API and live feeds; a worker does not.
        stream: what :func:`monitor.log.configure` returned.
    """

    def __init__(
        self, settings: Settings, *, command: str = "serve", serves: bool = True, stream: LogStream | None = None
    ) -> None:
        self.settings = settings
        self.log_stream = stream or LogStream(sys.stderr.buffer)
        self.lines = line_log(self.log_stream, settings.log.level, settings.log.format)
        # The driver's subclass costs a sixth of a UUID of the standard library to make, and less to store.
        self.clock = SystemClock(pgproto.UUID)
        self.supervisor = Supervisor()
        self.policy = LanePolicy()
        self.detection_policy = DetectionPolicy(alert=AlertPolicy(events_kept_s=self.events_kept_s))
        self.revoked: set[str] | None = None
        """Ids of revoked tokens; ``None`` before the first read."""
        self.secret_box = SecretBox([(key.kid, key.decoded()) for key in settings.secrets.keys])
        self.action_links = _action_links(settings)
        self.database = Database(_database_config(settings, command))
        self.clock_watch = ClockWatch(self.database, self.clock)
        self.key_watch = KeyWatch(self.database, self.secret_box)
        self.replica = _replica(settings, self.database) if serves else None
        self.queries = PostgresQueries(
            self.database, self.secret_box, self.replica, events_kept_s=self.events_kept_s, health=self.policy.health
        )
        self.alert_queries = PostgresAlertQueries(self.database, self.replica)
        self.dashboards = PostgresDashboardQueries(self.database, self.replica)
        self.system = PostgresSystemQueries(self.database, self.replica)
        self.egress = EgressPolicy(
            profile=settings.egress.profile,
            allow_cidrs=settings.egress.allow_cidrs,
            self_hosts=settings.egress.self_hosts,
        )
        tls = outbound_tls(settings)
        self.sender = build_sender(settings, self.egress, tls)
        key_wanted = asyncio.Event()
        self.ring = KeyRing(jwt_keys(settings), alone=settings.jwt.jwks_url is None, on_unknown=key_wanted.set)
        self.provider_keys = _provider_keys(settings, self.ring, key_wanted, tls)
        self.token_policy = token_policy(settings)
        self.namespace = self._namespace() if settings.redis_url else None
        self.cache_server = self._cache_server()
        self.cache = Cache(self.clock, server=self.cache_server, supervise=self.supervisor.start)
        self.feed_log = self._feed_log()
        self.views = CachedViews(
            self.cache,
            self.queries,
            self.dashboards,
            self.alert_queries,
            sockets=lambda: self.hub.count if serves else None,
        )
        feed_stream = Stream(self._random_name(), encode_entry)
        self.hub = Hub(
            feed_stream,
            self._snapshot,
            now=self.unix_s,
            is_revoked=self.is_revoked,
            holds_key=self.ring.holds,
            max_per_user=settings.ws.max_per_user,
        )
        self.feed = LiveFeed(
            self.feed_log,
            feed_stream,
            self.hub if serves else None,
            now=self.clock.now,
            new_epoch=self._random_name,
            on_disconnected=lambda error: log.warning("live_feed_disconnected", detail=error.detail),
        )
        self.has_feed = serves or self.feed_log is not None
        self.dispatcher = EventDispatcher(
            PostgresEventOutbox(self.database),
            self.clock,
            invalidate=invalidator(self.cache),
            publish=live_publisher(self.feed, self.alert_queries) if self.has_feed else None,
            on_undelivered=self._reset_feed,
            on_error=_log_dispatch_error,
        )
        self.tracing = process_tracing(settings)
        self.rate_ledger = self._rate_ledger()
        self.limiter = self._limiter(self.rate_ledger)
        self._stack = AsyncExitStack()

    # Functions that others take as arguments -------------------------------------------------------------------------

    @property
    def events_kept_s(self) -> float:
        return self.settings.retention.events_d * DAY_S

    @property
    def deliveries_kept_s(self) -> float:
        return self.settings.retention.deliveries_d * DAY_S

    def unit_of_work(self) -> PostgresUnitOfWork:
        return PostgresUnitOfWork(self.database, self.secret_box, self.clock, self.dispatcher.dispatch)

    def unix_s(self) -> float:
        return self.clock.unix_s()

    def is_revoked(self, jti: str) -> bool:
        """Whether the token is revoked. Raises ``Unavailable`` until that was read once: no token is taken on trust."""
        if self.revoked is None:
            raise Unavailable("The revoked tokens could not be read yet, so none is accepted; try again in a moment.")
        return jti in self.revoked

    def canonical_url(self, url: str) -> str:
        """Return the one spelling of *url*. Raises ``UrlRefused``."""
        if is_mail_url(url):
            canonical = canonical_mail_url(url)
            if mail_server(self.settings) is None:
                raise UrlRefused("set MONITOR_SMTP__HOST and MONITOR_SMTP__FROM to send e-mail", reason="mail_settings")
            return canonical
        return parse_target(url, self.egress).url

    def request_ids(self) -> Callable[[], str]:
        """Return a function that makes request ids: unique, at a tenth of the cost of a UUID."""
        prefix, numbers = self.clock.token_bytes(10).hex(), itertools.count(1)
        return lambda: f"{prefix}{next(numbers):012x}"

    # Life ------------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        stack = self._stack
        if self.tracing is not None:
            # Closed last, when the spans of all attempts have ended.
            stack.push_async_callback(self.tracing.aclose)
        await stack.enter_async_context(self.database)
        loops: dict[str, Loop] = {}
        if self.database.has_failover_hosts:
            loops["database_hosts"] = self.database.follow_failovers
        if self.replica is not None:
            await stack.enter_async_context(self.replica)
            loops["replica"] = self.replica.loop
        await stack.enter_async_context(self.supervisor.running(loops))
        await stack.enter_async_context(self.sender)
        if self.namespace is not None and not await self.namespace.learn():
            learning = {"redis.namespace": self.namespace.learn_loop}
            await stack.enter_async_context(self.supervisor.running(learning))
        if self.cache_server is not None:
            stack.push_async_callback(self.cache_server.close)
        await stack.enter_async_context(self.cache)
        stack.push_async_callback(self.dispatcher.close)
        if self.feed_log is not None:
            await stack.enter_async_context(self.feed_log)
        if self.rate_ledger is not None:
            await stack.enter_async_context(self.rate_ledger)
        await stack.enter_async_context(self.supervisor.running({"event_dispatch.sweep": self.dispatcher.sweep_loop}))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._stack.aclose()
        except TimeoutError:
            # Nothing is lost: leases run out, events stay in the outbox.
            log.exception("close_timed_out", after_s=CLOSE_S)
        self.lines.flush()

    async def read_revocations(self) -> None:
        """Read the revoked tokens again. Raises ``Unavailable``."""
        self.revoked = await self.queries.revoked()

    async def read_key_file(self) -> None:
        """
        Read the token keys again, if a file holds them. What was read last stays in force if that fails.

        Raises:
            ValueError: its keys cannot be used.
        """
        if self.settings.jwt.keys_file:
            self.ring.replace(await asyncio.to_thread(jwt_keys, self.settings))

    # Parts -----------------------------------------------------------------------------------------------------------

    async def _snapshot(self) -> bytes:
        return await self.views.current("dashboard")

    def _reset_feed(self, undelivered: Sequence[DomainEvent]) -> None:
        if any(is_live(event) for event in undelivered):
            log.warning("live_feed_reset", undelivered=len(undelivered))
            self.feed.reset()

    def _on_set_back(self) -> None:
        # Sockets that resume would get messages of a future that is gone.
        self.feed.reset()

    def _random_name(self) -> str:
        return self.clock.token_bytes(12).hex()

    def _namespace(self) -> RedisNamespace:
        return RedisNamespace(partial(database_identity, self.database), partial(database_incarnation, self.database))

    def _cache_server(self) -> RedisCacheServer | None:
        if self.settings.redis_url is None or self.namespace is None:
            return None
        prefix = self.namespace.prefix(CACHE_PREFIX)
        at = endpoint(self.settings.redis_url, prefix)
        return RedisCacheServer(
            at.url,
            prefix=prefix,
            options=at.options,
            find_s=at.find_s,
            handshake_s=at.handshake_s,
            incarnation=self.namespace.incarnation,
            on_set_back=self._on_set_back,
        )

    def _feed_log(self) -> RedisFeedLog | None:
        if self.settings.redis_url is None or self.namespace is None:
            return None
        return RedisFeedLog(
            self.settings.redis_url,
            producer=self._random_name(),
            new_epoch=self._random_name,
            now=self.clock.now,
            prefix=self.namespace.prefix(FEED_PREFIX),
        )

    def _rate_ledger(self) -> RedisRateLedger | None:
        if self.settings.redis_url is None or self.namespace is None:
            return None
        http = self.settings.http
        return RedisRateLedger(
            self.settings.redis_url,
            per_s=http.rate_limit_per_s,
            # All of the burst, and as much again that processes admitted before exchanging counts.
            longest_s=2 * http.rate_burst / http.rate_limit_per_s,
            # Counts under other limits are meaningless under these.
            prefix=self.namespace.prefix(f"{{monitor:rate:*}}:{http.rate_limit_per_s:g}:{http.rate_burst}:"),
        )

    def _limiter(self, ledger: RedisRateLedger | None) -> LocalRateLimiter:
        """Return the rate limiter of callers: over all processes where a Redis is shared."""
        http = self.settings.http
        per_s, burst = http.rate_limit_per_s, http.rate_burst
        if ledger is None:
            return LocalRateLimiter(per_s=per_s, burst=burst, ticks_s=time.monotonic)
        return SharedRateLimiter(ledger, per_s=per_s, burst=burst, ticks_s=time.monotonic)


def _database_config(settings: Settings, command: str) -> DatabaseConfig:
    return DatabaseConfig(
        dsn=settings.database_url or "",
        read_pool=settings.db.read_pool,
        write_pool=settings.db.write_pool,
        statement_timeout_ms=settings.db.statement_timeout_ms,
        acquire_timeout_s=settings.db.acquire_timeout_s,
        command=command,
        direct_dsn=settings.db.direct_url,
    )


def _replica(settings: Settings, database: Database) -> ReplicaReads | None:
    return None if settings.db.read_url is None else ReplicaReads(database, settings.db.read_url)


def _action_links(settings: Settings) -> ActionLinks | None:
    """Return what makes and reads the links in messages; ``None`` if there are to be none."""
    if settings.public_url is None or not settings.alerts.action_links:
        return None
    keys = tuple(derived_key(key.decoded(), "action links") for key in settings.secrets.keys)
    return ActionLinks(settings.public_url, keys)


def _provider_keys(
    settings: Settings, ring: KeyRing, wanted: asyncio.Event, tls: ssl.SSLContext
) -> ProviderKeys | None:
    url = settings.jwt.jwks_url
    return None if url is None else ProviderKeys(ring, HttpKeySource(url, tls=tls), wanted)


def _log_dispatch_error(event: str, error: Exception) -> None:
    log.warning(event, detail=str(error), exc_info=not isinstance(error, Unavailable))
