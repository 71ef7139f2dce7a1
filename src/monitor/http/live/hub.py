"""The sockets of one process: snapshots, messages to all, and closing when a token ends or a reader stalls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec
import structlog

from monitor.domain.errors import MonitorError, TooManyRequests, Unavailable
from monitor.domain.live import (
    FeedEntry,
    Filter,
    Message,
    MessageKind,
    Position,
    Resume,
    SocketGrant,
    Stream,
    Subscribe,
)
from monitor.domain.live.reader import NO_CURSOR
from monitor.http.live.close_codes import CloseCode
from monitor.http.live.frames import encode_entry, encode_error
from monitor.http.live.socket import Socket

TICK_S = 1.0
"""How often metrics are sent at most, and tokens and slow readers are checked."""

HEARTBEAT_S = 30.0
DISCONNECTED_SNAPSHOT_S = 5.0
"""While this process does not follow the log, its sockets get a snapshot this often instead."""

AHEAD_TICKS = 30
"""A connected process reaches every position of its feed in this many ticks; one beyond is not of this feed."""

RETRY_S = 1.0
CHUNK = 256
"""Sockets that are written to before other tasks run: a few milliseconds."""

log = structlog.get_logger(__name__)


class SocketStatus(msgspec.Struct, frozen=True):
    """One open socket; ``backlog`` counts the messages that it has yet to be sent."""

    subject: str
    since: datetime
    backlog: int
    congested: bool


class HubStatus(msgspec.Struct, frozen=True):
    """``opened`` and ``closed`` (by reason) and ``refused`` (by problem) count since the process started."""

    sockets: list[SocketStatus]
    per_user: dict[str, int]
    opened: int
    closed: dict[str, int]
    refused: dict[str, int]
    connected: bool
    draining: bool


class Hub:
    """
    Args:
        snapshot: computes the JSON of the dashboard after it was called; raises ``Unavailable`` if it cannot now.
        now: Unix seconds.
        is_revoked: called with the ``jti`` of each open socket's token every second.
        holds_key: called likewise with the id of the key that signed it.
        max_per_user: sockets that one subject may hold in this process.
        sleep: waits between ticks and tries.
    """

    def __init__(
        self,
        stream: Stream,
        snapshot: Callable[[], Awaitable[bytes]],
        *,
        now: Callable[[], float],
        is_revoked: Callable[[str], bool],
        holds_key: Callable[[str], bool],
        max_per_user: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.stream = stream
        self.draining = False
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._snapshot = snapshot
        self._now = now
        self._is_revoked = is_revoked
        self._holds_key = holds_key
        self._max_per_user = max_per_user
        self._sleep = sleep
        self._sockets: dict[Socket, None] = {}
        self._per_user: Counter[str] = Counter()
        self._opened = 0
        self._ticks = 0
        self._metrics: FeedEntry | None = None
        self._metrics_version = 0
        # By socket, the number that its snapshot must include.
        self._waiting: dict[Socket, int] = {}
        self._snapshot_needed = asyncio.Event()

    @property
    def count(self) -> int:
        return len(self._sockets)

    def status(self) -> HubStatus:
        """Return the open sockets, and counts of all since the start."""
        return HubStatus(
            sockets=[
                SocketStatus(
                    subject=socket.session.grant.subject,
                    since=datetime.fromtimestamp(socket.since, UTC),
                    backlog=socket.reader.lag(self.stream),
                    congested=socket.transport.congested,
                )
                for socket in self._sockets
            ],
            per_user=dict(self._per_user),
            opened=self._opened,
            closed=dict(self.closed),
            refused=dict(self.refused),
            connected=self.stream.connected,
            draining=self.draining,
        )

    def reserve(self, grant: SocketGrant) -> None:
        """
        Reserve a place for a socket of *grant*'s subject; :meth:`release` gives it back.

        Raises:
            Unavailable: the process is about to stop.
            TooManyRequests: the subject has as many sockets as one may have.
        """
        if self.draining:
            raise Unavailable("This process is about to stop; connect again.", retry_after_s=1.0)
        if self._per_user[grant.subject] >= self._max_per_user:
            raise TooManyRequests(f"One user may hold {self._max_per_user} live feeds.", retry_after_s=5.0)
        self._per_user[grant.subject] += 1

    def release(self, subject: str, socket: Socket | None) -> None:
        """Give a place back. *socket* is ``None`` if none was opened."""
        self._per_user[subject] -= 1
        if not self._per_user[subject]:
            del self._per_user[subject]
        if socket is not None:
            socket.is_open = False
            if socket in self._sockets:
                del self._sockets[socket]
                self.closed[socket.close_reason or "client"] += 1
            self._waiting.pop(socket, None)

    def add(self, socket: Socket) -> None:
        self._sockets[socket] = None
        self._opened += 1
        socket.transport.on_drained = lambda: self._drained(socket)

    def begin(self, socket: Socket, position: Position | None) -> None:
        """Start *socket* from *position*, or else from a snapshot that is not behind what its client has."""
        if position is not None and socket.resume(self.stream, position):
            self._waiting.pop(socket, None)
            return
        self._waiting[socket] = socket.reader.await_snapshot(self.stream)
        self._snapshot_needed.set()

    def handle(self, socket: Socket, frame: Subscribe | Resume) -> None:
        """
        Apply a frame of *socket*'s client.

        Raises:
            Invalid: it names a topic that does not exist.
        """
        position = frame.position if isinstance(frame, Resume) else None
        wanted = Filter.of(frame.topics, frame.webhooks)
        if position is not None and socket.reader.cursor != NO_CURSOR:
            # The snapshot was faster; it holds all that a resumption could.
            return
        socket.reader.filter = wanted
        self.begin(socket, position)

    def report_error(self, socket: Socket, error: MonitorError) -> None:
        """Send the error of a bad frame, and close the socket if ``close_code_of`` demands it."""
        at = datetime.fromtimestamp(self._now(), UTC)
        socket.fail(error, encode_error(error, self.stream.epoch, socket.reader.cursor, at))

    def _drained(self, socket: Socket) -> None:
        if socket in self._waiting:
            self._snapshot_needed.set()
        else:
            socket.catch_up(self.stream)

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the background tasks by name. Each runs until cancelled, and may be started again after a failure."""
        return {"live_hub.snapshots": self._snapshot_loop, "live_hub.ticks": self._tick_loop}

    def set_metrics(self, data: bytes) -> None:
        """Replace the metrics, as JSON, that this process's sockets get with the next tick."""
        self._metrics = self._entry(MessageKind.METRICS_UPDATE, data)
        self._metrics_version += 1

    async def deliver(self, messages: Iterable[Message]) -> None:
        """Send numbered messages, each to every socket before the next."""
        for message in messages:
            for chunk in _chunks(self._sockets):
                now = self._now()
                for socket in chunk:
                    socket.send_numbered(message, now)
                await asyncio.sleep(0)
        if self._waiting:
            self._snapshot_needed.set()

    def restart(self) -> None:
        """Start every socket over from a snapshot: the stream is in a new epoch."""
        for socket in self._sockets:
            self.begin(socket, None)

    def drain(self) -> None:
        """Refuse new sockets and close the open ones, so that clients connect to another process. Safe to repeat."""
        self.draining = True
        for socket in tuple(self._sockets):
            socket.end(CloseCode.RESTART, "restarting")

    async def send_snapshots(self) -> None:
        """Send one snapshot to all sockets that wait for one. Raises ``Unavailable``: the wait goes on."""
        self._snapshot_needed.clear()
        # The position is taken first: what happens while the snapshot is read is sent again after it, not left out.
        position, version = self.stream.position, self._metrics_version
        waiting = [
            socket
            for socket, needed in self._waiting.items()
            if needed <= position.seq and not socket.transport.congested
        ]
        if not waiting:
            return
        snapshot = await self._snapshot_message(position)
        for chunk in _chunks(waiting):
            for socket in chunk:
                # A socket that began again meanwhile may have been sent more than this snapshot shows.
                fits = self._waiting.get(socket, position.seq + 1) <= position.seq
                if fits and socket.start(self.stream, snapshot):
                    del self._waiting[socket]
                    socket.metrics_version = version
            await asyncio.sleep(0)
        if self._waiting:
            self._snapshot_needed.set()

    async def _snapshot_message(self, position: Position) -> Message:
        return encode_entry(await self._snapshot_entry(), position.epoch, position.seq)

    async def _snapshot_entry(self) -> FeedEntry:
        return self._entry(MessageKind.SNAPSHOT, await self._snapshot())

    async def _snapshot_loop(self) -> None:
        while True:
            await self._snapshot_needed.wait()
            try:
                await self.send_snapshots()
            except BaseException as error:
                self._snapshot_needed.set()
                if not isinstance(error, Unavailable):
                    raise
                log.warning("live_snapshot_failed", detail=error.detail)
                await self._sleep(RETRY_S)

    async def _tick_loop(self) -> None:
        while True:
            await self._sleep(TICK_S)
            self._ticks += 1
            try:
                await self.tick(self._ticks)
            except Unavailable as error:
                log.warning("live_tick_failed", detail=error.detail)

    async def tick(self, ticks: int) -> None:
        """Do what is due in second number *ticks*."""
        for socket in tuple(self._sockets):
            socket.check(self.stream, self._now(), self._is_revoked, self._holds_key)
            self._check_position(socket)
        await self._send_metrics()
        if ticks % round(HEARTBEAT_S / TICK_S) == 0:
            heartbeat = self._entry(MessageKind.HEARTBEAT, b'{"every_s":%d}' % HEARTBEAT_S)
            await self._broadcast_at_cursors(heartbeat)
        if not self.stream.connected and ticks % round(DISCONNECTED_SNAPSHOT_S / TICK_S) == 0 and self._sockets:
            await self._broadcast_at_cursors(await self._snapshot_entry())

    def _check_position(self, socket: Socket) -> None:
        """Start *socket* over if the stream does not reach the position that its client claims to have."""
        if not socket.reader.is_ahead(self.stream) and self._waiting.get(socket, 0) <= self.stream.seq:
            socket.ahead_ticks = 0
        elif self.stream.connected:
            socket.ahead_ticks += 1
            if socket.ahead_ticks >= AHEAD_TICKS:
                socket.reader.forget()
                self.begin(socket, None)

    async def _broadcast_at_cursors(self, entry: FeedEntry) -> None:
        """Send to every socket at its own position, also to those ahead of the stream: *entry* holds what they have."""
        seq = self.stream.seq
        ahead = {socket.reader.cursor for socket in self._sockets if socket.reader.is_ahead(self.stream)}
        for cursor in (seq, *sorted(ahead)):
            await self._broadcast(encode_entry(entry, self.stream.epoch, cursor), self._sockets)

    async def _send_metrics(self) -> None:
        """Send the newest metrics to every socket that lacks these: all after a change, else those skipped then."""
        metrics, version = self._metrics, self._metrics_version
        lacking = [socket for socket in self._sockets if socket.metrics_version != version]
        if metrics is not None and lacking:
            message = encode_entry(metrics, self.stream.epoch, self.stream.seq)
            for socket in await self._broadcast(message, lacking):
                socket.metrics_version = version

    async def _broadcast(self, message: Message, sockets: Iterable[Socket]) -> list[Socket]:
        """Send a message without a number; return the sockets that were at its position."""
        reached = []
        for chunk in _chunks(sockets):
            now = self._now()
            reached += [socket for socket in chunk if socket.send_unnumbered(message, now)]
            await asyncio.sleep(0)
        return reached

    def _entry(self, kind: MessageKind, data: bytes) -> FeedEntry:
        return FeedEntry(kind, datetime.fromtimestamp(self._now(), UTC), msgspec.Raw(data))


def _chunks(sockets: Iterable[Socket]) -> Iterator[list[Socket]]:
    """Cut a copy of *sockets*, which may change meanwhile."""
    rest = iter(tuple(sockets))
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
