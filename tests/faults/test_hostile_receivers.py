"""Receivers that mean harm, beside good ones of the same worker."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.receivers import Receivers, receivers
from benchmarks.support import Figures
from tests.faults.system import SLACK, Served, system
from tests.integration.cache.processes import LONG
from tests.integration.processes import Running
from tests.integration.raw_receivers import (
    Behaviour,
    Receiver,
    after_request,
    answering,
    drip_body,
    drip_head,
    flood,
    hang,
    receiver,
    reset,
)
from tests.integration.support import ONCE, eventually

ROUNDS = 5 if LONG else 2
GOOD = 10
EVENTS = 1000
HOSTILE_EVENTS = 10
"""As many as are sent to one webhook at once."""

TIMEOUT_S = 5.0 if LONG else 2.0
TOLERANCE_S = 0.5 * SLACK
GROWTH_MIB = 32
SLOWED = 1.5 if LONG else 5.0

_BOMB = gzip.compress(b"\x00" * 50_000_000)

Make = Callable[[Receiver], Behaviour]
SLOW: dict[str, Make] = {
    "drip of the body": after_request(drip_body),
    "drip of the head": after_request(drip_head),
    "silence": after_request(hang),
}
QUICK: dict[str, Make] = {
    "endless body": after_request(flood),
    "gzip bomb": answering(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB
    ),
    "reset": after_request(reset),
    "redirect loop": answering(b"HTTP/1.1 302 Found\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n"),
}
RECORDED: dict[str, tuple[int | None, str | None]] = {
    **dict.fromkeys(SLOW, (None, "timeout")),
    # A whole head is the verdict, also when its body is cut at the deadline or at 16 KiB; and nothing unpacks it.
    "drip of the body": (200, None),
    "endless body": (200, None),
    "gzip bomb": (200, None),
    "reset": (None, "reset"),
    "redirect loop": (302, "status"),
}
"""The status and the error kind of every attempt."""


class Bench:
    """One worker, good receivers, and hostile ones that get webhooks of their own in each round."""

    def __init__(self, server: Served, worker: Running, good: Receivers, hostile: dict[str, Receiver]) -> None:
        self.webhooks: dict[str, list[str]] = {kind: [] for kind in hostile}
        self._server = server
        self._worker = psutil.Process(worker.pid)
        self._good = good
        self._hostile = hostile
        self._rounds = itertools.count()
        self._posted = 0

    @property
    def rss(self) -> int:
        rss: int = self._worker.memory_info().rss
        return rss

    async def post(self, *types: str) -> None:
        events = [{"type": type_, "payload": {}} for type_ in types]
        assert (await self._server.client.call("POST", "events", json={"events": events})).status_code == 202

    async def subscribe(self, type_: str, url: str, **members: Any) -> str:
        webhook = {"name": type_, "url": url, "event_types": [type_], **members}
        answer = await self._server.client.call("POST", "webhooks", json=webhook)
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["id"]
        return id_

    async def alone(self) -> float:
        """Return the seconds until the good ones had all of theirs."""
        return await self._good_ones([])

    async def beside(self) -> float:
        """The same while hostile ones hold what they can get: a breaker that opens spares only the next round."""
        number = next(self._rounds)
        for kind, there in self._hostile.items():
            id_ = await self.subscribe(f"{name_of(kind)}.{number}", there.url(), timeout_s=TIMEOUT_S, retry=ONCE)
            self.webhooks[kind].append(id_)
        before = {kind: len(self._hostile[kind].requests) for kind in SLOW}
        await self.post(*[f"{name_of(kind)}.{number}" for kind in SLOW] * HOSTILE_EVENTS)
        await eventually(
            lambda: all(len(self._hostile[kind].requests) == n + HOSTILE_EVENTS for kind, n in before.items())
        )
        return await self._good_ones([f"{name_of(kind)}.{number}" for kind in QUICK] * HOSTILE_EVENTS)

    async def _good_ones(self, others: list[str]) -> float:
        started = time.monotonic()
        # At most 1,000 in one request.
        await self.post(*others, *(f"good.{i % GOOD}" for i in range(EVENTS - len(others))))
        self._posted += EVENTS - len(others)
        count = await self._good.until(self._posted)
        return (count.last_ns / 1e9 - started) / (EVENTS - len(others))

    async def attempts(self, webhook_id: str) -> list[dict[str, Any]]:
        found = await self._server.client.read(f"webhooks/{webhook_id}/attempts?limit=200")
        items: list[dict[str, Any]] = found["items"]
        return items


def name_of(kind: str) -> str:
    return kind.replace(" ", "_")


async def test_hostile_receivers_harm_nobody(template: Path, figures: Figures) -> None:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(system(template))
        good = await stack.enter_async_context(receivers(GOOD, made.directory / "receivers.log"))
        hostile = {kind: await stack.enter_async_context(receiver(make)) for kind, make in (SLOW | QUICK).items()}
        (server,), (worker,) = await made.start(servers=1, workers=1)
        bench = Bench(server, worker, good, hostile)
        for i, url in enumerate(good.urls):
            await bench.subscribe(f"good.{i}", url)
        await bench.alone()
        before = bench.rss
        async with peak_of(lambda: bench.rss) as peak:
            alone, beside = [], []
            for _ in range(ROUNDS):
                alone.append(await bench.alone())
                beside.append(await bench.beside())
                await eventually(lambda: none_hangs(bench), within_s=TIMEOUT_S + 20)
        figures.note("hostile: deliveries to good ones alone", 1 / median(alone), "1/s")
        figures.note("hostile: deliveries to good ones beside", 1 / median(beside), "1/s")
        figures.at_most(SLOWED, "hostile: time of good ones beside to alone", median(beside) / median(alone), "×")
        figures.at_most(GROWTH_MIB, "hostile: growth of the worker's memory", (max(peak) - before) / 2**20, "MiB")
        figures.at_most(TOLERANCE_S, "hostile: farthest from the deadline", await judge(bench, hostile), "s")
        assert made.errors() == []


@asynccontextmanager
async def peak_of(read: Callable[[], int]) -> AsyncIterator[list[int]]:
    """Collect readings for the length of the block."""
    readings: list[int] = []

    async def watch() -> None:
        while True:
            readings.append(read())
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield readings
    finally:
        watching.cancel()


async def none_hangs(bench: Bench) -> bool:
    """Whether every attempt of the newest slow webhooks is on record."""
    counts = [len(await bench.attempts(bench.webhooks[kind][-1])) for kind in SLOW]
    return counts == [HOSTILE_EVENTS] * len(SLOW)


async def judge(bench: Bench, hostile: dict[str, Receiver]) -> float:
    """Hold every attempt on record to what it should be; return how far one that timed out was from its deadline."""
    farthest_s = 0.0
    for kind, ids in bench.webhooks.items():
        made = [attempt for id_ in ids for attempt in await bench.attempts(id_)]
        assert {(attempt["status_code"], attempt["error"]) for attempt in made} == {RECORDED[kind]}, kind
        # Nothing was asked twice: no redirect was followed.
        assert len(hostile[kind].requests) == len(made)
        if kind in SLOW:
            farthest_s = max(farthest_s, *(abs(attempt["latency_ms"] / 1000 - TIMEOUT_S) for attempt in made))
    return farthest_s
