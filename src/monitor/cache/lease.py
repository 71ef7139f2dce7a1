"""The lock on a creation, as dogpile's mutex."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dogpile.cache.api import CacheMutex
from sqlalchemy.util import await_only

from monitor.cache.load import load_of
from monitor.cache.server import TOKEN_BYTES, CacheServer, Fetched, ServerGone
from monitor.cache.state import CacheState

POLL_S = 0.1
"""How often a waiting look-up tries the lock, should the word of its release be lost."""


class LeaseMutex(CacheMutex):
    """
    The right to create one key, for as long as a creator may take and no longer.

    It makes creations rare, not values right: whoever has waited long enough, or cannot reach the server, goes ahead
    without it. Nothing here raises.
    """

    def __init__(self, state: CacheState, server: CacheServer, key: str) -> None:
        self._state = state
        self._server = server
        self._look_up = load_of(key)
        self._key = str(key)
        self._holder = state.clock.token_bytes(TOKEN_BYTES).hex()
        self._held = False

    def acquire(self, wait: bool = True) -> bool:
        return bool(await_only(self._acquire(wait=wait)))

    def release(self) -> None:
        await_only(self._release())

    def locked(self) -> bool:
        return self._held

    async def _acquire(self, *, wait: bool) -> bool:
        ticks = self._state.clock.monotonic
        give_up_at = ticks() + self._state.config.lock_wait_s
        with self._state.waiters.register(self._key) as released:
            while True:
                released.clear()
                try:
                    self._look_up.prefetched = await self._lock()
                    self._held = self._look_up.prefetched is not None
                except ServerGone:
                    return True
                left_s = give_up_at - ticks()
                if self._held or not wait or left_s <= 0:
                    return self._held or wait
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, POLL_S)):
                        await released.wait()

    async def _lock(self) -> tuple[float, Fetched] | None:
        asked_at, lease_s = self._state.clock.monotonic(), self._state.config.creator_timeout_s
        tags = self._look_up.tags
        found = await self._state.gate.call(self._server.lock, self._key, self._holder, lease_s, tags)
        return None if found is None else (asked_at, found)

    async def _release(self) -> None:
        if self._held:
            self._held = False
            with suppress(ServerGone):
                await self._state.gate.call(self._server.unlock, self._key, self._holder)
