"""
Three processes, one server, and everything that can happen to them, for hypothesis to arrange.

What is checked: a read is never older than the last acknowledged write at its start, of all that it is made of; only a
reader that the server was away from may be behind by a lease. Nobody creates a key that somebody else is creating,
unless they have waited long enough or something broke. In the end nothing is left registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.cache import Cache, CacheConfig, Entry, Key
from monitor.domain.errors import Unavailable
from tests.fakes.cache.server import FakeCacheServer
from tests.unit.cache.world import BOTH, ONE, TWO, Job, composer, world

CONFIG = CacheConfig()
KEYS = st.sampled_from([ONE, ONE, ONE, TWO])
PARTS = {ONE: (ONE,), TWO: (TWO,), BOTH: (ONE, TWO)}
WHO = st.integers(0, 2)


class Read(msgspec.Struct):
    cache: Cache
    parts: tuple[Key, ...]
    began_at: float
    acknowledged: list[int]
    """The newest version of each part that was acknowledged when it began."""
    job: Job[Entry]


class Write(msgspec.Struct):
    key: Key
    version: int
    acknowledged: bool
    job: Job[bool]


class Creation(msgspec.Struct, eq=False):
    """One running creator. It has read *version* and waits to be let go."""

    key: Key
    version: int
    gate: asyncio.Event
    faults: int
    """How many there had been when it was asked for; a later one may have cost it its lock."""
    sound: bool
    """Whether it has its lock for certain: it did not tire of waiting, and nothing had just broken."""
    fails: bool = False


class CacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._block = world()
        self.world = self._block.__enter__()
        self.caches = [self.world.cache() for _ in range(3)]
        self.versions = {ONE.text: 1, TWO.text: 1}
        self.acknowledged: dict[str, list[tuple[float, int]]] = {ONE.text: [(0.0, 1)], TWO.text: [(0.0, 1)]}
        self.reads: list[Read] = []
        self.writes: list[Write] = []
        self.creations: list[Creation] = []
        self.troubled_at: dict[Cache, float] = {}
        """When a process was last without the server."""
        self.faults = 0
        self.resting = False
        """Whether creators return at once."""
        self.overlaps: list[str] = []
        """Keys that were created while somebody was creating them."""

    # What happens ------------------------------------------------------------------------------------------------

    @rule(who=WHO, key=KEYS | st.just(BOTH))
    def read(self, who: int, key: Key) -> None:
        cache, parts = self.caches[who], PARTS[key]
        began_at = self.world.clock.monotonic()
        acknowledged = [max(version for _, version in self.acknowledged[part.text]) for part in parts]
        create = composer(cache, self.creator) if key is BOTH else self.creator(key)
        self.reads.append(Read(cache, parts, began_at, acknowledged, self.world.start(cache.get(key, create))))

    @rule(key=KEYS | st.just(BOTH))
    def read_everywhere(self, key: Key) -> None:
        for who in range(3):
            self.read(who, key)

    @rule(who=WHO, key=KEYS)
    def refresh(self, who: int, key: Key) -> None:
        cache = self.caches[who]
        self.world.start(cache.refresh(key, self.creator(key)))

    @rule(who=WHO, key=KEYS, acknowledged=st.booleans(), everything=st.booleans())
    def write(self, who: int, key: Key, *, acknowledged: bool, everything: bool) -> None:
        self.versions[key.text] += 1
        tags = ["all"] if everything else [key.tags[1]]
        job = self.world.start(self.caches[who].invalidate(tags, acknowledged=acknowledged))
        self.writes.append(Write(key, self.versions[key.text], acknowledged, job))

    @precondition(lambda self: self.creations)
    @rule()
    def finish_creations(self) -> None:
        for creation in list(self.creations):
            self.world.open(creation.gate)

    @precondition(lambda self: self.creations)
    @rule(data=st.data(), fails=st.booleans())
    def finish_creation(self, data: st.DataObject, *, fails: bool) -> None:
        creation = data.draw(st.sampled_from(self.creations))
        creation.fails = fails
        self.world.open(creation.gate)

    @rule(seconds=st.sampled_from([0.01, 0.2, 0.5, 1.1, 5.5, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(who=WHO, count=st.integers(0, 3))
    def slow_bus(self, who: int, count: int) -> None:
        """Hold what is said to a process, but for the next *count*; none lets everything through."""
        server = self.server(who)
        server.hold_bus(held=count > 0 or not server.bus_held)
        if server.subscription is not None and server.bus_held:
            server.subscription.deliver(count)
        self.world.loop.run_ready()

    @rule(who=WHO, key=KEYS)
    def compose_unheard(self, who: int, key: Key) -> None:
        """Have a process put parts together when it has not heard of the newest drop: too rare if left to chance."""
        self.read(who, key)
        self.finish_creations()
        self.server(who).hold_bus(held=True)
        self.write((who + 1) % 3, key, acknowledged=True, everything=False)
        self.read(who, BOTH)
        self.finish_creations()

    @rule(who=WHO, operation=st.sampled_from(["fetch", "invalidate", "store", "lock", "unlock", "ack", "subscribe"]))
    def delay(self, who: int, operation: str) -> None:
        """Keep the requests or the answers of an operation; or let all go that was kept."""
        server = self.server(who)
        if server.before or server.after:
            self.clear(server)
            self.world.loop.run_ready()
        else:
            self.fault(who)
            (server.before if operation in {"invalidate", "ack", "subscribe"} else server.after)[operation] = (
                asyncio.Event()
            )

    @rule(who=WHO, what=st.sampled_from(["break the bus", "cut off", "crash", "flush", "restart", "restore"]))
    def harm(self, who: int, what: str) -> None:
        server = self.server(who)
        if server.cut:
            server.cut = False
        elif what == "break the bus":
            server.cut_bus()
        elif what == "cut off":
            self.fault(who)
            server.cut = True
            server.cut_bus()
        elif what == "crash":
            self.crash(who)
        elif what == "flush":
            self.faults += 1
            self.world.redis.flush()
        else:
            self.restart_server(restored=what == "restore")
        self.world.loop.run_ready()

    def restart_server(self, *, restored: bool) -> None:
        for who in range(3):
            self.fault(who)
        self.world.redis.stop()
        self.world.loop.run_ready()
        self.world.redis.start(restored=restored)

    def crash(self, who: int) -> None:
        self.faults += 1
        crashed = self.caches[who]
        self.reads = [read for read in self.reads if read.cache is not crashed]
        self.world.kill(crashed)
        self.caches[who] = self.world.cache()

    # What must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def reads_are_never_older_than_what_was_acknowledged_before(self) -> None:
        self.note_trouble()
        self.note_acknowledged()
        for read in [read for read in self.reads if read.job.done]:
            self.reads.remove(read)
            if read.job.cancelled or read.job.error is not None:
                continue
            entry = read.job.result()
            read_versions = [int(body) for body in entry.body.split(b",")]
            behind = any(got < floor for got, floor in zip(read_versions, self.floors(read), strict=True))
            assert entry.stale or not behind, f"read {read_versions}, acknowledged was {self.floors(read)}"

    @invariant()
    def nobody_creates_what_somebody_is_creating(self) -> None:
        assert self.overlaps == []

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            self._block.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        for who in range(3):
            server = self.server(who)
            server.cut = False
            server.hold_bus(held=False)
            self.clear(server)
        self.resting = True
        for creation in self.creations:
            creation.gate.set()
        self.world.pass_time(CONFIG.creator_timeout_s + 3)
        self.reads_are_never_older_than_what_was_acknowledged_before()
        assert (self.reads, self.creations) == ([], [])
        assert [write for write in self.writes if not write.job.done] == []
        for cache in self.caches:
            stats, process = cache.stats(), cache._state
            left = (stats.in_flight, stats.pending_invalidations, stats.trusted, len(process.waiters))
            assert left == (0, 0, True, 0), f"under way, owed, trusted, listening: {left}"
            assert (cache._tasks, process.bus._ack_collectors, process.bus._acks) == ({}, {}, set())  # type: ignore[union-attr]
            assert process.memory.tags <= 1 + 2 * stats.entries
        assert self.world.redis.names("l") == set()

    # Book-keeping ------------------------------------------------------------------------------------------------

    def server(self, who: int) -> FakeCacheServer:
        return self.world.server(self.caches[who])

    def fault(self, who: int) -> None:
        self.faults += 1
        self.troubled_at[self.caches[who]] = self.world.clock.monotonic()

    def clear(self, server: FakeCacheServer) -> None:
        for gates in (server.before, server.after):
            for gate in gates.values():
                gate.set()
            gates.clear()

    def note_trouble(self) -> None:
        for cache in self.caches:
            server = self.world.server(cache)
            if (
                server.cut
                or server.before
                or server.after
                or not cache.stats().server_up
                or cache.stats().pending_invalidations
            ):
                self.troubled_at[cache] = self.world.clock.monotonic()

    def note_acknowledged(self) -> None:
        for write in [write for write in self.writes if write.job.done]:
            self.writes.remove(write)
            if not write.job.cancelled and write.job.result() and write.acknowledged:
                self.acknowledged[write.key.text].append((self.world.clock.monotonic(), write.version))

    def floors(self, read: Read) -> list[int]:
        """Return the oldest version of each part that *read* may show."""
        if self.troubled_at.get(read.cache, -1.0) < read.began_at:
            return read.acknowledged
        until = read.began_at - CONFIG.lease_s
        return [
            max((version for at, version in self.acknowledged[part.text] if at <= until), default=1)
            for part in read.parts
        ]

    def creator(self, key: Key) -> Callable[[], Awaitable[bytes]]:
        asked_at, faults = self.world.clock.monotonic(), self.faults

        async def create() -> bytes:
            waited = self.world.clock.monotonic() - asked_at >= CONFIG.lock_wait_s - 0.001
            sound = self.faults == faults and not waited and not self.troubled()
            others = [other for other in self.creations if other.key is key and other.faults == faults and other.sound]
            if sound and others:
                self.overlaps.append(key.text)
            creation = Creation(key, self.versions[key.text], asyncio.Event(), faults, sound)
            self.creations.append(creation)
            try:
                if not self.resting:
                    await creation.gate.wait()
            finally:
                self.creations.remove(creation)
            if creation.fails:
                raise Unavailable("the database is away")
            return b"%d" % creation.version

        return create

    def troubled(self) -> bool:
        self.note_trouble()
        now: Any = self.world.clock.monotonic()
        return any(now - at <= CONFIG.creator_timeout_s for at in self.troubled_at.values())
