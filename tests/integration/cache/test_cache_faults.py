"""A broken Redis costs callers a little time and no errors."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as Client

from tests.integration.cache.processes import LONG, BlockingProxy, Redis, proxy_to, redis, workers

pytestmark = pytest.mark.processes

AWAY_S = 3.0 if LONG else 1.5
BACK_S = 1.5
MOST_MS = 200 if LONG else 2000
"""Longest read; the short form runs on machines that are busy with other things."""


async def kill_9(server: Redis) -> None:
    await server.kill()
    await asyncio.sleep(AWAY_S)
    await server.start()


async def sigstop(server: Redis) -> None:
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(AWAY_S)
    server.signal(signal.SIGCONT)


async def client_kill(server: Redis) -> None:
    async with Client.from_url(server.url) as client:
        for kind in ("normal", "pubsub"):
            await client.client_kill_filter(_type=kind, skipme=True)


async def flushall(server: Redis) -> None:
    async with Client.from_url(server.url) as client:
        await client.flushall()


def report(answer: dict[str, Any], what: str, back_at: float) -> None:
    ms = sorted(answer["ms"])
    regained = [at - back_at for at, trusted in answer["trust"] if trusted and at >= back_at]
    lost = any(not trusted for _, trusted in answer["trust"])
    trust = f"back after {regained[0] * 1000:.0f} ms" if regained and lost else "kept"
    print(f"{what}: {len(ms)} reads, {len(answer['errors'])} errors, trust {trust}")
    print(f"  p99 {ms[int(len(ms) * 0.99)]:.1f} ms, max {ms[-1]:.0f} ms")


@pytest.mark.parametrize("harm", [kill_9, sigstop, client_kill, flushall], ids=lambda harm: harm.__name__)
async def test_harm_to_redis_costs_no_caller_an_error(harm: Callable[[Redis], Awaitable[None]], tmp_path: Path) -> None:
    async with redis() as server, workers(2, server.url, tmp_path, patience=1) as made:
        for worker in made:
            await worker.send("watch", seconds=0.5 + AWAY_S + BACK_S, creator_s=0.005)
        await asyncio.sleep(0.5)
        await harm(server)
        back_at = asyncio.get_running_loop().time()
        answers = [await worker.result() for worker in made]
    for answer in answers:
        report(answer, harm.__name__, back_at)
        assert answer["errors"] == []
        assert answer["trust"][-1][1] is True
        assert max(answer["ms"]) < MOST_MS


async def test_a_process_that_is_cut_off_delays_no_other_and_recovers(tmp_path: Path) -> None:
    async with (
        redis() as server,
        proxy_to(server.url) as (url, proxy),
        workers(1, url, tmp_path, patience=1) as (cut,),
        workers(1, server.url, tmp_path, patience=1) as (other,),
    ):
        await cut.send("watch", seconds=0.5 + AWAY_S + BACK_S, creator_s=0.005)
        await asyncio.sleep(0.5)
        taken = await _write_during(proxy, other)
        back_at = asyncio.get_running_loop().time()
        answer = await cut.result()
    report(answer, "cut off", back_at)
    assert taken is True
    assert answer["errors"] == []
    assert answer["trust"][-1][1] is True
    assert max(answer["ms"]) < MOST_MS


async def _write_during(proxy: BlockingProxy, other: Any) -> bool:
    """Block the proxy while *other* writes; return whether the write was acknowledged."""
    proxy.block()
    taken: bool = (await other.call("invalidate", id=1, acknowledged=True))["taken"]
    await asyncio.sleep(AWAY_S - 1)
    proxy.unblock()
    return taken
