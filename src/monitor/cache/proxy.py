"""L1 as a dogpile proxy in front of L2, or of nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE
from dogpile.cache.proxy import ProxyBackend

from monitor.cache.entry import Entry
from monitor.cache.envelope import seal, unseal
from monitor.cache.load import Load, load_of
from monitor.cache.memory import Slot
from monitor.cache.server import ServerGone
from monitor.cache.state import CacheState
from monitor.cache.stats import Source


class MemoryTier(ProxyBackend):
    """Serves from memory what is fresh and trusted, and keeps what passes through unless its load is superseded."""

    def __init__(self, state: CacheState) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._state = state

    def get_serialized(self, key: str) -> Any:
        load = load_of(key)
        slot = self._state.memory.get(str(load))
        if slot is not None and not self._is_usable(slot, load):
            slot = None
        if slot is not None and self._state.trusted and self._state.clock.monotonic() < slot.fresh_until:
            return self._serve(load, slot)
        try:
            found = self.proxied.get_serialized(load)
        except ServerGone:
            return NO_VALUE if slot is None else self._serve_within_lease(load, slot)
        if found is NO_VALUE or unseal(found)[1] < load.not_before:
            return NO_VALUE
        self._keep(load, found, Source.L2)
        return found

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        return [self.get_serialized(key) for key in keys]

    def set_serialized(self, key: str, value: bytes) -> None:
        load = load_of(key)
        self._keep(load, value, Source.CREATED)
        load.on_created()
        self.proxied.set_serialized(load, value)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        self.proxied.delete(key)
        self._state.apply_invalidation((), (str(key),))

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def _is_usable(self, slot: Slot, load: Load) -> bool:
        parent = load.parent
        return slot.created_at >= load.not_before and (parent is None or parent.accepts(slot.tokens, slot.key.tags))

    def _serve(self, load: Load, slot: Slot) -> bytes:
        load.entry, load.source = slot.entry, Source.L1
        # A parent compares these with its own, not the newer ones that the load may have read meanwhile.
        load.tokens = slot.tokens
        return seal(slot.entry.body, slot.created_at)

    def _serve_within_lease(self, load: Load, slot: Slot) -> Any:
        """Without the server's tokens, serve what was true less than a lease ago: no staler than trust allows."""
        age_s = self._state.clock.monotonic() - slot.read_at
        return self._serve(load, slot) if age_s <= self._state.config.lease_s else NO_VALUE

    def _keep(self, load: Load, envelope: bytes, source: Source) -> None:
        body, created_at = unseal(envelope)
        now, policy = self._state.clock.monotonic(), load.key.view.policy
        age_s = max(self._state.unix_s() - created_at, 0.0)
        slot = Slot(load.key, Entry(body), self._state.counters.of(load.key.view.name), load.create)
        slot.created_at, slot.tokens, slot.read_at = created_at, load.tokens, load.read_at
        slot.fresh_until = now - age_s + load.expires_s
        slot.stale_until = slot.fresh_until + policy.stale_s
        slot.kept_until = now - age_s + policy.kept_s
        load.entry, load.source = slot.entry, source
        if now >= slot.fresh_until:
            previous = self._state.memory.get(load.key.text)
            # The same value read again from the server: the refresh that failed has not succeeded by that.
            slot.failing = previous is not None and previous.failing and previous.created_at == created_at
            load.entry, load.source = slot.entry.aged(age_s, stale=slot.failing), Source.STALE
        if not load.superseded:
            self._state.memory.put(slot)
