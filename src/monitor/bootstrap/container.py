"""Everything a process is made of: settings into adapters, wired to each other."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import msgspec
import structlog

from monitor.adapters.clock import SystemClock
from monitor.adapters.egress.guard import EgressPolicy, parse_target
from monitor.adapters.egress.jwks import HttpKeySource
from monitor.adapters.egress.sender import HttpSender
from monitor.adapters.egress.tls import tls_context
from monitor.adapters.postgres.engine import Database, DatabaseConfig
from monitor.adapters.postgres.maintenance.partitions import Retention
from monitor.adapters.postgres.queries.alerts import PostgresAlertQueries
from monitor.adapters.postgres.queries.dashboard import PostgresDashboardQueries
from monitor.adapters.postgres.queries.resources import PostgresQueries
from monitor.adapters.postgres.repositories.event_outbox import PostgresFactLog
from monitor.adapters.postgres.unit_of_work import PostgresUnitOfWork
from monitor.adapters.redis.feed_log import RedisFeedLog
from monitor.adapters.redis.rate_ledger import RedisRateLedger
from monitor.adapters.secret_box import KeyVault
from monitor.auth.jwks import ProviderKeys
from monitor.auth.keys import Key, KeyRing
from monitor.auth.tokens import TokenPolicy
from monitor.bootstrap.event_dispatch import Hearing
from monitor.cache import Cache, RedisCacheServer
from monitor.cache.views import Catalogue
from monitor.domain.alerts.evaluation import WatchPolicy
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.services.live_feed import LiveFeed
from monitor.settings.environment import weak_keys
from monitor.settings.schema import JwtKey, Settings

CLOSE_S = 10.0
"""How long closing may take; a few milliseconds, as a rule."""

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
        self.tls = outbound_tls(settings)
        self.sender = HttpSender(self.egress, tls=self.tls)
        self.queries = PostgresQueries(self.database, self.vault)
        self.ring = KeyRing([_key(key) for key in jwt_keys(settings)], alone=settings.jwt.jwks_url is None)
        self.provider_keys = self._provider_keys()
        """Whoever serves keeps them fresh."""
        self.token_policy = token_policy(settings)
        self.alert_queries = PostgresAlertQueries(self.database)
        self.dashboards = PostgresDashboardQueries(self.database)
        self._cache_server = RedisCacheServer(settings.redis_url) if settings.redis_url else None
        self.cache = Cache(self.clock, server=self._cache_server)
        self.catalogue = Catalogue(self.cache, self.queries, self.dashboards, self.alert_queries)
        self.hearing = Hearing(self.cache, PostgresFactLog(self.database), self.clock)
        self.feed_log = self._feed_log()
        self.rate_ledger = self._rate_ledger()
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

    def _rate_ledger(self) -> RedisRateLedger | None:
        if self.settings.redis_url is None:
            return None
        http = self.settings.http
        # Twice the burst: all of it, and as much again that processes admitted before they heard of each other.
        longest_s = 2 * http.rate_burst / http.rate_limit_per_s
        # What was counted under other limits means nothing under these.
        prefix = f"{{monitor:rate}}:{http.rate_limit_per_s:g}:{http.rate_burst}:"
        return RedisRateLedger(self.settings.redis_url, per_s=http.rate_limit_per_s, longest_s=longest_s, prefix=prefix)

    def _provider_keys(self) -> ProviderKeys | None:
        url = self.settings.jwt.jwks_url
        return None if url is None else ProviderKeys(self.ring, HttpKeySource(url, tls=self.tls))

    def canonical_url(self, url: str) -> str:
        """Return the one spelling of *url*. Raises ``UrlRefused``."""
        return parse_target(url, self.egress).url

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.database)
        await self._stack.enter_async_context(self.sender)
        if self._cache_server is not None:
            self._stack.push_async_callback(self._cache_server.close)
        await self._stack.enter_async_context(self.cache)
        await self._stack.enter_async_context(self.hearing)
        if self.feed_log is not None:
            await self._stack.enter_async_context(self.feed_log)
        if self.rate_ledger is not None:
            await self._stack.enter_async_context(self.rate_ledger)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._stack.aclose()
        except TimeoutError:
            # Nothing is lost by it: whoever ends must not wait for ever on what does not let go.
            log.exception("close_timed_out", after_s=CLOSE_S)

    async def refresh(self) -> None:
        """Read again what may change while the process runs: revocations and the key file."""
        self.revoked = await self.queries.revoked()
        if self.settings.jwt.keys_file:
            self.ring.replace([_key(key) for key in await asyncio.to_thread(jwt_keys, self.settings)])


def outbound_tls(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context of everything outbound. Raises ``ValueError`` for files that are no good."""
    egress = settings.egress
    return tls_context(
        ca_file=egress.ca_file, client_cert_file=egress.client_cert_file, client_key_file=egress.client_key_file
    )


def token_policy(settings: Settings) -> TokenPolicy:
    jwt = settings.jwt
    return TokenPolicy(jwt.issuer, jwt.audience, float(jwt.leeway_s), float(jwt.max_lifetime_s))


def jwt_keys(settings: Settings) -> list[JwtKey]:
    """
    Return the token keys from the settings or from their file.

    Raises:
        OSError, msgspec.DecodeError: the file cannot be read.
        ValueError: one of its keys is weak.
    """
    if settings.jwt.keys_file is None:
        return list(settings.jwt.keys)
    keys = msgspec.json.decode(Path(settings.jwt.keys_file).read_bytes(), type=list[JwtKey])
    if problems := weak_keys("MONITOR_JWT__KEYS_FILE", keys):
        raise ValueError(" ".join(problems))
    return keys


def retention(settings: Settings) -> Retention:
    """Return the retention that the settings ask for."""
    days = settings.retention
    return Retention(days.events_d, days.deliveries_d, days.attempts_d, days.minutes_d, days.hours_d, days.days_d)


def _key(key: JwtKey) -> Key:
    return Key(key.kid, key.alg, key.key)
