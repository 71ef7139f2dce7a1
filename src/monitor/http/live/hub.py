"""All sockets of one process: gives each its snapshot, sends every message to all, and shows the door in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec
import structlog

from monitor.domain.errors import MonitorError, TooManyRequests, Unavailable
from monitor.domain.live import CloseCode, FeedEntry, Kind, Message, Resume, SocketGrant, Subscribe, seal, seal_error
from monitor.domain.live.reader import WAITING, Filter
from monitor.domain.live.stream import Position
from monitor.domain.services.live_feed import LiveFeed
from monitor.http.live.socket import Socket

TICK_S = 1.0
"""How often figures go out at most, and tokens and slow readers are looked at."""

HEARTBEAT_S = 30.0
DISCONNECTED_SNAPSHOT_S = 5.0
"""How often sockets get a snapshot while this process is not connected to the log."""

RETRY_S = 1.0
CHUNK = 256
"""Sockets that are written to before others get a turn: a few milliseconds."""

log = structlog.get_logger(__name__)


class SocketStatus(msgspec.Struct, frozen=True):
    """One open socket; ``backlog`` counts the messages that it has yet to take."""

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
        snapshot: returns the JSON that shows everything; raises ``Unavailable`` if it cannot be had now.
        now: Unix seconds.
        max_per_user: sockets that one subject may hold in this process.
        sleep: waits between ticks and tries.
    """

    def __init__(
        self,
        feed: LiveFeed,
        snapshot: Callable[[], Awaitable[bytes]],
        *,
        now: Callable[[], float],
        is_revoked: Callable[[str], bool],
        max_per_user: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.feed = feed
        self.stream = feed.stream
        self.draining = False
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._snapshot = snapshot
        self._now = now
        self._is_revoked = is_revoked
        self._max_per_user = max_per_user
        self._sleep = sleep
        self._sockets: dict[Socket, None] = {}
        self._per_user: Counter[str] = Counter()
        self._opened = 0
        # To each the number that its snapshot must include.
        self._waiting: dict[Socket, int] = {}
        self._snapshot_needed = asyncio.Event()
        feed.attach(self.deliver, self.restart)

    @property
    def count(self) -> int:
        return len(self._sockets)

    def status(self) -> HubStatus:
        """Return the open sockets: subject, since when, and backlog."""
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
            connected=self.feed.connected,
            draining=self.draining,
        )

    # One socket ------------------------------------------------------------------------------------------------------

    def reserve(self, grant: SocketGrant) -> None:
        """
        Take one of the grant's places; :meth:`leave` gives it back.

        Raises:
            Unavailable: the process is about to stop.
            TooManyRequests: the grant has as many sockets as one may have.
        """
        if self.draining:
            raise Unavailable("This process is about to stop; connect again.", retry_after_s=1.0)
        if self._per_user[grant.subject] >= self._max_per_user:
            raise TooManyRequests(f"One user may hold {self._max_per_user} live feeds.", retry_after_s=5.0)
        self._per_user[grant.subject] += 1

    def release(self, subject: str, socket: Socket | None) -> None:
        """Give a place back. *socket* is ``None`` if there never was one."""
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
        """Let *socket* go on from *position*, or else from a snapshot."""
        if position is not None and socket.resume(self.stream, position):
            self._waiting.pop(socket, None)
            return
        socket.reader.wait()
        self._waiting[socket] = self.stream.seq
        self._snapshot_needed.set()

    def handle(self, socket: Socket, frame: Subscribe | Resume) -> None:
        """
        Handle a frame of *socket*.

        Raises:
            Invalid: it names a topic that does not exist.
        """
        position = frame.position if isinstance(frame, Resume) else None
        wanted = Filter.of(frame.topics, frame.webhooks)
        if position is not None and socket.reader.cursor != WAITING:
            # The snapshot was faster, and covers the resumption.
            return
        socket.reader.filter = wanted
        self.begin(socket, position)

    def report_error(self, socket: Socket, error: MonitorError) -> None:
        """Answer a bad frame; see ``close_code_of`` for what follows."""
        at = datetime.fromtimestamp(self._now(), UTC)
        socket.fail(error, seal_error(error, self.stream.epoch, max(socket.reader.cursor, 0), at))

    def _drained(self, socket: Socket) -> None:
        if socket in self._waiting:
            self._snapshot_needed.set()
        else:
            socket.catch_up(self.stream)

    # All sockets -----------------------------------------------------------------------------------------------------

    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the loops to run under supervision, by name."""
        return {"live_hub.snapshots": self._snapshot_loop, "live_hub.ticks": self._tick_loop}

    async def deliver(self, messages: Iterable[Message]) -> None:
        """Send numbered messages, each to every socket before the next."""
        for message in messages:
            for chunk in _chunks(self._sockets):
                now = self._now()
                for socket in chunk:
                    socket.send_numbered(message, now)
                await asyncio.sleep(0)

    def restart(self) -> None:
        """Give every socket a snapshot: a new epoch began."""
        for socket in self._sockets:
            self.begin(socket, None)

    def drain(self) -> None:
        """Refuse new sockets, and close the open ones with 1012. Safe to repeat."""
        self.draining = True
        for socket in tuple(self._sockets):
            socket.end(CloseCode.RESTART, "restarting")

    async def send_snapshots(self) -> None:
        """Send one snapshot to all sockets that wait for it. Raises ``Unavailable``; then all go on waiting."""
        self._snapshot_needed.clear()
        guests = [socket for socket in self._waiting if not socket.transport.congested]
        if not guests:
            return
        # The position is taken first: what happens while the snapshot is read is sent again afterwards.
        position, version = self.stream.position, self.feed.metrics_version
        snapshot = await self._snapshot_message(position)
        for chunk in _chunks(guests):
            for socket in chunk:
                # A socket that subscribed again meanwhile may be ahead of this snapshot.
                fits = self._waiting.get(socket, position.seq + 1) <= position.seq
                if fits and socket.start(self.stream, snapshot):
                    del self._waiting[socket]
                    socket.metrics_version = version
            await asyncio.sleep(0)
        if self._waiting:
            self._snapshot_needed.set()

    async def _snapshot_message(self, position: Position) -> Message:
        data = msgspec.Raw(await self._snapshot())
        at = datetime.fromtimestamp(self._now(), UTC)
        return seal(FeedEntry(Kind.SNAPSHOT, at, data), position.epoch, position.seq)

    async def _snapshot_loop(self) -> None:
        while True:
            await self._snapshot_needed.wait()
            try:
                await self.send_snapshots()
            except Unavailable as error:
                log.warning("live_snapshot_failed", detail=error.detail)
                self._snapshot_needed.set()
                await self._sleep(RETRY_S)
            except BaseException:
                # For the loop that is started after this one.
                self._snapshot_needed.set()
                raise

    async def _tick_loop(self) -> None:
        beats = 0
        while True:
            await self._sleep(TICK_S)
            beats += 1
            try:
                await self.tick(beats)
            except Unavailable as error:
                log.warning("live_tick_failed", detail=error.detail)

    async def tick(self, beats: int) -> None:
        """Do what is due in second number *beats*."""
        for socket in tuple(self._sockets):
            socket.check(self.stream, self._now(), self._is_revoked)
        await self._send_metrics()
        if beats % round(HEARTBEAT_S / TICK_S) == 0:
            await self._repeat(self._now_entry(Kind.HEARTBEAT, b'{"every_s":%d}' % HEARTBEAT_S))
        if not self.feed.connected and beats % round(DISCONNECTED_SNAPSHOT_S / TICK_S) == 0 and self._sockets:
            snapshot = await self._snapshot_message(self.stream.position)
            await self._broadcast(snapshot, self._sockets)

    async def _send_metrics(self) -> None:
        """Send the newest metrics to the sockets that lack that version."""
        figures, version = self.feed.latest_metrics, self.feed.metrics_version
        if figures is None:
            return
        owed = [socket for socket in self._sockets if socket.metrics_version != version]
        if not owed:
            return
        message = seal(figures, self.stream.epoch, self.stream.seq)
        for chunk in _chunks(owed):
            now = self._now()
            for socket in chunk:
                if socket.send_unnumbered(message, now):
                    socket.metrics_version = version
            await asyncio.sleep(0)

    async def _repeat(self, entry: FeedEntry) -> None:
        await self._broadcast(seal(entry, self.stream.epoch, self.stream.seq), self._sockets)

    async def _broadcast(self, message: Message, sockets: Iterable[Socket]) -> None:
        for chunk in _chunks(sockets):
            now = self._now()
            for socket in chunk:
                socket.send_unnumbered(message, now)
            await asyncio.sleep(0)

    def _now_entry(self, kind: Kind, data: bytes) -> FeedEntry:
        return FeedEntry(kind, datetime.fromtimestamp(self._now(), UTC), msgspec.Raw(data))


def _chunks(sockets: Iterable[Socket]) -> Iterator[list[Socket]]:
    """Cut a copy of *sockets*, which may change meanwhile."""
    rest = iter(tuple(sockets))
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
