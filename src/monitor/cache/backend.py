"""
L2 as a dogpile backend.

dogpile is synchronous. The region therefore runs in a greenlet on the event loop (SQLAlchemy's bridge), where
``await_only`` waits without a thread. Everything here is called from inside such a greenlet only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from dogpile.cache.api import NO_VALUE, BytesBackend
from sqlalchemy.util import await_only

from monitor.cache.envelope import as_bytes, split, unseal
from monitor.cache.lease import LeaseMutex
from monitor.cache.load import Load, load_of
from monitor.cache.server import TOKEN_BYTES, CacheServer, ServerGone
from monitor.cache.state import CacheState


class RedisTier(BytesBackend):
    """
    A value is stored behind the tokens its look-up read first, and is returned only while they are current.

    Reading raises ``ServerGone``; writing does not, since losing a write costs a query only.
    """

    serializer = staticmethod(as_bytes)
    deserializer = staticmethod(bytes)

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._state: CacheState = arguments["state"]
        self._server: CacheServer = arguments["server"]

    def get_mutex(self, key: str) -> LeaseMutex:
        return LeaseMutex(self._state, self._server, key)

    def get_serialized(self, key: str) -> Any:
        return await_only(self._read(load_of(key)))

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        return [self.get_serialized(key) for key in keys]

    def set_serialized(self, key: str, value: bytes) -> None:
        await_only(self._write(load_of(key), value))

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        await_only(self._delete(str(key)))

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    async def _read(self, load: Load) -> Any:
        stored, tokens = await self._fetch(load)
        if stored is None:
            return NO_VALUE
        valid, envelope = split(stored, tokens)
        try:
            body, created_at = unseal(envelope)
        except (ValueError, KeyError, TypeError):
            return NO_VALUE
        age_s = self._state.unix_s() - created_at
        if not valid or age_s > load.expires_s + load.key.view.policy.stale_s:
            load.fallback = (body, created_at)
            return NO_VALUE
        return envelope

    async def _fetch(self, load: Load) -> tuple[bytes | None, list[bytes]]:
        """Return what is stored and the current tokens, which the look-up keeps."""
        if self._state.bus.has_pending(load.tags):
            raise ServerGone("it has not heard of every drop yet")
        if load.prefetched is None:
            asked_at = self._state.clock.monotonic()
            stored, known = await self._state.gate.call(self._server.fetch, str(load), load.tags)
        else:
            asked_at, (stored, known) = load.prefetched
            load.prefetched = None
        tokens = [token for token in known if token is not None]
        if len(tokens) < len(known):
            # Evicted or never there: a token of our own says "changed", which costs a miss at most.
            minted = {tag: self._state.clock.token_bytes(TOKEN_BYTES) for tag in load.tags}
            tokens = await self._state.gate.call(self._server.mint, minted)
        load.tokens, load.read_at = tokens, asked_at
        return stored, tokens

    async def _write(self, load: Load, envelope: bytes) -> None:
        with suppress(ServerGone):
            if load.direct:
                # A value that is set without a look-up before it is true as of now.
                await self._fetch(load)
            if load.tokens is not None and not load.superseded:
                stored = b"".join((*load.tokens, envelope))
                kept_s = load.key.view.policy.kept_s
                await self._state.gate.call(self._server.store, str(load), stored, kept_s)

    async def _delete(self, text: str) -> None:
        message = self._state.bus.message(keys=[text])
        with suppress(ServerGone):
            await self._state.gate.call(self._server.delete, text, message)
