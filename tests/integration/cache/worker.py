"""
One process with a cache, driven by lines of JSON: ``… worker URL DIRECTORY PATIENCE``.

The database is a directory: for each key a file that every write appends to, whose size is the version, and a file with
one byte for each creation. Files are locked while read and written, so versions are the true order of the writes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import structlog

from monitor.adapters.clock import SystemClock
from monitor.adapters.redis.endpoint import endpoint
from monitor.cache import Cache, Key, Policy, RedisCacheServer, View, Warmer

KEYS = 50
VIEW = View("thing", Policy(fresh_s=5, stale_s=30, grace_s=600), ("things", "thing:{id}"), ("id",))


class Source:
    """The database: see above."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def version(self, key: Key) -> int:
        return self._with(key, lambda file: os.fstat(file).st_size)

    def change(self, key: Key) -> int:
        """Write a new version and return it."""
        return self._with(key, lambda file: (os.write(file, b"."), os.fstat(file).st_size)[1])

    def count_creation(self, key: Key) -> None:
        with (self._directory / f"created-{key.tags[1]}").open("ab") as file:
            file.write(b".")

    def _with(self, key: Key, act: Callable[[int], int]) -> int:
        file = os.open(self._directory / key.tags[1], os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            return act(file)
        finally:
            os.close(file)


class Worker:
    def __init__(self, url: str, directory: Path, patience: float) -> None:
        self.source = Source(directory)
        self.clock = SystemClock()
        # Tests share a server, not a cache.
        prefix = f"{{{directory.name}}}:"
        at = endpoint(url, lambda: prefix)
        self.server = RedisCacheServer(at.url, prefix=prefix, patience=patience, options=at.options, find_s=at.find_s)
        self.cache = Cache(self.clock, server=self.server)

    def creator(self, key: Key, creator_s: float) -> Callable[[], Awaitable[bytes]]:
        async def create() -> bytes:
            self.source.count_creation(key)
            version = self.source.version(key)
            await asyncio.sleep(creator_s)
            return b"%d" % version

        return create

    async def stampede(self, *, ids: list[int], callers: int, creator_s: float) -> dict[str, Any]:
        """Read each of *ids* *callers* times at once; return the times of the reads in ms."""

        async def one(key: Key) -> float:
            began_at = time.perf_counter()
            await self.cache.get(key, self.creator(key, creator_s))
            return (time.perf_counter() - began_at) * 1000

        keys = [VIEW.key(id=number) for number in ids]
        return {"ms": await asyncio.gather(*(one(key) for key in keys for _ in range(callers)))}

    async def read(self, *, id: int) -> dict[str, Any]:  # noqa: A002
        """Return the version read, and whether memory is trusted."""
        key = VIEW.key(id=id)
        entry = await self.cache.get(key, self.creator(key, 0))
        return {"version": int(entry.body), "trusted": self.cache.stats().trusted}

    async def create_endlessly(self, *, id: int) -> dict[str, Any]:  # noqa: A002
        """Start a creation that never ends; return once it runs."""
        begun = asyncio.Event()

        async def create() -> bytes:
            begun.set()
            await asyncio.sleep(3600)
            return b""

        key = VIEW.key(id=id)
        self._hanging = asyncio.create_task(self.cache.get(key, create))
        await begun.wait()
        return {}

    async def live(self, *, seconds: float, reads_per_s: float, writes_per_s: float) -> dict[str, Any]:
        """Read by a Zipf law and write now and then; return each read and each write with its times."""
        dice = random.Random(os.getpid())
        weights = [1 / (rank + 1) for rank in range(KEYS)]
        end = time.monotonic() + seconds
        reads: list[tuple[int, float, int, bool, bool]] = []
        writes: list[tuple[int, int, float, float, bool, bool]] = []
        errors: list[str] = []

        async def read() -> None:
            number = dice.choices(range(KEYS), weights)[0]
            key = VIEW.key(id=number)
            began_at, gate = time.monotonic(), self.cache._state.gate
            shares = gate.is_open
            try:
                entry = await self.cache.get(key, self.creator(key, dice.random() * 0.3))
            except Exception as error:  # noqa: BLE001 - counted
                errors.append(repr(error))
            else:
                reads.append((number, began_at, int(entry.body), entry.stale, shares or gate.is_open))

        async def write() -> None:
            number = dice.choices(range(KEYS), weights)[0]
            key = VIEW.key(id=number)
            version, written_at = self.source.change(key), time.monotonic()
            acknowledged = dice.random() < 0.5
            taken = await self.cache.invalidate([key.tags[1]], acknowledged=acknowledged)
            writes.append((number, version, written_at, time.monotonic(), acknowledged, taken))

        async def at_rate(per_s: float, act: Callable[[], Awaitable[None]], tasks: set[asyncio.Task[None]]) -> None:
            while time.monotonic() < end:
                await asyncio.sleep(dice.expovariate(per_s))
                task = asyncio.ensure_future(act())
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        tasks: set[asyncio.Task[None]] = set()
        await asyncio.gather(at_rate(reads_per_s, read, tasks), at_rate(writes_per_s, write, tasks))
        await asyncio.gather(*tasks)
        return {"reads": reads, "writes": writes, "errors": errors}

    async def watch(self, *, seconds: float, creator_s: float) -> dict[str, Any]:
        """Read a few keys without a pause; return the times in ms, the errors, and each change of trust."""
        keys = [VIEW.key(id=number) for number in range(5)]
        end, ms, errors, trust = time.monotonic() + seconds, [], [], [(time.monotonic(), True)]
        while time.monotonic() < end:
            for key in keys:
                began_at = time.perf_counter()
                try:
                    await self.cache.get(key, self.creator(key, creator_s))
                except Exception as error:  # noqa: BLE001 - counted
                    errors.append(repr(error))
                ms.append((time.perf_counter() - began_at) * 1000)
            trusted = self.cache.stats().trusted
            if trusted != trust[-1][1]:
                trust.append((time.monotonic(), trusted))
            await asyncio.sleep(0.005)
        return {"ms": ms, "errors": errors, "trust": trust}

    async def invalidate(self, *, id: int, acknowledged: bool) -> dict[str, Any]:  # noqa: A002
        key = VIEW.key(id=id)
        self.source.change(key)
        return {"taken": await self.cache.invalidate([key.tags[1]], acknowledged=acknowledged)}

    async def warm(self, *, seconds: float, tick_s: float, ids: list[int], creator_s: float) -> dict[str, Any]:
        """
        Tick and read, by a policy that spans two ticks.

        Returns:
            The ticks that this process saw pass, which of them were its own, and the reads that waited.
        """
        view = View("warm", Policy(tick_s, 2 * tick_s, 600), (), ("id",))
        pinned = []
        for number in ids:
            key = view.key(id=number)
            source_key = VIEW.key(id=number)
            pinned.append((key, self.creator(source_key, creator_s)))
        warmer = Warmer(self.cache, pinned, tick_s=tick_s)
        missing = await warmer.warm()
        end, before = time.monotonic() + seconds, self._misses("warm")
        seen: set[int] = set()
        ours: list[int] = []
        while time.monotonic() < end:
            number = int(time.time() // tick_s)
            seen.add(number)
            if await warmer.tick() is not None:
                ours.append(number)
                print(json.dumps({"tick": number}), flush=True)
            for key, create in pinned:
                await self.cache.get(key, create)
            await asyncio.sleep(tick_s / 7)
        return {"seen": sorted(seen), "ours": ours, "missing": missing, "misses": self._misses("warm") - before}

    async def flood(self, *, keys: int) -> dict[str, Any]:
        """Read *keys* different keys by a cache without a server; return the growth of memory and what is left."""
        cache = Cache(self.clock)
        body = b'{"text": "' + b"x" * 400 + b'"}'

        async def create() -> bytes:
            return body

        async def some(numbers: range) -> None:
            for number in numbers:
                await cache.get(VIEW.key(id=number), create)

        before = psutil.Process().memory_info().rss
        await asyncio.gather(*(some(range(first, keys, 16)) for first in range(16)))
        stats, state = cache.stats(), cache._state
        return {
            "grown_bytes": psutil.Process().memory_info().rss - before,
            "entries": stats.entries,
            "bytes": stats.bytes,
            "in_flight": len(state.in_flight._all) + len(state.in_flight._by_key),
            "waiting": len(state.waiters._events),
            "tags": len(state.memory._by_tag),
        }

    def _misses(self, name: str) -> int:
        return sum(view.misses for view in self.cache.stats().views if view.view == name)


async def main(url: str, directory: Path, patience: float) -> None:
    # The output is for results.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    worker = Worker(url, directory, patience)
    loop = asyncio.get_running_loop()
    async with worker.cache:
        print(json.dumps({"trusted": worker.cache.stats().trusted}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            result = await getattr(worker, command.pop("do"))(**command)
            print(json.dumps(result), flush=True)
    await worker.server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
