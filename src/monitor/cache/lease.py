"""The lock on a creation, as dogpile's mutex."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dogpile.cache.api import CacheMutex
from sqlalchemy.util import await_only

from monitor.cache.load import Load
from monitor.cache.server import TOKEN_BYTES, CacheServer, Fetched, ServerGone
from monitor.cache.state import CacheState

POLL_S = 0.1
"""How often a waiting load tries the lock, in case the message of its release was lost."""


class LeaseMutex(CacheMutex):
    """
    Lock on creating one key, leased for as long as a creator may run.

    It makes creations rare, not values right: a load that has waited long enough, or cannot reach the server, goes
    ahead without it. Nothing here raises.
    """

    def __init__(self, state: CacheState, server: CacheServer, load: Load) -> None:
        self._state = state
        self._server = server
        self._load = load
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
        with self._state.waiters.register(str(self._load)) as released:
            while True:
                released.clear()
                try:
                    self._load.prefetched = await self._lock()
                    self._held = self._load.prefetched is not None
                except ServerGone:
                    return True
                left_s = give_up_at - ticks()
                if self._held or not wait or left_s <= 0:
                    return self._held or wait
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, POLL_S)):
                        await released.wait()

    async def _lock(self) -> tuple[float, Fetched] | None:
        requested_at, lease_s = self._state.clock.monotonic(), self._state.config.creator_timeout_s
        key, tags = str(self._load), self._load.tags
        fetched = await self._state.gate.call(self._server.lock, key, self._holder, lease_s, tags)
        return None if fetched is None else (requested_at, fetched)

    async def _release(self) -> None:
        if self._held:
            self._held = False
            with suppress(ServerGone):
                await self._state.gate.call(self._server.unlock, str(self._load), self._holder)
