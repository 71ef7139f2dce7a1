"""L1: the values in the memory of this process, bounded in bytes and indexed by tag."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from cachetools import LRUCache

from monitor.cache.entry import Entry
from monitor.cache.policy import Key
from monitor.cache.server import ROOT
from monitor.cache.stats import ViewStats

SLOT_BYTES = 2_000
"""What a slot costs beside its body: objects, key, tags, index. Measured at 1.6 kB with two tags."""

NEVER = -math.inf


class Slot:
    """
    One value in memory. All times but ``created_at`` (Unix seconds) are on the monotonic clock.

    An invalidated slot stays as the last good value and is never fresh again.
    """

    __slots__ = (
        "create",
        "created_at",
        "entry",
        "failed_until",
        "failing",
        "fresh_until",
        "hits",
        "invalidated",
        "kept_until",
        "key",
        "read_at",
        "retry_at",
        "stale_until",
        "stats",
        "tokens",
    )

    def __init__(self, key: Key, entry: Entry, stats: ViewStats, create: Callable[[], Awaitable[bytes]]) -> None:
        self.key = key
        self.entry = entry
        self.stats = stats
        self.create = create
        self.created_at = 0.0
        self.tokens: list[bytes] | None = None
        """Of the root and the key's tags, as its load read them."""
        self.read_at = NEVER
        """The value was true at this time; later is not proven."""
        self.fresh_until = NEVER
        self.stale_until = NEVER
        self.kept_until = NEVER
        self.retry_at = NEVER
        """No refresh starts before this."""
        self.failed_until = NEVER
        """The last load failed: until then this value is served, marked stale."""
        self.failing = False
        """The last refresh failed."""
        self.invalidated = False
        self.hits = 0

    def invalidate(self) -> None:
        """Keep it as a last good value only."""
        if not self.invalidated:
            self.stats.invalidations += 1
        self.invalidated = True
        self.fresh_until = self.stale_until = self.read_at = NEVER


class Memory:
    """
    Slots by key text. The least recently stored or looked up leave first; a value that is read is stored again each
    time it expires, so the fast path need not record its reads.
    """

    def __init__(self, max_bytes: int) -> None:
        self.slots: dict[str, Slot] = {}
        """Read-only for others; the fast path reads it directly."""
        self._by_tag: dict[str, set[str]] = {}
        self._order = _SizedLRU(max_bytes, self._unindex)

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def bytes(self) -> int:
        return int(self._order.currsize)

    def get(self, text: str) -> Slot | None:
        """Return the slot and mark it as recently used."""
        return self._order.get(text)

    def put(self, slot: Slot) -> None:
        """Replace the slot of the key; a value larger than the whole memory is not kept."""
        text = slot.key.text
        if (old := self.slots.get(text)) is not None:
            slot.hits = old.hits
            self.remove(text)
        if size_of(slot) > self._order.maxsize:
            return
        self._order[text] = slot
        self.slots[text] = slot
        for tag in slot.key.tags:
            self._by_tag.setdefault(tag, set()).add(text)

    def remove(self, text: str) -> None:
        self._order.pop(text, None)

    def invalidate(self, tags: Iterable[str]) -> None:
        """Invalidate, in place, every value with one of *tags*."""
        for tag in tags:
            texts = self.slots if tag == ROOT else self._by_tag.get(tag, ())
            for text in texts:
                self.slots[text].invalidate()

    def _unindex(self, text: str) -> None:
        slot = self.slots.pop(text)
        for tag in slot.key.tags:
            texts = self._by_tag[tag]
            texts.discard(text)
            if not texts:
                del self._by_tag[tag]


def size_of(slot: Slot) -> int:
    # Twice the body leaves room for its compressed form, which is made later.
    return SLOT_BYTES + 2 * len(slot.entry.body)


class _SizedLRU(LRUCache[str, Slot]):
    """Calls *on_removed* for every key that leaves, evicted or deleted."""

    def __init__(self, max_bytes: int, on_removed: Callable[[str], None]) -> None:
        super().__init__(max_bytes, getsizeof=size_of)
        self._on_removed = on_removed

    def __delitem__(self, text: str, *args: Any) -> None:
        super().__delitem__(text, *args)
        self._on_removed(text)
