"""The caches of several processes on one loop and one clock, which move only when a test moves both."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import dogpile.cache.region
import dogpile.lock

from monitor.cache import Cache, Creator, Entry, Key, Policy, View
from monitor.cache.cache import unsupervised
from monitor.cache.invalidation_bus import Supervise
from monitor.domain.errors import Unavailable
from tests.fakes.cache.server import FakeCacheServer, FakeRedis
from tests.fakes.clock import FakeClock
from tests.fakes.loop import SteppedLoop

T = TypeVar("T")

VIEW = View("view", Policy(fresh_s=5, stale_s=30, grace_s=600), ("all", "thing:{id}"), ("id",))
ONE, TWO = VIEW.key(id=1), VIEW.key(id=2)
BOTH = View("both", VIEW.policy, ("all", "thing:1", "thing:2")).key()
"""Its value is made of those of ONE and TWO."""


class Source:
    """Stands for the database: a version for each thing. A creator returns the version that it read when it began."""

    def __init__(self) -> None:
        self.versions = {ONE.text: 1, TWO.text: 1}
        self.calls: list[str] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    def creator(self, key: Key) -> Creator:
        async def create() -> bytes:
            self.calls.append(key.text)
            body = b"%d" % self.versions[key.text]
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
            return body

        return create

    def change(self, key: Key = ONE) -> None:
        self.versions[key.text] += 1


def composer(cache: Cache, creator: Callable[[Key], Creator]) -> Creator:
    """Return the creator of BOTH in *cache*, with dependencies created by *creator*."""

    async def create() -> bytes:
        entries = await asyncio.gather(*(cache.dependency(key, creator(key)) for key in (ONE, TWO)))
        if any(entry.stale for entry in entries):
            raise Unavailable("a dependency is missing")
        return b",".join(entry.body for entry in entries)

    return create


class Job(Generic[T]):
    """A coroutine in progress, which a test may leave unfinished."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def cancelled(self) -> bool:
        return self._task.cancelled()

    @property
    def error(self) -> BaseException | None:
        return self._task.exception()

    def result(self) -> T:
        """Return its result. Fails if it has not ended."""
        assert self._task.done(), "it has not ended"
        return self._task.result()

    def cancel(self) -> None:
        self._task.cancel()


class World:
    """The surroundings of a scenario."""

    def __init__(self, *, seed: int = 0) -> None:
        self.clock = FakeClock(seed=seed)
        self.loop = SteppedLoop(self.clock)
        self.redis = FakeRedis(self.clock)
        self.source = Source()
        self.caches: list[Cache] = []
        self.servers: dict[Cache, FakeCacheServer] = {}
        self._jobs: list[Job[Any]] = []
        self._failures: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self._failures.append(repr(context)))

    def cache(
        self,
        *,
        alone: bool = False,
        errors: Mapping[str, Exception] = MappingProxyType({}),
        supervise: Supervise = unsupervised,
    ) -> Cache:
        """Start one more process. *errors* are what its server raises, by operation."""
        server = None if alone else FakeCacheServer(self.redis)
        cache = Cache(self.clock, server=server, supervise=supervise)
        self.caches.append(cache)
        if server is not None:
            self.servers[cache] = server
            server.errors.update(errors)
        self.get(cache.start())
        if len(self.caches) == 1:
            # A server that has just started counts an unnamed member for a lease.
            self.pass_time(cache.config.lease_s)
        return cache

    def server(self, cache: Cache) -> FakeCacheServer:
        return self.servers[cache]

    def start(self, work: Coroutine[Any, Any, T]) -> Job[T]:
        """Run *work* until it waits for time to pass."""
        job = Job(self.loop.create_task(work))
        self._jobs.append(job)
        self.loop.run_ready()
        return job

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of *work*, which needs no time to pass."""
        return self.start(work).result()

    def creator(self, cache: Cache, key: Key) -> Creator:
        return composer(cache, self.source.creator) if key is BOTH else self.source.creator(key)

    def ask(self, cache: Cache, key: Key = ONE) -> Job[Entry]:
        return self.start(cache.get(key, self.creator(cache, key)))

    def read(self, cache: Cache, key: Key = ONE) -> bytes:
        """Return what a reader gets now."""
        return self.get(cache.get(key, self.creator(cache, key))).body

    def compose(self, cache: Cache) -> bytes:
        """Return BOTH, composed now."""
        return self.get(cache.refresh(BOTH, self.creator(cache, BOTH))).body

    def write(self, cache: Cache, key: Key = ONE, *, acknowledged: bool = True) -> Job[bool]:
        """Change the thing behind *key* and invalidate its tag."""
        self.source.change(key)
        return self.start(cache.invalidate(key.tags[1:], acknowledged=acknowledged))

    def failures(self) -> list[str]:
        """Return the errors that reached the loop and no caller."""
        gc.collect()
        return self._failures

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)

    def gate(self) -> asyncio.Event:
        return asyncio.Event()

    def cancel(self, job: Job[Any]) -> None:
        """Cancel the caller of *job*."""
        job.cancel()
        self.loop.run_ready()

    def open(self, gate: asyncio.Event) -> None:
        gate.set()
        self.loop.run_ready()

    def kill(self, cache: Cache) -> None:
        """End a process as ``kill -9`` does: it sends nothing more."""
        server = self.servers[cache]
        server.cut = True
        server.cut_bus()
        self.start(cache.stop())
        self.pass_time(0.2)
        self.caches.remove(cache)

    def close(self) -> None:
        for cache in self.caches:
            self.start(cache.stop())
        self.pass_time(1.0)
        for job in self._jobs:
            job.cancel()
        self.loop.run_ready()
        for job in self._jobs:
            # Retrieved, or asyncio complains.
            _ = job.cancelled or job.error
        self.loop.close()


class _Time:
    """Replaces the ``time`` module in dogpile."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.now().timestamp()


@contextmanager
def world(*, seed: int = 0) -> Iterator[World]:
    """A world in which dogpile, too, runs on the test's clock."""
    made = World(seed=seed)
    modules: tuple[Any, ...] = (dogpile.lock, dogpile.cache.region)
    real = [module.time for module in modules]
    for module in modules:
        module.time = _Time(made.clock)
    logging.disable(logging.CRITICAL)
    try:
        yield made
    finally:
        made.close()
        logging.disable(logging.NOTSET)
        for module, time in zip(modules, real, strict=True):
            module.time = time
