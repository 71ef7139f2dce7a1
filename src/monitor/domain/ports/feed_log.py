"""The log in which the processes of a live feed agree on the order of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.domain.live.messages import FeedEntry
from monitor.domain.live.stream import Position, Tail


class FeedLog(Protocol):
    """
    The one order of a feed's messages, shared by its processes. Keeps at least the newest ``RING`` of them.

    Every method raises ``Unavailable`` when the log cannot be reached.
    """

    async def open(self, known: Position) -> Tail:
        """Return the newest entries; a log that has lost some of what *known* has seen begins a new epoch."""
        ...

    async def follow(self, after: Position) -> Tail:
        """Wait about a second for entries after *after*; there may be none, or the log may be in another epoch."""
        ...

    async def append(self, first: int, entries: Sequence[FeedEntry]) -> None:
        """Give *entries* the next numbers. The caller counts what it appends from 1; one told twice counts once."""
        ...

    async def restart(self) -> None:
        """Begin a new epoch: something that should be in the log is lost."""
        ...
