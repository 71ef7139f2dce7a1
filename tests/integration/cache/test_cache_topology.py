"""Caches of real processes on Redis as it is run: a failover, a full memory and evictions serve nothing older."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from monitor.adapters.clock import SystemClock
from monitor.adapters.redis.endpoint import endpoint
from monitor.cache import Cache, Policy, RedisCacheServer, View
from tests.integration.cache.processes import LONG, workers
from tests.integration.support import eventually
from tests.redis_parts import Cluster, Node, SentinelSet, cluster, sentinel_set, single

pytestmark = pytest.mark.topology

PROCESSES = 2
BEFORE_S, AFTER_S = (5.0, 10.0) if LONG else (1.5, 4.0)
AWAY_S = 12.0
"""For finding out that a master is gone and promoting its replica, which takes two seconds on an idle machine."""
PATIENCE = 4.0

Topology = SentinelSet | Cluster


@pytest.fixture(params=[sentinel_set, cluster], ids=lambda made: made.__name__)
async def topology(request: pytest.FixtureRequest) -> AsyncIterator[Topology]:
    make: Callable[[], AbstractAsyncContextManager[Topology]] = request.param
    async with make() as made:
        yield made


def older_reads(answers: list[dict[str, Any]]) -> list[str]:
    """
    Return the reads that are older than a write that was answered before they began.

    A write that Redis missed is one for the processes that Redis has lost as well.
    """
    writes: dict[int, list[tuple[int, float, bool]]] = {}
    for answer in answers:
        for number, version, _, answered_at, acknowledged, taken in answer["writes"]:
            if acknowledged:
                writes.setdefault(number, []).append((version, answered_at, taken))
    return [
        f"{number}: read {version} at {began_at:.3f}, {newer} was answered at {answered_at:.3f}, taken: {taken}"
        for answer in answers
        for number, began_at, version, marked, shares in answer["reads"]
        for newer, answered_at, taken in writes.get(number, [])
        if newer > version and answered_at <= began_at and not marked and (taken or not shares)
    ]


async def test_no_read_across_a_failover_is_older_than_a_write_answered_before_it(
    topology: Topology, tmp_path: Path
) -> None:
    name = f"{{{tmp_path.name}}}:"
    async with workers(PROCESSES, topology.url, tmp_path, patience=PATIENCE) as made:
        seconds = BEFORE_S + AWAY_S + AFTER_S
        for worker in made:
            await worker.send("live", seconds=seconds, reads_per_s=60, writes_per_s=5)
        await asyncio.sleep(BEFORE_S)
        began_at = asyncio.get_running_loop().time()
        await topology.fail_over(name)
        print(f"failed over in {asyncio.get_running_loop().time() - began_at:.1f} s")
        answers = [await worker.result() for worker in made]
        trusted = await asyncio.gather(*(worker.call("watch", seconds=1, creator_s=0) for worker in made))
    writes = [write for answer in answers for write in answer["writes"]]
    missed = sum(not taken for *_, taken in writes)
    print(f"{sum(len(a['reads']) for a in answers)} reads, {len(writes)} writes, of which Redis missed {missed}")
    assert [error for answer in answers for error in answer["errors"]] == []
    assert missed > 0
    assert older_reads(answers) == []
    # All of them use the successor, and share it.
    assert [answer["trust"][-1][1] for answer in trusted] == [True] * PROCESSES


async def test_what_the_replica_had_not_received_is_not_served_by_it(tmp_path: Path) -> None:
    """The invalidation is lost with the master; the value and the token before it are on the replica."""
    async with sentinel_set() as redis, workers(PROCESSES, redis.url, tmp_path, patience=PATIENCE) as (one, two):
        await one.call("read", id=1)
        master = await redis.master()
        replica = next(node for node in redis.nodes if node is not master)
        async with master.client() as client:
            # It stops to receive, and stays a candidate all the same.
            await client.wait(1, 5000)
            await replica.ask("REPLICAOF", "127.0.0.1", master.port + 1 if master.port < 65_535 else 1)
            assert (await one.call("invalidate", id=1, acknowledged=True))["taken"]
            assert (await two.call("read", id=1))["version"] == 1
        await master.kill()
        await replica.ask("REPLICAOF", "NO", "ONE")
        for node in redis.sentinels:
            await node.ask("SENTINEL REMOVE", "monitor-cache")
            await node.ask("SENTINEL MONITOR", "monitor-cache", "127.0.0.1", replica.port, 2)

        async def shared() -> bool:
            return bool((await two.call("read", id=1))["trusted"] and (await one.call("read", id=1))["trusted"])

        assert (await two.call("read", id=1))["version"] == 1
        await eventually(shared, within_s=30)
        assert [(await each.call("read", id=1))["version"] for each in (one, two)] == [1, 1]


# Memory that is full ----------------------------------------------------------------------------------------------

LIMIT_BYTES = 6 * 2**20
POLICIES = ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"]


@asynccontextmanager
async def filling(node: Node) -> AsyncIterator[None]:
    """Write values of something else all the time: what is evicted is left to the policy."""

    done = asyncio.Event()

    async def fill() -> None:
        async with node.client() as client:
            while not done.is_set():
                async with client.pipeline(transaction=False) as pipe:
                    for _ in range(200):
                        pipe.set(f"filler:{random.randrange(10**6)}", "x" * 4000, ex=3600)
                    await pipe.execute()
                await asyncio.sleep(0.05)

    task = asyncio.create_task(fill())
    try:
        yield
    finally:
        done.set()
        await task


@pytest.mark.parametrize("policy", POLICIES)
async def test_evictions_at_any_time_serve_nothing_older(policy: str, tmp_path: Path) -> None:
    async with (
        single(f"maxmemory {LIMIT_BYTES}\nmaxmemory-policy {policy}\n") as node,
        workers(PROCESSES, f"redis://127.0.0.1:{node.port}/0", tmp_path) as made,
        filling(node),
    ):
        seconds = 15 if LONG else 4
        for worker in made:
            await worker.send("live", seconds=seconds, reads_per_s=60, writes_per_s=5)
        # And those of our names that the policy would spare.
        gone = await _delete_at_random(node, f"{{{tmp_path.name}}}:*", seconds)
        answers = [await worker.result() for worker in made]
        evicted = (await node.ask("INFO", "stats"))["evicted_keys"]
    print(f"{policy}: {evicted} evicted, {gone} of ours deleted, {sum(len(a['reads']) for a in answers)} reads")
    assert evicted > 100
    assert gone > 10
    assert [error for answer in answers for error in answer["errors"]] == []
    assert older_reads(answers) == []


async def _delete_at_random(node: Node, pattern: str, seconds: float) -> int:
    gone, end = 0, asyncio.get_running_loop().time() + seconds
    async with node.client() as client:
        while asyncio.get_running_loop().time() < end:
            names = sorted(await client.keys(pattern))
            if names:
                gone += await client.delete(*random.sample(names, min(2, len(names))))
            await asyncio.sleep(0.05)
    return gone


async def test_a_full_memory_that_evicts_nothing_is_an_outage(tmp_path: Path) -> None:
    """What cannot be invalidated there must not be read there, although it can be."""
    async with (
        single() as node,
        workers(PROCESSES, f"redis://127.0.0.1:{node.port}/0", tmp_path) as (one, two),
    ):
        await one.call("read", id=1)
        assert (await two.call("read", id=1))["trusted"]
        await node.ask("CONFIG SET", "maxmemory", 1)
        taken = (await one.call("invalidate", id=1, acknowledged=True))["taken"]
        full = [await each.call("read", id=1) for each in (one, two)]
        await node.ask("CONFIG SET", "maxmemory", 0)

        async def shared() -> bool:
            return all([(await each.call("read", id=1))["trusted"] for each in (one, two)])

        await eventually(shared, within_s=30)
        after = [await each.call("read", id=1) for each in (one, two)]
    assert not taken
    assert [(read["version"], read["trusted"]) for read in full] == [(1, False)] * 2
    assert [read["version"] for read in after] == [1, 1]


# A server that turns into a replica under one's connections --------------------------------------------------------


async def test_connections_to_a_master_that_was_demoted_are_dropped(tmp_path: Path) -> None:
    """Behind one address, as with managed servers: no Sentinel ends the connections, and reads would work."""
    key = View("view", Policy(5, 30, 600), ("tag",)).key()

    async def create() -> bytes:
        return b"1"

    async with sentinel_set() as redis:
        master = await redis.master()
        at = endpoint(f"redis://127.0.0.1:{master.port}/0")
        server = RedisCacheServer(at.url, prefix="{test}:", patience=PATIENCE, options=at.options)
        async with Cache(SystemClock(), server=server) as cache:
            await cache.get(key, create)
            for node in redis.sentinels:
                await node.kill()
            other = next(node for node in redis.nodes if node is not master)
            await other.ask("REPLICAOF", "NO", "ONE")
            await master.ask("REPLICAOF", "127.0.0.1", other.port)
            await eventually(lambda: not cache.stats().trusted)
            assert (await cache.get(key, create)).body == b"1"
            with pytest.raises(AssertionError):
                await eventually(lambda: cache.stats().trusted, within_s=1)
            await master.ask("REPLICAOF", "NO", "ONE")
            await eventually(lambda: cache.stats().trusted)
        await server.close()
        with pytest.raises(RedisError):
            await master.ask("NONSENSE")
