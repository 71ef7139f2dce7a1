"""Refreshing what will be read before it expires, in one process for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitor.cache.cache import Cache
from monitor.cache.entry import Entry
from monitor.cache.load import Creator
from monitor.cache.policy import Key
from monitor.cache.server import ServerGone

CONCURRENCY = 4
"""Loads at a time while a process warms up."""

HOTTEST = 64

Read = Callable[[Key, Creator], Awaitable[Entry]]

log = structlog.get_logger(__name__)


class Warmer:
    """
    Keeps the pinned keys, and the hottest of the others, from expiring between reads.

    Each tick belongs to the first process that claims it. There is no leader to elect or to lose: if that process dies,
    one tick is missed, and the next belongs to another. The others find the new values at the server.

    Args:
        pinned: keys that are always warm. Their ``fresh_s + stale_s`` should span two ticks, so that no reader waits
            even after a missed one.
        tick_s: call :meth:`tick` about this often.
        spread_s: over how much of a tick its work is spread, since all at once would delay the requests meanwhile.
    """

    def __init__(
        self, cache: Cache, pinned: Sequence[tuple[Key, Creator]], *, tick_s: float = 60.0, spread_s: float = 0.0
    ) -> None:
        self._cache = cache
        self._pinned = pinned
        self._tick_s = tick_s
        self._spread_s = spread_s

    async def warm(self) -> int:
        """Load every pinned key into memory, from the server where it has it; return how many failed."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(key: Key, create: Creator) -> bool:
            async with slots:
                return await self._read(self._cache.get, key, create)

        return (await asyncio.gather(*(one(*pinned) for pinned in self._pinned))).count(False)

    async def tick(self) -> int | None:
        """
        Refresh, if this process claims the tick. Failures are logged and left to the next tick.

        Returns:
            How many keys were refreshed; ``None`` if another process has the tick, or the server is gone: there is no
            process to share the work with then.
        """
        hot = self._cache.expiring(self._tick_s, HOTTEST)
        if not await self._claim():
            return None
        pinned = {key.text for key, _ in self._pinned}
        wanted = [*self._pinned, *((key, create) for key, create in hot if key.text not in pinned)]
        refreshed = 0
        for key, create in wanted:
            refreshed += await self._read(self._cache.refresh, key, create)
            await asyncio.sleep(self._spread_s / len(wanted))
        return refreshed

    async def _claim(self) -> bool:
        if self._cache.server is None:
            return True
        number = int(self._cache.clock.now().timestamp() // self._tick_s)
        try:
            return await self._cache.server.claim(f"warm:{number}", 2 * self._tick_s)
        except ServerGone:
            return False

    async def _read(self, read: Read, key: Key, create: Creator) -> bool:
        try:
            return not (await read(key, create)).stale
        except Exception as error:  # noqa: BLE001 - one key must not keep the others cold
            log.warning("cache_warming_failed", entry=key.text, error=repr(error))
            return False
