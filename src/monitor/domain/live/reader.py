"""How far one socket has read, and what it wants to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.live.messages import TOPICS, Kind, Message
from monitor.domain.live.stream import Position, Stream

ALWAYS = frozenset({Kind.SNAPSHOT, Kind.HEARTBEAT})
"""What no filter holds back."""

WAITING = -1
"""The cursor of a reader that has to be given a snapshot first."""


class Filter(msgspec.Struct, frozen=True):
    """``None`` stands for all. Messages about no single webhook pass any list of webhooks."""

    kinds: frozenset[Kind] | None = None
    webhooks: frozenset[UUID] | None = None

    @classmethod
    def of(cls, topics: Sequence[str] | None, webhooks: Sequence[UUID] | None) -> Filter:
        """Raises ``Invalid``: a topic that does not exist."""
        kinds = None
        if topics is not None:
            unknown = next((i for i, topic in enumerate(topics) if topic not in TOPICS), None)
            if unknown is not None:
                raise Invalid("There is no such topic.", errors=(FieldError(f"/topics/{unknown}", "unknown"),))
            kinds = ALWAYS.union(*(TOPICS[topic] for topic in topics))
        return cls(kinds, None if webhooks is None else frozenset(webhooks))

    def passes(self, kind: Kind, webhook_id: UUID | None) -> bool:
        about = self.webhooks is None or webhook_id is None or webhook_id in self.webhooks
        return about and (self.kinds is None or kind in self.kinds)


EVERYTHING = Filter()


class Reader:
    """
    A cursor into the stream: the ring is the backlog of every socket, so a slow one holds no memory of its own.

    ``cursor`` is the last ``seq`` that was handed out, wanted or not, or ``WAITING``.
    """

    __slots__ = ("cursor", "filter")

    def __init__(self) -> None:
        self.cursor = WAITING
        self.filter = EVERYTHING

    def resume(self, stream: Stream, position: Position) -> bool:
        """Go on from *position* if everything since is still there."""
        if position.epoch != stream.epoch or not stream.covers(position.seq):
            return False
        self.cursor = position.seq
        return True

    def start(self, stream: Stream, snapshot: Message) -> bool:
        """Go on from *snapshot* if everything since is still there."""
        return self.resume(stream, Position(snapshot.epoch, snapshot.seq))

    def wait(self) -> None:
        """Take nothing until the next snapshot."""
        self.cursor = WAITING

    def advance(self, message: Message) -> bool:
        """Pass over *message*, which must be the next one; return whether it is wanted."""
        self.cursor = message.seq
        return self.passes(message)

    def passes(self, message: Message) -> bool:
        return self.filter is EVERYTHING or self.filter.passes(message.kind, message.webhook_id)

    def is_lost(self, stream: Stream) -> bool:
        """Whether it lags so far behind that the ring has moved on."""
        return self.cursor != WAITING and not stream.covers(self.cursor)

    def lag(self, stream: Stream) -> int:
        """Return how many messages it has yet to be handed."""
        return 0 if self.cursor == WAITING else stream.seq - self.cursor

    def missed(self, stream: Stream) -> Iterator[Message]:
        """Yield what is wanted after the cursor, moving it along; stopping early keeps the rest for later."""
        for message in stream.after(self.cursor):
            if self.advance(message):
                yield message
