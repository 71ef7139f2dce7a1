"""``FakeFeedLog``: the order of a feed in memory, shared by as many processes as hold the same ``FakeFeed``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from monitor.domain.errors import Unavailable
from monitor.domain.live import FeedEntry, Position, Tail
from monitor.domain.live.stream import RING


class FakeFeed:
    """What the processes share. ``up`` is the way to it; ``deaf`` loses the answer to what was done."""

    def __init__(self) -> None:
        self.up = True
        self.deaf = False
        self.changed = asyncio.Event()
        self._epochs = 0
        self.begin()

    def begin(self) -> None:
        """Lose everything and start anew, as a server without persistence does."""
        self._epochs += 1
        self.end = Position(f"shared-{self._epochs}", 0)
        self.entries: deque[tuple[int, FeedEntry]] = deque(maxlen=RING)
        self.told: dict[str, int] = {}
        self.wake()

    def add(self, producer: str, first: int, entries: Sequence[FeedEntry]) -> None:
        for number, entry in enumerate(entries, first):
            if number > self.told.get(producer, 0):
                self.end = Position(self.end.epoch, self.end.seq + 1)
                self.entries.append((self.end.seq, entry))
                self.told[producer] = number
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeFeedLog:
    """See :class:`monitor.domain.live.FeedLog`. ``follow`` waits for the next change instead of a second."""

    def __init__(self, feed: FakeFeed, producer: str) -> None:
        self._feed = feed
        self._producer = producer

    async def open(self, known: Position) -> Tail:
        self._reach()
        end = self._feed.end
        if end.epoch == known.epoch and end.seq < known.seq:
            self._feed.begin()
        return Tail(self._feed.end, list(self._feed.entries))

    async def follow(self, after: Position) -> Tail:
        self._reach()
        changed = self._feed.changed
        if self._feed.end == after:
            await changed.wait()
            self._reach()
        if self._feed.end.epoch != after.epoch:
            return Tail(self._feed.end)
        return Tail(self._feed.end, [(seq, entry) for seq, entry in self._feed.entries if seq > after.seq])

    async def append(self, first: int, entries: Sequence[FeedEntry]) -> None:
        self._reach()
        self._feed.add(self._producer, first, entries)
        if self._feed.deaf:
            raise Unavailable("The answer is lost.")

    async def restart(self) -> None:
        self._reach()
        self._feed.begin()

    def _reach(self) -> None:
        if not self._feed.up:
            raise Unavailable("The feed is out of reach.")
