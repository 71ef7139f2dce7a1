"""What the parts of one process's cache have in common."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.cache.config import CacheConfig
from monitor.cache.connection_gate import Link
from monitor.cache.invalidation_bus import Alone, Bus
from monitor.cache.load import UnderWay
from monitor.cache.memory import Memory
from monitor.cache.server import CacheServer
from monitor.cache.stats import Counters
from monitor.cache.waiters import Wakes
from monitor.domain.ports.clock import Clock


class Process:
    """The state of one process. Building it does no I/O."""

    def __init__(self, clock: Clock, server: CacheServer | None, config: CacheConfig) -> None:
        self.clock = clock
        self.config = config
        self.server = server
        self.link = Link()
        self.wakes = Wakes()
        self.memory = Memory(config.l1_bytes)
        self.counters = Counters()
        self.under_way = UnderWay()
        self.bus: Bus | Alone = (
            Alone(self.drop_here)
            if server is None
            else Bus(server, self.link, self.wakes, clock, config, self.drop_here)
        )

    @property
    def trusted(self) -> bool:
        """Whether memory may be served from: everything that was dropped has been dropped here."""
        return self.clock.monotonic() < self.bus.trusted_until

    def unix_s(self) -> float:
        return self.clock.now().timestamp()

    def drop_here(self, tags: Iterable[str], keys: Iterable[str]) -> None:
        """Drop what is in memory in place, and doom the look-ups that may have read what is dropped."""
        self.memory.drop(tags)
        for key in keys:
            self.memory.remove(key)
        self.under_way.doom(tags, keys)
