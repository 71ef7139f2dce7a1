"""Counters of the cache."""

from __future__ import annotations

import enum

import msgspec


class Source(enum.Enum):
    """Where a value came from; the values are the names of the counters."""

    L1 = "l1_hits"
    L2 = "l2_hits"
    STALE = "stale_hits"
    FAIL_SAFE = "fail_safe"
    CREATED = "misses"


class ViewStats(msgspec.Struct):
    """
    Counts of one view since the start. The first five are reads: served from memory; from the shared server; past
    ``fresh_s`` while a new value is computed; the last good value after a failure; after waiting for a creation.
    """

    view: str
    l1_hits: int = 0
    l2_hits: int = 0
    stale_hits: int = 0
    fail_safe: int = 0
    misses: int = 0
    creations: int = 0
    failures: int = 0
    creation_s: float = 0.0
    """Total time of the creations; set against the reads, it shows whether caching the view pays."""
    invalidations: int = 0
    """Values in memory that an invalidated tag made untrue."""

    def count(self, source: Source) -> None:
        setattr(self, source.value, getattr(self, source.value) + 1)

    @property
    def hits(self) -> int:
        """Reads that waited for no creation."""
        return self.l1_hits + self.l2_hits + self.stale_hits + self.fail_safe

    @property
    def reads(self) -> int:
        return self.hits + self.misses


class CacheStats(msgspec.Struct, frozen=True):
    """The cache of this process at one moment."""

    views: tuple[ViewStats, ...]
    entries: int
    bytes: int
    trusted: bool
    """Whether memory may be served."""
    pending_invalidations: int
    """Tags with an invalidation that the server has not taken yet."""
    hit_ratio: float | None
    """Reads that waited for no creation, 0 to 1; ``None`` before the first read."""


class Counters:
    """The counts of all views."""

    def __init__(self) -> None:
        self._views: dict[str, ViewStats] = {}

    def of(self, view: str) -> ViewStats:
        found = self._views.get(view)
        if found is None:
            found = self._views[view] = ViewStats(view)
        return found

    def snapshot(self) -> tuple[ViewStats, ...]:
        return tuple(msgspec.structs.replace(view) for view in self._views.values())
