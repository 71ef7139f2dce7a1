"""
L2 as a dogpile backend.

dogpile is synchronous. The region therefore runs in a greenlet on the event loop (SQLAlchemy's bridge), where
``await_only`` waits without a thread. Everything here is called from inside such a greenlet only.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from dogpile.cache.api import NO_VALUE, BytesBackend
from sqlalchemy.util import await_only

from monitor.cache.envelope import as_bytes, split, unseal
from monitor.cache.invalidation_bus import InvalidationBus
from monitor.cache.lease import LeaseMutex
from monitor.cache.load import Load, load_of
from monitor.cache.server import TOKEN_BYTES, CacheServer, ServerGone
from monitor.cache.state import CacheState

CLOCK_TOLERANCE_S = 1.0
"""How far clocks of processes may differ; a value from further in the future is a miss."""


class RedisTier(BytesBackend):
    """
    Stores a value behind the tokens that its load read first, and returns it only while these are current.

    Reading raises ``ServerGone``; writing does not, since a lost write costs no more than a query. The proxy in front
    never passes on more than one key.
    """

    serializer = staticmethod(as_bytes)
    deserializer = staticmethod(bytes)

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._state: CacheState = arguments["state"]
        self._server: CacheServer = arguments["server"]
        self._bus: InvalidationBus = arguments["bus"]

    def get_mutex(self, key: str) -> LeaseMutex:
        return LeaseMutex(self._state, self._server, load_of(key))

    def get_serialized(self, key: str) -> Any:
        return await_only(self._read(load_of(key)))

    def set_serialized(self, key: str, value: bytes) -> None:
        await_only(self._write(load_of(key), value))

    def delete(self, key: str) -> None:
        await_only(self._delete(str(key)))

    async def _read(self, load: Load) -> Any:
        stored, tokens = await self._fetch(load)
        if stored is None:
            return NO_VALUE
        valid, envelope = split(stored, tokens)
        try:
            body, created_at = unseal(envelope)
        except msgspec.MsgspecError:
            return NO_VALUE
        age_s = self._state.unix_s() - created_at
        if age_s < -CLOCK_TOLERANCE_S:
            # By its creator's clock it would stay fresh for as long as that clock is ahead.
            return NO_VALUE
        if not valid or age_s > load.expires_s + load.key.view.policy.stale_s:
            load.fallback = (body, created_at)
            return NO_VALUE
        return envelope

    async def _fetch(self, load: Load) -> tuple[bytes | None, list[bytes]]:
        """Return the stored value and the current tokens, which the load keeps."""
        if self._bus.has_pending(load.tags):
            raise ServerGone("its tokens are older than a pending invalidation")
        if load.prefetched is None:
            requested_at = self._state.clock.monotonic()
            stored, found = await self._state.gate.call(self._server.fetch, str(load), load.tags)
        else:
            requested_at, (stored, found) = load.prefetched
            load.prefetched = None
        tokens = [token for token in found if token is not None]
        if len(tokens) < len(found):
            # Evicted or never there. A new token means "changed", which costs a miss at most.
            minted = {tag: self._state.clock.token_bytes(TOKEN_BYTES) for tag in load.tags}
            tokens = await self._state.gate.call(self._server.mint, minted)
        load.tokens, load.read_at = tokens, requested_at
        return stored, tokens

    async def _write(self, load: Load, envelope: bytes) -> None:
        if load.tokens is None or load.superseded:
            return
        stored = b"".join((*load.tokens, envelope))
        with suppress(ServerGone):
            await self._state.gate.call(self._server.store, str(load), stored, load.key.view.policy.kept_s)

    async def _delete(self, text: str) -> None:
        with suppress(ServerGone):
            await self._state.gate.call(self._server.delete, text, self._bus.message(keys=[text]))
