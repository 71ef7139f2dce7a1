"""The live feed of one process: agrees with the other processes on the order of messages, and delivers them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from monitor.domain.errors import Unavailable
from monitor.domain.live import FeedEntry, FeedTail, Message, MessageKind, Position, Stream
from monitor.domain.ports.feed_log import FeedLog

OUTBOX = 1000
"""Messages that wait for the log; beyond, every socket of every process starts over from a snapshot."""

BATCH = 256
RETRY_S = 0.5
FLUSH_S = 0.02
RESET_INTERVAL_S = 5.0
"""Least time between resets: a snapshot for every socket costs more than a message."""


class FeedSink(Protocol):
    """The sockets of this process."""

    async def deliver(self, messages: Sequence[Message]) -> None:
        """Send *messages*, which follow upon those before."""

    def restart(self) -> None:
        """Start every socket over from a snapshot: the feed is in a new epoch."""


class LiveFeed:
    """
    ``publish`` and ``reset`` return at once and may be called from anywhere in the event loop.

    While this process does not follow the log, its own messages wait too, so that there is one order.

    Args:
        log: ``None`` in a process of its own, which then numbers its messages itself.
        stream: this process's copy of the end of the feed.
        sink: ``None`` in a process without sockets, which only publishes.
        new_epoch: makes a name that no feed had before.
        sleep: waits between tries while the log is away.
        on_disconnected: called when the log cannot be followed any more.
    """

    def __init__(
        self,
        log: FeedLog | None,
        stream: Stream,
        sink: FeedSink | None = None,
        *,
        now: Callable[[], datetime],
        new_epoch: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_disconnected: Callable[[Unavailable], object] = lambda _error: None,
    ) -> None:
        self.stream = stream
        self._on_disconnected = on_disconnected
        self._log = log
        self._sink = sink
        self._now = now
        self._sleep = sleep
        self._new_epoch = new_epoch
        self._outbox: deque[tuple[int, FeedEntry]] = deque()
        self._counted = 0
        self._has_lost = False
        self._filled = asyncio.Event()
        self._reset_requested = asyncio.Event()
        self._tried = asyncio.Event()
        if log is not None:
            stream.disconnect()

    def publish(self, kind: MessageKind | str, data: Any, webhook_id: UUID | None = None) -> None:
        """Send a numbered message to every socket of every process. *data* is JSON in bytes, or what encodes to it."""
        self._counted += 1
        if len(self._outbox) >= OUTBOX:
            self._outbox.clear()
            self._has_lost = True
        raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
        self._outbox.append((self._counted, FeedEntry(MessageKind(kind), self._now(), msgspec.Raw(raw), webhook_id)))
        self._filled.set()

    def reset(self) -> None:
        """Start every socket of every process over from a snapshot: a message may be lost."""
        self._reset_requested.set()

    async def flush(self, within_s: float) -> None:
        """Return when no message waits any more, or after *within_s*: before the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._outbox:
                    await self._sleep(FLUSH_S)

    async def opened(self, within_s: float) -> None:
        """
        Return once the log was read or refused, or after *within_s*: before the process takes sockets.

        Before that the stream has an epoch of its own, so that no position of a client fits, and one that comes from
        another process would get a snapshot instead of what it has missed.
        """
        if self._log is None or self._sink is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._tried.wait()

    @property
    def waiting(self) -> int:
        """How many messages have yet to be given a number."""
        return len(self._outbox)

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the background tasks by name. Each runs until cancelled, and may be started again after a failure."""
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "live_feed.send": self._send,
            "live_feed.reset": self._reset,
        }
        return loops if self._log is None or self._sink is None else loops | {"live_feed.follow": self._follow}

    async def _reset(self) -> None:
        while True:
            await self._reset_requested.wait()
            self._reset_requested.clear()
            self._has_lost = True
            self._filled.set()
            await self._sleep(RESET_INTERVAL_S)

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            while self._outbox or self._has_lost:
                batch = [self._outbox[i] for i in range(min(BATCH, len(self._outbox)))]
                try:
                    await self._append(batch)
                except Unavailable:
                    await self._sleep(RETRY_S)
                    continue
                # Those that a full outbox dropped meanwhile are gone already.
                while batch and self._outbox and self._outbox[0][0] <= batch[-1][0]:
                    self._outbox.popleft()
            # Not before: after a failure, what still waits is sent by the next start.
            self._filled.clear()

    async def _append(self, batch: list[tuple[int, FeedEntry]]) -> None:
        entries = [entry for _, entry in batch]
        if self._log is None:
            await self._append_here(entries)
            return
        if self._has_lost:
            self._has_lost = False  # Not after it: more may be lost meanwhile.
            try:
                await self._log.restart()
            except BaseException:
                self._has_lost = True
                raise
        if batch:
            await self._log.append(batch[0][0], entries)

    async def _append_here(self, entries: list[FeedEntry]) -> None:
        stream = self.stream
        if self._has_lost:
            self._has_lost = False
            self._restart(FeedTail(Position(self._new_epoch(), 0)))
        numbered = list(enumerate(entries, stream.seq + 1))
        await self._deliver(stream.extend(FeedTail(stream.position, numbered)) or [])

    async def _follow(self) -> None:
        log, stream = self._log, self.stream
        assert log is not None
        while True:
            try:
                tail = await (log.follow(stream.position) if stream.connected else log.open(stream.position))
            except Unavailable as error:
                if stream.connected:
                    self._on_disconnected(error)
                stream.disconnect()
                self._tried.set()
                await self._sleep(RETRY_S)
                continue
            messages = stream.extend(tail)
            if messages is not None:
                await self._deliver(messages)
            elif stream.connected:
                # Read the whole end of the log next: perhaps nothing is missing.
                stream.disconnect()
            else:
                self._restart(tail)
            if stream.connected:
                self._tried.set()

    def _restart(self, tail: FeedTail) -> None:
        self.stream.restart(tail)
        if self._sink is not None:
            self._sink.restart()

    async def _deliver(self, messages: list[Message]) -> None:
        if not messages or self._sink is None:
            return
        try:
            await self._sink.deliver(messages)
        except Exception:
            # Some sockets have them and some have not.
            self._sink.restart()
            raise
