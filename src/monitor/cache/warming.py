"""Recomputing what will be asked for, in one process for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitor.cache.cache import Cache
from monitor.cache.entry import Entry
from monitor.cache.load import Creator
from monitor.cache.policy import Key
from monitor.cache.server import ServerGone

AT_ONCE = 4
"""Keys that a process fills together before it is ready."""

HOTTEST = 64

Ask = Callable[[Key, Creator], Awaitable[Entry]]

log = structlog.get_logger(__name__)


class Warmer:
    """
    Keeps the pinned keys, and the hottest of the others, from expiring unevaluated.

    Each tick belongs to the first process that claims it. There is no leader to elect or to lose: if that process dies,
    one tick is missed, and the next belongs to another. The others find the new values at the server.

    Args:
        pinned: keys that are always warm. Their ``fresh_s + stale_s`` should span two ticks, so that not even
            a missed one makes a reader wait.
        tick_s: call :meth:`tick` about this often.
        spread_s: over how much of a tick its work is spread; done at once, it would hold up those who ask meanwhile.
    """

    def __init__(
        self, cache: Cache, pinned: Sequence[tuple[Key, Creator]], *, tick_s: float = 60.0, spread_s: float = 0.0
    ) -> None:
        self._cache = cache
        self._pinned = pinned
        self._tick_s = tick_s
        self._spread_s = spread_s

    async def warm(self) -> int:
        """Have every pinned key in this process, from the server where it has it; return how many could not be."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: Key, create: Creator) -> bool:
            async with gate:
                return await self._one(self._cache.get, key, create)

        return (await asyncio.gather(*(one(*pinned) for pinned in self._pinned))).count(False)

    async def tick(self) -> int | None:
        """
        Recompute if this tick is ours. Failures are logged and left to the next tick.

        Returns:
            How many keys were recomputed; ``None`` when another process does it, or the server is gone: there is
            nobody to share with then.
        """
        hot = self._cache.expiring(self._tick_s, HOTTEST)
        if not await self._is_ours():
            return None
        pinned = {key.text for key, _ in self._pinned}
        wanted = [*self._pinned, *((key, create) for key, create in hot if key.text not in pinned)]
        made = 0
        for key, create in wanted:
            made += await self._one(self._cache.refresh, key, create)
            await asyncio.sleep(self._spread_s / len(wanted))
        return made

    async def _is_ours(self) -> bool:
        if self._cache.server is None:
            return True
        number = int(self._cache.clock.now().timestamp() // self._tick_s)
        try:
            return await self._cache.server.claim(f"warm:{number}", 2 * self._tick_s)
        except ServerGone:
            return False

    async def _one(self, ask: Ask, key: Key, create: Creator) -> bool:
        try:
            return not (await ask(key, create)).stale
        except Exception as error:  # noqa: BLE001 - one key must not keep the others cold
            log.warning("cache_warming_failed", key=key.text, error=repr(error))
            return False
