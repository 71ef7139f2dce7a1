"""The state that the modules of one process's cache share."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.cache.config import CacheConfig
from monitor.cache.connection_gate import ConnectionGate
from monitor.cache.invalidation_bus import InvalidationBus, LocalBus, Supervise
from monitor.cache.load import InFlight
from monitor.cache.memory import Memory
from monitor.cache.server import CacheServer
from monitor.cache.stats import CacheStats, Counters
from monitor.cache.waiters import Waiters
from monitor.domain.ports.clock import Clock


class CacheState:
    """Everything that one process's cache consists of. Building it does no I/O."""

    def __init__(self, clock: Clock, server: CacheServer | None, config: CacheConfig, supervise: Supervise) -> None:
        self.clock = clock
        self.config = config
        self.server = server
        self.gate = ConnectionGate()
        self.waiters = Waiters()
        self.memory = Memory(config.l1_bytes)
        self.counters = Counters()
        self.in_flight = InFlight()
        self.bus: InvalidationBus | LocalBus = (
            LocalBus(self.apply_invalidation)
            if server is None
            else InvalidationBus(
                server, self.gate, self.waiters, clock, config, apply=self.apply_invalidation, supervise=supervise
            )
        )

    @property
    def trusted(self) -> bool:
        """Whether memory may be served: every invalidation has been applied to it."""
        return self.clock.monotonic() < self.bus.trusted_until

    def unix_s(self) -> float:
        return self.clock.now().timestamp()

    def apply_invalidation(self, tags: Iterable[str], keys: Iterable[str]) -> None:
        """Invalidate values in memory and supersede the loads that may have read what is no longer true."""
        self.memory.invalidate(tags)
        for key in keys:
            self.memory.remove(key)
        self.in_flight.supersede(tags, keys)

    def stats(self) -> CacheStats:
        """Return the counts since the start and the state at this moment."""
        views = self.counters.snapshot()
        reads = sum(view.reads for view in views)
        return CacheStats(
            views=views,
            entries=len(self.memory),
            bytes=self.memory.bytes,
            trusted=self.trusted,
            pending_invalidations=self.bus.pending_invalidations,
            hit_ratio=sum(view.hits for view in views) / reads if reads else None,
        )
