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
from monitor.cache.load import LookUp, look_up_of
from monitor.cache.server import TOKEN_BYTES, CacheServer, ServerGone
from monitor.cache.state import Process


class RedisTier(BytesBackend):
    """
    A value is stored behind the tokens its look-up read first, and is returned only while they are current.

    Reading raises ``ServerGone``; writing does not, since losing a write costs a query only.
    """

    serializer = staticmethod(as_bytes)
    deserializer = staticmethod(bytes)

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._process: Process = arguments["process"]
        self._server: CacheServer = arguments["server"]

    def get_mutex(self, key: str) -> LeaseMutex:
        return LeaseMutex(self._process, self._server, key)

    def get_serialized(self, key: str) -> Any:
        return await_only(self._read(look_up_of(key)))

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        return [self.get_serialized(key) for key in keys]

    def set_serialized(self, key: str, value: bytes) -> None:
        await_only(self._write(look_up_of(key), value))

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        await_only(self._delete(str(key)))

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    async def _read(self, look_up: LookUp) -> Any:
        stored, tokens = await self._fetch(look_up)
        if stored is None:
            return NO_VALUE
        valid, envelope = split(stored, tokens)
        try:
            body, created_at = unseal(envelope)
        except (ValueError, KeyError, TypeError):
            return NO_VALUE
        age_s = self._process.unix_s() - created_at
        if not valid or age_s > look_up.expires_s + look_up.key.view.policy.stale_s:
            look_up.fallback = (body, created_at)
            return NO_VALUE
        return envelope

    async def _fetch(self, look_up: LookUp) -> tuple[bytes | None, list[bytes]]:
        """Return what is stored and the current tokens, which the look-up keeps."""
        if self._process.bus.unsent(look_up.tags):
            raise ServerGone("it has not heard of every drop yet")
        if look_up.found is None:
            asked_at = self._process.clock.monotonic()
            stored, known = await self._process.link.call(self._server.fetch, str(look_up), look_up.tags)
        else:
            asked_at, (stored, known) = look_up.found
            look_up.found = None
        tokens = [token for token in known if token is not None]
        if len(tokens) < len(known):
            # Evicted or never there: a token of our own says "changed", which costs a miss at most.
            minted = {tag: self._process.clock.token_bytes(TOKEN_BYTES) for tag in look_up.tags}
            tokens = await self._process.link.call(self._server.mint, minted)
        look_up.tokens, look_up.read_at = tokens, asked_at
        return stored, tokens

    async def _write(self, look_up: LookUp, envelope: bytes) -> None:
        with suppress(ServerGone):
            if look_up.direct:
                # A value that is set without a look-up before it is true as of now.
                await self._fetch(look_up)
            if look_up.tokens is not None and not look_up.doomed:
                stored = b"".join((*look_up.tokens, envelope))
                kept_s = look_up.key.view.policy.kept_s
                await self._process.link.call(self._server.store, str(look_up), stored, kept_s)

    async def _delete(self, text: str) -> None:
        message = self._process.bus.message(keys=[text])
        with suppress(ServerGone):
            await self._process.link.call(self._server.forget, text, message)
