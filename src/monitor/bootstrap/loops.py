"""What a process does beside answering: it keeps its cache warm, its keys fresh and the live feed told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from monitor.bootstrap.container import Container
from monitor.bootstrap.live_messages import live_message_for
from monitor.cache import Warmer
from monitor.domain.errors import Unavailable
from monitor.domain.events import DomainEvent
from monitor.domain.services.live_feed import LiveFeed
from monitor.http.live import Hub
from monitor.http.middleware.shared_rate_limit import REPORT_S, SharedRateLimiter

REFRESH_S = 2.0
"""How often revocations and the key file are read: a revoked token is refused everywhere within 5 s."""

FIGURES_S = 1.0
"""How often the live feed asks for new figures."""

RESTART_S = 1.0
WARM_S = 30.0
"""How often one process of all computes anew what the dashboard shows first: sooner than it would be forgotten."""

log = structlog.get_logger(__name__)


def freeze_gc() -> None:
    """
    Keep what start-up made out of garbage collections. Going through it again and again took a third of a worker, and
    from a server's callers a tenth of a second at a time.
    """
    gc.collect()
    gc.freeze()


def tell_feed(parts: Container, feed: LiveFeed) -> None:
    """Have the live feed hear of what happens in this process."""

    async def tell(happened: Sequence[DomainEvent]) -> None:
        for event in happened:
            message = live_message_for(event)
            if message is None:
                continue
            data: Any = msgspec.structs.asdict(event)
            if message.view == "alert":
                data = await parts.alert_queries.alert(message.id)
            elif message.view == "anomaly":
                data = await parts.alert_queries.anomaly(message.id)
            feed.publish(message.kind, data, message.webhook_id)

    def missed(happened: Sequence[DomainEvent]) -> None:
        if any(live_message_for(event) is not None for event in happened):
            log.warning("feed_begins_anew", untold=len(happened))
            feed.reset()

    parts.hearing.tell, parts.hearing.missed = tell, missed


async def metrics_loop(parts: Container, hub: Hub) -> None:
    """Hand the newest figures to the live feed, when they change."""
    last = ""

    async def once() -> None:
        nonlocal last
        overview = await parts.catalogue.answer("overview")
        if overview.digest != last and not overview.stale:
            last = overview.digest
            hub.set_metrics(overview.body)

    while True:
        await _logged(once, "figures_not_read")
        await asyncio.sleep(FIGURES_S)


async def warm_loop(parts: Container) -> None:
    """Fill the cache before anybody is sent here, and keep it filled."""
    warmer = Warmer(parts.cache, parts.catalogue.pinned(), tick_s=WARM_S, spread_s=WARM_S / 4)
    parts.cold = True
    while await warmer.warm():  # noqa: ASYNC110 - what is missing is tried again, there is nothing to wait for
        await asyncio.sleep(REFRESH_S)
    parts.cold = False
    while True:
        await asyncio.sleep(WARM_S)
        await _logged(warmer.tick, "warming_failed")


async def refresh(parts: Container) -> None:
    """Read again who may come in; what was read last stays in force if that fails."""
    await _logged(parts.refresh, "refresh_failed")


async def refresh_loop(parts: Container) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        await refresh(parts)


async def fetch_keys(parts: Container) -> None:
    """Fetch the identity provider's keys, if there is one, once: in seconds, also when it does not answer."""
    if parts.provider_keys is not None:
        await _logged(parts.provider_keys.refresh, "jwks_failed")


async def fetch_keys_loop(parts: Container) -> None:
    """Fetch them again when it is time. Has nothing to do without a provider."""
    while parts.provider_keys is not None:
        await parts.provider_keys.due()
        await fetch_keys(parts)


async def share_rates_loop(limiter: SharedRateLimiter) -> None:
    """Put together what the processes admitted. While that fails it is said once, since it is tried all the time."""
    is_shared = True
    while True:
        await asyncio.sleep(REPORT_S)
        try:
            await limiter.report()
        except Exception as error:
            if is_shared:
                log.warning("rates_not_shared", exc_info=not isinstance(error, Unavailable))
            is_shared = False
        else:
            is_shared = True


async def restart_forever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run *loop*, and start it again after an error."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("task_failed", task=name)
        await asyncio.sleep(RESTART_S)


async def _logged(step: Callable[[], Awaitable[object]], event: str) -> None:
    try:
        await step()
    except Unavailable as error:
        log.warning(event, detail=error.detail)
    except Exception:
        # The last good state stays in force; the next round tries again.
        log.exception(event)
