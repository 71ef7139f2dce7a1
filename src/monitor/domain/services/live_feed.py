"""The live feed of one process: takes messages from anywhere, agrees on their order with the others, hands them on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.errors import Unavailable
from monitor.domain.live.messages import FeedEntry, Kind, Message
from monitor.domain.live.stream import Stream, Tail
from monitor.domain.ports.feed_log import FeedLog

OUTBOX = 1000
"""Messages that wait for the log; when there are more, all readers start anew from a snapshot."""

BATCH = 256
RETRY_S = 0.5
FLUSH_S = 0.02
RESET_INTERVAL_S = 5.0
"""The feed begins anew at most this often: a snapshot for every socket costs more than a message."""


class LiveFeed:
    """
    ``publish`` and ``metrics`` return at once and may be called from any place in the event loop.

    Args:
        log: ``None`` in a process of its own, which then numbers its messages itself.
        new_epoch: makes a name that no feed had before.
        sleep: waits between tries while the log is away.

    ``connected`` tells whether this process hears the others; while it does not, its own messages wait too, so that
    their order stays one.
    """

    def __init__(
        self,
        log: FeedLog | None,
        *,
        now: Callable[[], datetime],
        new_epoch: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._now = now
        self._sleep = sleep
        self._new_epoch = new_epoch
        self.stream = Stream(new_epoch())
        self.connected = log is None
        self.latest_metrics: FeedEntry | None = None
        self.metrics_version = 0
        self._deliver: Callable[[list[Message]], Awaitable[None]] | None = None
        self._restarted: Callable[[], None] | None = None
        self._outbox: deque[tuple[int, FeedEntry]] = deque()
        self._counted = 0
        self._has_lost = False
        self._filled = asyncio.Event()
        self._reset_requested = asyncio.Event()

    def publish(self, kind: Kind | str, data: Any, webhook_id: UUID | None = None) -> None:
        """Send a numbered message to every socket of every process. *data* is JSON in bytes, or what encodes to it."""
        self._counted += 1
        if len(self._outbox) >= OUTBOX:
            self._outbox.clear()
            self._has_lost = True
        self._outbox.append((self._counted, self._entry(Kind(kind), data, webhook_id)))
        self._filled.set()

    def reset(self) -> None:
        """Have every socket of every process start from a snapshot: something may not have been told to anyone."""
        self._reset_requested.set()

    def set_metrics(self, data: Any) -> None:
        """Replace the figures that this process's sockets get with the next tick. Other processes read their own."""
        self.latest_metrics = self._entry(Kind.METRICS_UPDATE, data, None)
        self.metrics_version += 1

    async def flush(self, within_s: float) -> None:
        """Return when nothing waits any more, or after *within_s*: before an end, so that no last word is lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._outbox:
                    await self._sleep(FLUSH_S)

    @property
    def waiting(self) -> int:
        """How many messages have yet to be given a number."""
        return len(self._outbox)

    def attach(self, deliver: Callable[[list[Message]], Awaitable[None]], restarted: Callable[[], None]) -> None:
        """Name who sends messages to sockets, and who gives every socket a snapshot when the order began anew."""
        self._deliver = deliver
        self._restarted = restarted

    async def run(self) -> None:
        """Work until cancelled, through every outage of the log."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._make_good())
            if self._log is not None and self._deliver is not None:
                tasks.create_task(self._follow(self._log))

    async def _make_good(self) -> None:
        while True:
            await self._reset_requested.wait()
            self._reset_requested.clear()
            self._has_lost = True
            self._filled.set()
            await self._sleep(RESET_INTERVAL_S)

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
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
            self._restart(Tail(Stream(self._new_epoch()).position))
        numbered = list(enumerate(entries, stream.seq + 1))
        await self._deliver_all(stream.extend(Tail(stream.position, numbered)) or [])

    async def _follow(self, log: FeedLog) -> None:
        while True:
            try:
                if self.connected:
                    tail = await log.follow(self.stream.position)
                else:
                    tail = await log.open(self.stream.position)
            except Unavailable:
                self.connected = False
                await self._sleep(RETRY_S)
                continue
            messages = self.stream.extend(tail)
            if messages is not None:
                self.connected = True
                await self._deliver_all(messages)
            elif self.connected:
                # Read the whole end of the log: there may be nothing missing but a moment.
                self.connected = False
            else:
                self._restart(tail)
                self.connected = True

    def _restart(self, tail: Tail) -> None:
        self.stream.restart(tail)
        if self._restarted is not None:
            self._restarted()

    async def _deliver_all(self, messages: list[Message]) -> None:
        if messages and self._deliver is not None:
            await self._deliver(messages)

    def _entry(self, kind: Kind, data: Any, webhook_id: UUID | None) -> FeedEntry:
        raw = data if isinstance(data, bytes) else msgspec.json.encode(data)
        return FeedEntry(kind, self._now(), msgspec.Raw(raw), webhook_id)
