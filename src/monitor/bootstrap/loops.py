"""Loops of a serving process: keys and revocations stay fresh, the cache warm, the live feed's metrics current."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping

import structlog

from monitor.bootstrap.container import Container
from monitor.bootstrap.supervise import Loop
from monitor.cache import Warmer
from monitor.domain.errors import Unavailable
from monitor.http.middleware.shared_rate_limit import REPORT_S, SharedRateLimiter

REFRESH_S = 2.0
"""How often revocations and the key file are read: a revoked token, or one with a removed key, is refused
everywhere within 5 s, and its live feeds are closed."""

METRICS_S = 1.0
"""How often the live feed reads new metrics."""

WARM_S = 30.0
"""How often one process of all computes the first views of the dashboard again: before their expiry."""

log = structlog.get_logger(__name__)


def freeze_gc() -> None:
    """
    Keep what start-up made out of garbage collections. Going through it again and again took a third of a worker, and
    a tenth of a second at a time from a server's callers.
    """
    gc.collect()
    gc.freeze()


class CacheWarming:
    """Warming of the cache. ``is_cold`` from the first start of the loop until every pinned view was computed once."""

    def __init__(self, container: Container) -> None:
        self.is_cold = False
        self._was_warm = False
        self._warmer = Warmer(container.cache, container.views.pinned(), tick_s=WARM_S, spread_s=WARM_S / 4)

    async def loop(self) -> None:
        self.is_cold = not self._was_warm
        while self.is_cold:
            if await self._warmer.warm():
                await asyncio.sleep(REFRESH_S)
            else:
                self._was_warm, self.is_cold = True, False
        while True:
            await asyncio.sleep(WARM_S)
            await postponed(self._warmer.tick, "warming_failed")


def server_loops(container: Container, warming: CacheWarming) -> Mapping[str, Loop]:
    """Return the loops of a serving process by name, those of the live feed included."""
    loops: dict[str, Loop] = {
        # Apart, so that neither an outage of the database nor a damaged file keeps the other from being read.
        "access_refresh": lambda: _every(REFRESH_S, lambda: read_revocations(container)),
        "key_file": lambda: _every(REFRESH_S, container.read_key_file),
        "cache_warming": warming.loop,
        "clock": container.clock_watch.loop,
        "encryption_keys": container.key_watch.loop,
        "live_feed.metrics": lambda: _metrics_loop(container),
        **container.hub.loops(),
        **container.feed.loops(),
    }
    if container.provider_keys is not None:
        loops["jwks_refresh"] = lambda: _fetch_keys_loop(container)
    limiter = container.limiter
    if isinstance(limiter, SharedRateLimiter):
        loops["rate_limit_sync"] = lambda: _share_rates_loop(limiter)
    return loops


async def read_revocations(container: Container) -> None:
    """Read the revoked tokens once. What was read last stays in force if that fails."""
    await postponed(container.read_revocations, "refresh_failed")


async def first_revocations(container: Container) -> None:
    """Do the first :func:`read_revocations` of a process. Until one has succeeded, no token is accepted."""
    try:
        await read_revocations(container)
    except Exception:
        # The process starts all the same: its loop tries again, under supervision.
        log.exception("refresh_failed")


async def fetch_keys(container: Container) -> None:
    """Fetch the identity provider's keys once, if there is one: within seconds, also when it does not answer."""
    if container.provider_keys is not None:
        await postponed(container.provider_keys.refresh, "jwks_failed")


async def postponed(step: Callable[[], Awaitable[object]], event: str) -> None:
    """Run *step*; an outage is logged as *event*, and the next round tries again."""
    try:
        await step()
    except Unavailable as error:
        log.warning(event, detail=error.detail)


async def _every(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    while True:
        await step()
        await asyncio.sleep(seconds)


async def _metrics_loop(container: Container) -> None:
    last = ""

    async def once() -> None:
        nonlocal last
        overview = await container.views.answer("overview")
        if overview.digest != last and not overview.stale:
            last = overview.digest
            container.hub.set_metrics(overview.body)

    while True:
        await postponed(once, "metrics_refresh_failed")
        await asyncio.sleep(METRICS_S)


async def _fetch_keys_loop(container: Container) -> None:
    keys = container.provider_keys
    assert keys is not None
    while True:
        await keys.due()
        await fetch_keys(container)


async def _share_rates_loop(limiter: SharedRateLimiter) -> None:
    # Logged once per outage, since it is tried ten times a second.
    is_shared = True
    while True:
        await asyncio.sleep(REPORT_S)
        try:
            await limiter.report()
            is_shared = True
        except Unavailable as error:
            if is_shared:
                log.warning("rate_limit_sync_failed", detail=error.detail)
            is_shared = False
