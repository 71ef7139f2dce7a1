"""The live feed of one process: publishes messages in one order over all processes, and delivers them to sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.errors import Unavailable
from monitor.domain.live.messages import FeedEntry, Kind, Message
from monitor.domain.live.stream import Stream, Tail
from monitor.domain.ports.feed_log import FeedLog

OUTBOX = 1000
"""Most messages that wait for the log; with more, all readers start from a snapshot."""

BATCH = 256
RETRY_S = 0.5
FLUSH_S = 0.02
RESET_INTERVAL_S = 5.0
"""Least time between two resets: a snapshot for every socket costs more than a message."""


class LiveFeed:
    """
    ``publish`` and ``set_metrics`` return at once and may be called from anywhere in the event loop.

    Args:
        log: ``None`` in a single process, which then numbers its messages itself.
        new_epoch: makes a name that no feed had before.
        sleep: waits between tries while the log is away.
        on_disconnected: called when the log cannot be followed any more.

    While it is not ``connected`` to the log, the messages of this process wait too, so that there is one order.
    """

    def __init__(
        self,
        log: FeedLog | None,
        *,
        now: Callable[[], datetime],
        new_epoch: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_disconnected: Callable[[Unavailable], object] = lambda _error: None,
    ) -> None:
        self._log = log
        self._now = now
        self._sleep = sleep
        self._on_disconnected = on_disconnected
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
        """Make every socket of every process start from a snapshot, since a message may be lost."""
        self._reset_requested.set()

    def set_metrics(self, data: Any) -> None:
        """Replace the metrics that the sockets of this process get with the next tick."""
        self.latest_metrics = self._entry(Kind.METRICS_UPDATE, data, None)
        self.metrics_version += 1

    async def flush(self, within_s: float) -> None:
        """Return when no message waits any more, or after *within_s*; called before the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._outbox:
                    await self._sleep(FLUSH_S)

    @property
    def waiting(self) -> int:
        """How many messages have no number yet."""
        return len(self._outbox)

    def attach(self, deliver: Callable[[list[Message]], Awaitable[None]], restarted: Callable[[], None]) -> None:
        """Set the functions that send messages to sockets, and a snapshot to each when a new epoch begins."""
        self._deliver = deliver
        self._restarted = restarted

    def loops(self, *, follow: bool) -> dict[str, Callable[[], Awaitable[None]]]:
        """
        Return the loops to run under supervision, by name.

        Args:
            follow: read the log of all processes; for a process that has sockets.
        """
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "live_feed.send": self._send_loop,
            "live_feed.reset": self._reset_loop,
        }
        if follow and self._log is not None:
            loops["live_feed.follow"] = partial(self._follow_loop, self._log)
        return loops

    async def _reset_loop(self) -> None:
        while True:
            await self._reset_requested.wait()
            self._reset_requested.clear()
            self._has_lost = True
            self._filled.set()
            await self._sleep(RESET_INTERVAL_S)

    async def _send_loop(self) -> None:
        while True:
            while self._outbox or self._has_lost:
                batch = [self._outbox[i] for i in range(min(BATCH, len(self._outbox)))]
                try:
                    await self._append(batch)
                except Unavailable:
                    await self._sleep(RETRY_S)
                    continue
                # A full outbox may have dropped some of them meanwhile.
                while batch and self._outbox and self._outbox[0][0] <= batch[-1][0]:
                    self._outbox.popleft()
            self._filled.clear()
            await self._filled.wait()

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

    async def _follow_loop(self, log: FeedLog) -> None:
        while True:
            try:
                if self.connected:
                    tail = await log.follow(self.stream.position)
                else:
                    tail = await log.open(self.stream.position)
            except Unavailable as error:
                if self.connected:
                    self._on_disconnected(error)
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
