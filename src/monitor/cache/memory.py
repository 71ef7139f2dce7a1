"""L1: the values in this process, bounded in bytes, each reachable by the tags that drop it."""

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

    A dropped slot is kept as the last good value; it is never fresh again.
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

    def __init__(
        self, key: Key, entry: Entry, stats: ViewStats, create: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        self.key = key
        self.entry = entry
        self.stats = stats
        self.create = create
        self.created_at = 0.0
        self.tokens: list[bytes] | None = None
        """Of the root and the key's tags, as its look-up had them."""
        self.read_at = NEVER
        """The value was true at this time, and maybe not after."""
        self.fresh_until = NEVER
        self.stale_until = NEVER
        self.kept_until = NEVER
        self.retry_at = NEVER
        """Nobody asks for a newer value before this."""
        self.failed_until = NEVER
        """A newer value could not be made: until then this is answered, marked stale."""
        self.failing = False
        """The last try to make a newer value failed."""
        self.invalidated = False
        self.hits = 0

    def invalidate(self) -> bool:
        """Make it a last good value; return whether it was more than that."""
        was, self.invalidated = self.invalidated, True
        self.fresh_until = self.stale_until = self.read_at = NEVER
        if not was:
            self.stats.invalidations += 1
        return not was


class Memory:
    """
    Slots by key text. The least recently stored or looked up go first; a value that is read is stored again each time
    it expires, so the fast path need not note every read.
    """

    def __init__(self, max_bytes: int) -> None:
        self.slots: dict[str, Slot] = {}
        """For reading; the fast path goes straight here."""
        self._by_tag: dict[str, set[str]] = {}
        self._order = _SizedLRU(max_bytes, self._unindex)

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def bytes(self) -> int:
        return int(self._order.currsize)

    @property
    def tags(self) -> int:
        """Tags with a value in memory."""
        return len(self._by_tag)

    def get(self, text: str) -> Slot | None:
        """Return the slot and count it as used."""
        return self._order.get(text)

    def put(self, slot: Slot) -> None:
        """Store *slot* in place of what its key had; a value larger than all the room is not kept."""
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
        """Drop, in place, every value with one of *tags*."""
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
    """Tells of every key that leaves, whatever made it leave."""

    def __init__(self, max_bytes: int, forget: Callable[[str], None]) -> None:
        super().__init__(max_bytes, getsizeof=size_of)
        self._forget = forget

    def __delitem__(self, text: str, *args: Any) -> None:
        super().__delitem__(text, *args)
        self._forget(text)
