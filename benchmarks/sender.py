"""Posts a second of the sender alone, beside a bare aiohttp loop that posts the same to the same receivers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import uvloop

from benchmarks.receivers import receivers
from benchmarks.signed_post import bare_session
from benchmarks.support import PAYLOAD, Figure, Figures, scratch
from monitor.adapters.egress.guard import EgressPolicy
from monitor.adapters.egress.sender import HttpSender
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest

PORTS = 10
CONCURRENCY = 50
POSTS = 20_000
ROUNDS = 3
HEADERS = (
    ("content-type", "application/json"),
    ("webhook-id", "0198c2a4-7c1e-7b4f-9a55-2f6c7f1f4b10"),
    ("webhook-timestamp", "1760000000"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
    ("monitor-event-type", "order.paid"),
)


async def run() -> list[Figure]:
    """aiohttp, sender, aiohttp, sender, …: the machine's noise falls on both alike."""
    figures = Figures("sender")
    bare, ours = Spent(), Spent()
    with scratch() as directory, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        async with receivers(PORTS, directory / "receivers.log") as targets:
            loop = asyncio.get_running_loop()
            for _ in range(ROUNDS):
                bare += await loop.run_in_executor(pool, aiohttp_posts, targets.urls, POSTS)
                await targets.forget()
                ours += await loop.run_in_executor(pool, sender_posts, targets.urls, POSTS)
                figures.note("requests beyond one per post", (await targets.count()).requests - POSTS, "requests")
    for name, spent in (("bare aiohttp loop", bare), ("sender", ours)):
        figures.note(f"{name}, {CONCURRENCY} at once", ROUNDS * POSTS / spent.wall_s, "posts/s")
        figures.note(f"{name}, CPU time of a post", spent.cpu_s / (ROUNDS * POSTS) * 1e6, "µs")
    figures.at_least(2.0, "sender to bare aiohttp loop", bare.wall_s / ours.wall_s, "×")
    return figures.all


class Spent(NamedTuple):
    """Seconds of a run."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: object) -> Spent:
        assert isinstance(other, Spent)
        return Spent(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


async def spent(posts: Awaitable[object]) -> Spent:
    """Return what *posts* take."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await posts
    return Spent(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def aiohttp_posts(urls: list[str], total: int) -> Spent:
    """Post *total* messages."""
    return uvloop.run(_aiohttp_posts(urls, total))


async def _aiohttp_posts(urls: list[str], total: int) -> Spent:
    numbers = iter(range(total))
    async with bare_session() as session:

        async def post_on() -> None:
            for i in numbers:
                async with session.post(urls[i % len(urls)], data=PAYLOAD, headers=HEADERS) as answer:
                    await answer.read()

        return await spent(asyncio.gather(*(post_on() for _ in range(CONCURRENCY))))


def sender_posts(urls: list[str], total: int) -> Spent:
    """Post *total* messages."""
    return uvloop.run(_sender_posts(urls, total))


async def _sender_posts(urls: list[str], total: int) -> Spent:
    async with HttpSender(EgressPolicy(profile="local")) as sender:
        return await spent(Posts(sender, urls, total).all())


class Posts:
    """Starts a request whenever one has ended."""

    def __init__(self, sender: HttpSender, urls: list[str], total: int) -> None:
        self._sender = sender
        self._urls = urls
        self._numbers: Iterator[int] = iter(range(total))
        self._left = total
        self._done = asyncio.get_running_loop().create_future()

    async def all(self) -> None:
        for _ in range(CONCURRENCY):
            self._start()
        await self._done

    def _start(self) -> None:
        if (number := next(self._numbers, None)) is not None:
            url = self._urls[number % len(self._urls)]
            self._sender.start(OutboundRequest(url, HEADERS, PAYLOAD, 15.0), self._take)

    def _take(self, outcome: Outcome) -> None:
        if not outcome.ok:
            raise AssertionError(outcome)
        self._left -= 1
        if self._left:
            self._start()
        else:
            self._done.set_result(None)
