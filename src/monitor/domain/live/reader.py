"""The cursor and filter of one socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.live.messages import TOPICS, Message, MessageKind
from monitor.domain.live.stream import Position, Stream

ALWAYS = frozenset({MessageKind.SNAPSHOT, MessageKind.HEARTBEAT})
"""Kinds that pass every filter."""

NO_CURSOR = -1
"""The cursor of a reader that waits for a snapshot."""


class Filter(msgspec.Struct, frozen=True):
    """``None`` matches all. Messages about no single webhook pass every list of webhooks."""

    kinds: frozenset[MessageKind] | None = None
    webhooks: frozenset[UUID] | None = None

    @classmethod
    def of(cls, topics: Sequence[str] | None, webhooks: Sequence[UUID] | None) -> Filter:
        """Return the filter of a client's topics and webhooks. Raises ``Invalid``: a topic does not exist."""
        kinds = None
        if topics is not None:
            unknown = next((i for i, topic in enumerate(topics) if topic not in TOPICS), None)
            if unknown is not None:
                detail = f"Give one of {', '.join(TOPICS)}."
                raise Invalid(f"There is no such topic. {detail}", errors=(FieldError(f"/topics/{unknown}", detail),))
            kinds = ALWAYS.union(*(TOPICS[topic] for topic in topics))
        return cls(kinds, None if webhooks is None else frozenset(webhooks))

    def passes(self, kind: MessageKind, webhook_id: UUID | None) -> bool:
        about = self.webhooks is None or webhook_id is None or webhook_id in self.webhooks
        return about and (self.kinds is None or kind in self.kinds)


NO_FILTER = Filter()


class Reader:
    """
    A cursor into the stream. The ring is the backlog of every socket, so a slow one needs no memory of its own.

    ``cursor`` is the last ``seq`` that was read or filtered out, or ``NO_CURSOR``. It may be ahead of the stream: a
    client that comes from a process which is further waits until this one has caught up, so that ``seq`` never falls.
    """

    __slots__ = ("_epoch", "_reached", "cursor", "filter")

    def __init__(self) -> None:
        self.cursor = NO_CURSOR
        self.filter = NO_FILTER
        self._epoch = ""
        self._reached = 0

    def resume(self, stream: Stream, position: Position) -> bool:
        """Continue after *position*; return ``False`` if later messages have left the ring."""
        if position.epoch != stream.epoch or stream.has_dropped(position.seq):
            return False
        self._epoch, self.cursor = position.epoch, position.seq
        return True

    def start(self, stream: Stream, snapshot: Message) -> bool:
        """Continue after *snapshot*; return ``False`` if later messages have left the ring."""
        return self.resume(stream, Position(snapshot.epoch, snapshot.seq))

    def await_snapshot(self, stream: Stream) -> int:
        """Read nothing until the next snapshot; return the ``seq`` that it must include."""
        same_epoch = self._epoch == stream.epoch
        self._reached = max(stream.seq, self.cursor, self._reached) if same_epoch else stream.seq
        self._epoch, self.cursor = stream.epoch, NO_CURSOR
        return self._reached

    def forget(self) -> None:
        """Drop a position that is none of this feed."""
        self._epoch, self._reached, self.cursor = "", 0, NO_CURSOR

    def advance(self, message: Message) -> bool:
        """Move the cursor to *message*, which must be the next one; return whether it passes the filter."""
        self.cursor = message.seq
        return self.passes(message)

    def passes(self, message: Message) -> bool:
        return self.filter is NO_FILTER or self.filter.passes(message.kind, message.webhook_id)

    def is_lost(self, stream: Stream) -> bool:
        """Whether the next message has left the ring."""
        return self.cursor != NO_CURSOR and stream.has_dropped(self.cursor)

    def is_ahead(self, stream: Stream) -> bool:
        """Whether the stream has yet to reach the cursor."""
        return self.cursor > stream.seq

    def lag(self, stream: Stream) -> int:
        """Return the number of messages after the cursor."""
        return 0 if self.cursor == NO_CURSOR else max(stream.seq - self.cursor, 0)

    def unread(self, stream: Stream) -> Iterator[Message]:
        """Yield the messages after the cursor that pass the filter, moving it; stopping early keeps the rest."""
        for message in stream.after(self.cursor):
            if self.advance(message):
                yield message
