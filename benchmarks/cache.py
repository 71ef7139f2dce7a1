"""
The cache's own speed, in one process beside a Redis on the same machine: what a hit costs in memory and at the server,
what a stampede and an acknowledged invalidation cost, and how much memory a flood of keys takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import psutil
from redis.asyncio import Redis

from benchmarks.support import Figure, Figures, median, quantile
from monitor.adapters.clock import SystemClock
from monitor.cache import Cache, Policy, RedisCacheServer, View
from monitor.cache.redis_server import PREFIX
from tests import servers

VIEW = View("bench", Policy(600, 600, 600), ("all", "thing:{id}"), ("id",))
BODY = b'{"text": "' + b"x" * 900 + b'"}'
PEEKS = 200_000
READS = 3_000
FLOOD = 40_000
MIB = 2**20


async def run() -> list[Figure]:
    figures = Figures("cache")
    with servers.redis() as url:
        async with _cache(url) as cache, _cache(url) as other:
            await _hits(figures, cache, other, url)
            await _invalidations(figures, cache, other)
            await _stampede(figures, cache, other)
    await _flood(figures)
    return figures.all


@asynccontextmanager
async def _cache(url: str) -> AsyncIterator[Cache]:
    async with AsyncExitStack() as stack:
        server = RedisCacheServer(url)
        stack.push_async_callback(server.close)
        yield await stack.enter_async_context(Cache(SystemClock(), server=server))


async def _create() -> bytes:
    return BODY


async def _hits(figures: Figures, cache: Cache, other: Cache, url: str) -> None:
    """Compare a hit at the server with a bare MGET of the same names, turn by turn."""
    key = VIEW.key(id=0)
    await other.get(key, _create)
    await cache.get(key, _create)
    began_at = time.perf_counter()
    for _ in range(PEEKS):
        cache.peek(key.text)
    figures.note("hit in memory", (time.perf_counter() - began_at) / PEEKS * 1e9, "ns")
    names = [f"{PREFIX}{name}" for name in (f"v:{key.text}", "t:*", *(f"t:{tag}" for tag in key.tags))]
    hits: list[float] = []
    bare: list[float] = []
    async with Redis.from_url(url) as client:
        for _ in range(READS):
            cache._state.memory.remove(key.text)  # noqa: SLF001 - only so does the next read go to the server
            hits.append(await _ms(lambda: cache.get(key, _create)))
            bare.append(await _ms(lambda: client.mget(names)))
    figures.note("hit at the server, p50", median(hits), "ms")
    figures.note("bare MGET, p50", median(bare), "ms")
    figures.at_most(2.5, "hit at the server to bare MGET", median(hits) / median(bare), "×")


async def _invalidations(figures: Figures, cache: Cache, other: Cache) -> None:
    key = VIEW.key(id=1)
    ms: list[float] = []
    for _ in range(300):
        await other.get(key, _create)
        ms.append(await _ms(lambda: cache.invalidate([key.tags[1]], acknowledged=True)))
        if other.peek(key.text) is not None:
            raise RuntimeError("an acknowledged invalidation left a value behind")
    figures.note("acknowledged invalidation, 2 caches, p50", median(ms), "ms")
    figures.note("acknowledged invalidation, 2 caches, p99", quantile(ms, 0.99), "ms")


async def _stampede(figures: Figures, cache: Cache, other: Cache) -> None:
    """1,000 callers of one cold key in two caches."""
    calls, creator_ms = 0, 50.0

    async def create() -> bytes:
        nonlocal calls
        calls += 1
        await asyncio.sleep(creator_ms / 1000)
        return BODY

    key = VIEW.key(id=2)
    asks = [partial(each.get, key, create) for each in (cache, other) for _ in range(500)]
    waits = await asyncio.gather(*map(_ms, asks))
    figures.at_most(1, "creations for 1,000 callers", calls, "")
    figures.at_most(creator_ms + 40, "stampede on a 50 ms creator, p99", quantile(waits, 0.99), "ms")


async def _flood(figures: Figures) -> None:
    cache = Cache(SystemClock())
    before = psutil.Process().memory_info().rss
    for number in range(FLOOD):
        await cache.get(VIEW.key(id=number), _create)
    grown = psutil.Process().memory_info().rss - before
    figures.at_most(64, f"memory after {FLOOD:,} keys of {len(BODY)} bytes", grown / MIB, "MiB")
    figures.note("keys kept of them", cache.stats().entries, "")


async def _ms(act: Callable[[], Awaitable[object]]) -> float:
    began_at = time.perf_counter()
    await act()
    return (time.perf_counter() - began_at) * 1000
