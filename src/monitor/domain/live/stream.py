"""The newest messages of a feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from monitor.domain.live.messages import Encode, FeedEntry, Message

RING_MESSAGES = 1024
"""Messages kept, for all sockets together: how far a client may be behind and still resume."""


class Position(msgspec.Struct, frozen=True):
    """A position in a feed: after message ``seq``, 0 before the first."""

    epoch: str
    seq: int


class FeedTail(msgspec.Struct, frozen=True):
    """Consecutive numbered entries, and the end of the log when it was read."""

    end: Position
    entries: Sequence[tuple[int, FeedEntry]] = ()


class Stream:
    """
    One process's ring of the newest messages of a feed.

    Args:
        encode: called once for each message.

    ``connected`` is whether it is up to date with the log; always true without one.
    """

    def __init__(self, epoch: str, encode: Encode, *, capacity: int = RING_MESSAGES) -> None:
        self.epoch = epoch
        self.seq = 0
        self.connected = True
        self._encode = encode
        self._ring: deque[Message] = deque(maxlen=capacity)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    def disconnect(self) -> None:
        """Mark the stream as possibly behind the log, until the next tail."""
        self.connected = False

    def restart(self, tail: FeedTail) -> None:
        """Replace all messages by *tail*."""
        self.epoch = tail.end.epoch
        self._ring.clear()
        self._ring.extend(self._encode(entry, self.epoch, seq) for seq, entry in tail.entries)
        self.seq = max(tail.end.seq, self._ring[-1].seq if self._ring else 0)
        self.connected = True

    def extend(self, tail: FeedTail) -> list[Message] | None:
        """
        Append the new entries of *tail*; safe to repeat.

        Returns:
            The new messages, or ``None`` without a change if these do not continue the stream.
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
        """Whether all messages after *seq* are in the ring."""
        return not self.has_dropped(seq) and seq <= self.seq

    def has_dropped(self, seq: int) -> bool:
        """Whether a message after *seq* has left the ring."""
        return seq < self.seq - len(self._ring)

    def after(self, seq: int) -> list[Message]:
        """Return the messages after *seq*: covered, or ahead of the stream, after which there are none."""
        return list(islice(self._ring, len(self._ring) - (self.seq - seq), None))
