"""L1 as a dogpile proxy in front of whatever is behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE
from dogpile.cache.proxy import ProxyBackend

from monitor.cache.entry import Entry
from monitor.cache.envelope import seal, unseal
from monitor.cache.load import LookUp, look_up_of
from monitor.cache.memory import Slot
from monitor.cache.server import ServerGone
from monitor.cache.state import Process
from monitor.cache.stats import Source


class MemoryTier(ProxyBackend):
    """Answers from memory what may be answered from it, and keeps what passes through unless it is doomed."""

    def __init__(self, process: Process) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._process = process

    def get_serialized(self, key: str) -> Any:
        look_up = look_up_of(key)
        slot = self._process.memory.get(str(look_up))
        if slot is not None and not self._will_do(slot, look_up):
            slot = None
        if slot is not None and self._process.trusted and self._process.clock.monotonic() < slot.fresh_until:
            return self._recall(look_up, slot)
        try:
            found = self.proxied.get_serialized(look_up)
        except ServerGone:
            return NO_VALUE if slot is None else self._recall_alone(look_up, slot)
        if found is NO_VALUE or unseal(found)[1] < look_up.not_before:
            return NO_VALUE
        self._remember(look_up, found, Source.L2)
        return found

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        return [self.get_serialized(key) for key in keys]

    def set_serialized(self, key: str, value: bytes) -> None:
        look_up = look_up_of(key)
        if look_up.direct:
            # Only storing tells since when it is true.
            self.proxied.set_serialized(look_up, value)
            self._remember(look_up, value, Source.CREATED)
            return
        self._remember(look_up, value, Source.CREATED)
        look_up.made()
        self.proxied.set_serialized(look_up, value)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        for key, value in mapping.items():
            self.set_serialized(key, value)

    def delete(self, key: str) -> None:
        self.proxied.delete(key)
        self._process.drop_here((), (str(key),))

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def _will_do(self, slot: Slot, look_up: LookUp) -> bool:
        whole = look_up.part_of
        return slot.created_at >= look_up.not_before and (
            whole is None or whole.has_seen_no_more_than(slot.tokens, slot.key.tags)
        )

    def _recall(self, look_up: LookUp, slot: Slot) -> bytes:
        look_up.entry, look_up.source = slot.entry, Source.L1
        # Whoever takes this for a part holds it against these, not against what was read meanwhile.
        look_up.tokens = slot.tokens
        return seal(slot.entry.body, slot.created_at)

    def _recall_alone(self, look_up: LookUp, slot: Slot) -> Any:
        """Without tokens to ask, what was true a moment ago will do: no staler than trust would have allowed."""
        age_s = self._process.clock.monotonic() - slot.read_at
        return self._recall(look_up, slot) if age_s <= self._process.config.lease_s else NO_VALUE

    def _remember(self, look_up: LookUp, envelope: bytes, source: Source) -> None:
        body, created_at = unseal(envelope)
        now, policy = self._process.clock.monotonic(), look_up.key.view.policy
        age_s = max(self._process.unix_s() - created_at, 0.0)
        slot = Slot(look_up.key, Entry(body), self._process.counters.of(look_up.key.view.name), look_up.create)
        slot.created_at, slot.tokens, slot.read_at = created_at, look_up.tokens, look_up.read_at
        slot.fresh_until = now - age_s + look_up.expires_s
        slot.stale_until = slot.fresh_until + policy.stale_s
        slot.kept_until = now - age_s + policy.kept_s
        look_up.entry, look_up.source = slot.entry, source
        if now >= slot.fresh_until:
            known = self._process.memory.get(look_up.key.text)
            # The same value found again at the server: what failed to replace it has failed all the same.
            slot.failing = known is not None and known.failing and known.created_at == created_at
            look_up.entry, look_up.source = slot.entry.aged(age_s, stale=slot.failing), Source.STALE
        if not look_up.doomed:
            self._process.memory.put(slot)
