"""The shared log that orders the messages of a live feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.live.messages import FeedEntry
from monitor.domain.live.stream import Position, Tail


class FeedLog(Protocol):
    """
    The order of a feed's messages, shared by all processes. Keeps at least the newest ``RING`` messages.

    Every method raises ``Unavailable`` when the log cannot be reached.
    """

    async def open(self, known: Position) -> Tail:
        """Return the newest entries. A log without the entry at *known* starts a new epoch first."""
        ...

    async def follow(self, after: Position) -> Tail:
        """Return the entries after *after*, waiting about a second for one; the log may be in another epoch."""
        ...

    async def append(self, first: int, entries: Sequence[FeedEntry]) -> None:
        """Append *entries*. *first* is the caller's own count of its entries, from 1; a repeated entry is dropped."""
        ...

    async def restart(self) -> None:
        """Start a new epoch, because an entry was lost before it was appended."""
        ...
