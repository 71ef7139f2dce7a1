"""
Three processes, one server, and everything that can happen to them, in an order that hypothesis chooses.

Checked are: a read is never older than the last acknowledged write at its start, of everything it is made of; only a
reader cut off from the server may be behind by a lease. No key is created twice at a time, unless the second has
waited long enough or something broke. In the end nothing is left registered.
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
SOURCES = {ONE: (ONE,), TWO: (TWO,), BOTH: (ONE, TWO)}
PROCESSES = st.integers(0, 2)
DELAYED = ["fetch", "invalidate", "store", "lock", "unlock", "ack", "subscribe"]


class Read(msgspec.Struct):
    cache: Cache
    sources: tuple[Key, ...]
    """The keys that the value is made of."""
    began_at: float
    acknowledged: list[int]
    """The newest acknowledged version of each source when it began."""
    job: Job[Entry]


class Write(msgspec.Struct):
    key: Key
    version: int
    acknowledged: bool
    job: Job[bool]


class Creation(msgspec.Struct, eq=False):
    """One running creator. It has read *version* and waits for its gate."""

    key: Key
    version: int
    gate: asyncio.Event
    faults: int
    """How many there had been when it was requested; a later one may have cost it its lock."""
    sound: bool
    """Whether it holds its lock for certain: its wait did not time out, and nothing had just broken."""
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
        """When a process was last cut off from the server."""
        self.faults = 0
        self.resting = False
        """Whether creators return at once."""
        self.overlaps: list[str] = []
        """Keys that were created twice at a time."""

    # What happens ------------------------------------------------------------------------------------------------

    @rule(process=PROCESSES, key=KEYS | st.just(BOTH))
    def read(self, process: int, key: Key) -> None:
        cache, sources = self.caches[process], SOURCES[key]
        began_at = self.world.clock.monotonic()
        acknowledged = [max(version for _, version in self.acknowledged[source.text]) for source in sources]
        create = composer(cache, self.creator) if key is BOTH else self.creator(key)
        self.reads.append(Read(cache, sources, began_at, acknowledged, self.world.start(cache.get(key, create))))

    @rule(key=KEYS | st.just(BOTH))
    def read_everywhere(self, key: Key) -> None:
        for process in range(3):
            self.read(process, key)

    @rule(process=PROCESSES, key=KEYS)
    def refresh(self, process: int, key: Key) -> None:
        cache = self.caches[process]
        self.world.start(cache.refresh(key, self.creator(key)))

    @rule(process=PROCESSES, key=KEYS, acknowledged=st.booleans(), everything=st.booleans())
    def write(self, process: int, key: Key, *, acknowledged: bool, everything: bool) -> None:
        self.versions[key.text] += 1
        tags = ["all"] if everything else [key.tags[1]]
        job = self.world.start(self.caches[process].invalidate(tags, acknowledged=acknowledged))
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

    @rule(process=PROCESSES, count=st.integers(0, 3))
    def slow_bus(self, process: int, count: int) -> None:
        """Hold the messages to a process, but for the next *count*; 0 holds them, or lets all through."""
        server = self.server(process)
        server.hold_bus(held=count > 0 or not server.bus_held)
        if server.subscription is not None and server.bus_held:
            server.subscription.deliver(count)
        self.world.loop.run_ready()

    @rule(process=PROCESSES, key=KEYS)
    def compose_outdated(self, process: int, key: Key) -> None:
        """Compose a value in a process that has yet to receive the newest invalidation: too rare if left to chance."""
        self.read(process, key)
        self.finish_creations()
        self.server(process).hold_bus(held=True)
        self.write((process + 1) % 3, key, acknowledged=True, everything=False)
        self.read(process, BOTH)
        self.finish_creations()

    @rule(
        process=PROCESSES,
        operation=st.sampled_from(["fetch", "invalidate", "store", "lock", "unlock", "ack", "subscribe"]),
    )
    def delay(self, process: int, operation: str) -> None:
        """Delay the requests or the answers of an operation; or end all such delays."""
        server = self.server(process)
        if server.before or server.after:
            self.clear(server)
            self.world.loop.run_ready()
        else:
            self.fault(process)
            (server.before if operation in {"invalidate", "ack", "subscribe"} else server.after)[operation] = (
                asyncio.Event()
            )

    @rule(
        process=PROCESSES,
        what=st.sampled_from(["break the bus", "cut off", "crash", "flush", "restart", "restore", "fail over"]),
    )
    def harm(self, process: int, what: str) -> None:
        server = self.server(process)
        if server.cut:
            server.cut = False
        elif what == "break the bus":
            server.cut_bus()
        elif what == "cut off":
            self.fault(process)
            server.cut = True
            server.cut_bus()
        elif what == "crash":
            self.crash(process)
        elif what == "flush":
            self.faults += 1
            self.world.redis.flush()
        elif what == "fail over":
            self.fault_everywhere()
            self.world.redis.fail_over()
        else:
            self.restart_server(restored=what == "restore")
        self.world.loop.run_ready()

    @rule()
    def replicate(self) -> None:
        """Bring the replica up to date; what happens until the next time is lost when it is promoted."""
        self.world.redis.replicate()

    def fault_everywhere(self) -> None:
        for process in range(3):
            self.fault(process)

    def restart_server(self, *, restored: bool) -> None:
        self.fault_everywhere()
        self.world.redis.stop()
        self.world.loop.run_ready()
        self.world.redis.start(restored=restored)

    def crash(self, process: int) -> None:
        self.faults += 1
        crashed = self.caches[process]
        self.reads = [read for read in self.reads if read.cache is not crashed]
        self.world.kill(crashed)
        self.caches[process] = self.world.cache()

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
    def no_key_is_created_twice_at_a_time(self) -> None:
        assert self.overlaps == []

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            self._block.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        for process in range(3):
            server = self.server(process)
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
            stats, state = cache.stats(), cache._state
            assert (stats.pending_invalidations, stats.trusted) == (0, True)
            assert (state.in_flight._all, state.in_flight._by_key, state.waiters._events) == (set(), {}, {})
            assert (cache._tasks, state.bus._ack_collectors, state.bus._acks) == ({}, {}, set())  # type: ignore[union-attr]
            assert len(state.memory._by_tag) <= 1 + 2 * stats.entries
        assert self.world.redis.names("l") == set()

    # Book-keeping ------------------------------------------------------------------------------------------------

    def server(self, process: int) -> FakeCacheServer:
        return self.world.server(self.caches[process])

    def fault(self, process: int) -> None:
        self.faults += 1
        self.troubled_at[self.caches[process]] = self.world.clock.monotonic()

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
                or not cache._state.gate.is_open
                or cache.stats().pending_invalidations
            ):
                self.troubled_at[cache] = self.world.clock.monotonic()

    def note_acknowledged(self) -> None:
        for write in [write for write in self.writes if write.job.done]:
            self.writes.remove(write)
            if not write.job.cancelled and write.job.result() and write.acknowledged:
                self.acknowledged[write.key.text].append((self.world.clock.monotonic(), write.version))

    def floors(self, read: Read) -> list[int]:
        """Return the oldest version of each source that *read* may show."""
        if self.troubled_at.get(read.cache, -1.0) < read.began_at:
            return read.acknowledged
        until = read.began_at - CONFIG.lease_s
        return [
            max((version for at, version in self.acknowledged[source.text] if at <= until), default=1)
            for source in read.sources
        ]

    def creator(self, key: Key) -> Callable[[], Awaitable[bytes]]:
        requested_at, faults = self.world.clock.monotonic(), self.faults

        async def create() -> bytes:
            waited = self.world.clock.monotonic() - requested_at >= CONFIG.lock_wait_s - 0.001
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
