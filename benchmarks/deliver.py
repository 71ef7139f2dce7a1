"""Deliveries a second of one ``monitor work``, beside a bare aiohttp loop that signs and posts the same."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import aiohttp
import msgspec
import uvloop

from benchmarks.receivers import Count, Receivers, receivers
from benchmarks.support import (
    ACTOR,
    PATIENCE_S,
    PAYLOAD,
    Figure,
    Figures,
    database,
    process,
    register,
    scratch,
    settings_of,
)
from monitor.adapters.clock import SystemClock
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.webhooks.signatures import sign_v1, signed_content

WEBHOOKS = 100
CONCURRENCY = 100
DELIVERIES = 20_000
BATCH = 1000
ROUNDS = 2
KEY = b"k" * 32
CLOCK = SystemClock()


async def run() -> list[Figure]:
    """Bare, worker, bare, worker, …: the machine's noise falls on both alike."""
    figures = Figures("deliver")
    worker_s, bare_s, late_s = 0.0, 0.0, 0.0
    with scratch() as directory, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        async with (
            receivers(WEBHOOKS, directory / "receivers.log") as targets,
            database(directory) as env,
            Container(settings_of(env)) as parts,
        ):
            await register(parts, targets.urls)
            loop = asyncio.get_running_loop()
            for _ in range(ROUNDS):
                bare_s += await loop.run_in_executor(pool, bare_posts, targets.urls, DELIVERIES, CONCURRENCY)
                await targets.forget()
                await publish(build_services(parts).publisher, DELIVERIES)
                count, settled_ns = await work(parts, targets, env, directory / "worker.log")
                worker_s += (settled_ns - count.first_ns) / 1e9
                late_s = max(late_s, (settled_ns - count.last_ns) / 1e9)
                figures.note("requests beyond one per delivery", count.requests - DELIVERIES, "requests")
    figures.note("bare aiohttp loop with signing", ROUNDS * DELIVERIES / bare_s, "posts/s")
    figures.note("one worker, signed and settled", ROUNDS * DELIVERIES / worker_s, "deliveries/s")
    figures.note("last request to last settle", late_s * 1000, "ms")
    figures.at_least(0.8, "worker to bare loop", bare_s / worker_s, "×")
    return figures.all


async def publish(publisher: Publisher, deliveries: int) -> None:
    """Publish events that go to one webhook each, in turn."""
    for start in range(0, deliveries, BATCH):
        batch = [
            EventIn(type=f"bench.{i % WEBHOOKS}", payload=msgspec.Raw(PAYLOAD))
            for i in range(start, min(start + BATCH, deliveries))
        ]
        await publisher.publish(batch, ACTOR)


async def work(parts: Container, targets: Receivers, env: dict[str, str], log: Path) -> tuple[Count, int]:
    """Run one worker until nothing is left; return what arrived and when the last delivery was settled."""
    command = ("-m", "monitor", "work", "--concurrency", str(CONCURRENCY))
    async with process(*command, env=env, log=log):
        count = await targets.until(DELIVERIES)
        return count, await emptied_ns(parts, "deliveries")


async def emptied_ns(parts: Container, table: str) -> int:
    """Wait until *table* has no rows; return when that was."""
    async with asyncio.timeout(PATIENCE_S):
        while await parts.database.fetchrow(f"SELECT FROM {table} LIMIT 1") is not None:
            await asyncio.sleep(0.005)
    return time.monotonic_ns()


def bare_posts(urls: list[str], total: int, concurrency: int) -> float:
    """Sign and post *total* messages, so many at once; return the seconds it took."""
    return uvloop.run(_bare_posts(urls, total, concurrency))


async def _bare_posts(urls: list[str], total: int, concurrency: int) -> float:
    numbers = iter(range(total))
    async with bare_session() as session:

        async def post_on() -> None:
            for i in numbers:
                await post_signed(session, urls[i % len(urls)])

        started = time.perf_counter()
        await asyncio.gather(*(post_on() for _ in range(concurrency)))
        return time.perf_counter() - started


def bare_session() -> aiohttp.ClientSession:
    """Return a session without a limit of connections; needs the running loop."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def post_signed(session: aiohttp.ClientSession, url: str) -> None:
    """Post one message, signed as the product signs, and read the answer."""
    message_id, at = str(CLOCK.new_id()), int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign_v1(KEY, signed_content(message_id, at, PAYLOAD)),
    }
    async with session.post(url, data=PAYLOAD, headers=headers) as answer:
        await answer.read()
