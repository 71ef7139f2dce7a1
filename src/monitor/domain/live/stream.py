"""The newest messages of a feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from monitor.domain.live.messages import Encode, FeedEntry, Message

RING = 1024
"""Messages kept for all sockets together: how far a client may be behind and still resume."""


class Position(msgspec.Struct, frozen=True):
    """A place in a feed: everything up to ``seq``, 0 for nothing."""

    epoch: str
    seq: int


class Tail(msgspec.Struct, frozen=True):
    """A run of numbered entries, and the place where the log ended when it was read."""

    end: Position
    entries: Sequence[tuple[int, FeedEntry]] = ()


class Stream:
    """
    A process's copy of the end of its feed.

    Args:
        encode: called once for each message.

    ``connected`` is whether it is kept up to date; a process without a log has nothing to be behind of.
    """

    def __init__(self, epoch: str, encode: Encode, *, capacity: int = RING) -> None:
        self.epoch = epoch
        self.seq = 0
        self.connected = True
        self._encode = encode
        self._ring: deque[Message] = deque(maxlen=capacity)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    def disconnect(self) -> None:
        """Note that other processes' messages may be missing, until the next tail."""
        self.connected = False

    def restart(self, tail: Tail) -> None:
        """Replace everything by *tail*."""
        self.epoch = tail.end.epoch
        self._ring.clear()
        self._ring.extend(self._encode(entry, self.epoch, seq) for seq, entry in tail.entries)
        self.seq = max(tail.end.seq, self._ring[-1].seq if self._ring else 0)
        self.connected = True

    def extend(self, tail: Tail) -> list[Message] | None:
        """
        Add what is new in *tail*; safe to repeat.

        Returns:
            The new messages, or ``None`` without a change if they do not follow upon what is here.
        """
        fresh = [(seq, entry) for seq, entry in tail.entries if seq > self.seq]
        follows = [seq for seq, _ in fresh] == list(range(self.seq + 1, self.seq + len(fresh) + 1))
        if tail.end.epoch != self.epoch or not follows or tail.end.seq > self.seq + len(fresh):
            return None
        messages = [self._encode(entry, self.epoch, seq) for seq, entry in fresh]
        self._ring.extend(messages)
        self.seq += len(messages)
        self.connected = True
        return messages

    def covers(self, seq: int) -> bool:
        """Whether all that came after *seq* is still here."""
        return self.seq - len(self._ring) <= seq <= self.seq

    def after(self, seq: int) -> list[Message]:
        """Return the messages after *seq*, which must be covered."""
        return list(islice(self._ring, len(self._ring) - (self.seq - seq), None))
