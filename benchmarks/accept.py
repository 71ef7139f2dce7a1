"""From an event posted to its first byte at the receiver while the queue is idle, and accepted requests a second."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count

import msgspec

from benchmarks.receivers import Receivers, receivers
from benchmarks.support import PAYLOAD, Figure, Figures, quantile, scratch
from benchmarks.up import Up, monitor_up

EVENTS = 500
PAUSE_S = 0.02
CLIENTS = 50
MEASURED_S = 5.0


async def run() -> list[Figure]:
    figures = Figures("accept")
    with scratch() as directory:
        async with (
            receivers(1, directory / "receivers.log") as targets,
            monitor_up(directory / "data", directory / "up.log") as up,
        ):
            await _register(up, targets.urls[0])
            posted, answered = await _one_by_one(up, EVENTS)
            await _compare(figures, targets, posted, answered)
            figures.note(f"POST /events, {CLIENTS} connections", await _requests_per_s(up), "requests/s")
    return figures.all


async def _register(up: Up, url: str) -> None:
    webhook = {"name": "bench", "url": url, "event_types": ["bench.sent"]}
    async with up.session.post(f"{up.base}/api/v1/webhooks", data=msgspec.json.encode(webhook)) as answer:
        answer.raise_for_status()


async def _one_by_one(up: Up, events: int) -> tuple[dict[str, int], dict[str, int]]:
    """Post events with the queue idle in between; return when each was posted and answered, in ns."""
    posted: dict[str, int] = {}
    answered: dict[str, int] = {}
    for _ in range(events):
        before = time.monotonic_ns()
        event_id = await _post(up, "bench.sent")
        posted[event_id], answered[event_id] = before, time.monotonic_ns()
        await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
    return posted, answered


async def _compare(figures: Figures, targets: Receivers, posted: dict[str, int], answered: dict[str, int]) -> None:
    await targets.until(len(posted))
    arrived = await targets.arrivals()
    from_post = [(arrived[id_] - at) / 1e6 for id_, at in posted.items()]
    # The worker may be faster than the way of the 202 back to us.
    from_answer = [max(arrived[id_] - at, 0) / 1e6 for id_, at in answered.items()]
    figures.note("posted → 202, p50", quantile([(answered[i] - at) / 1e6 for i, at in posted.items()], 0.5), "ms")
    figures.note("posted → first byte sent, p50", quantile(from_post, 0.5), "ms")
    figures.note("posted → first byte sent, p99", quantile(from_post, 0.99), "ms")
    figures.at_most(15, "accepted → first byte sent, p50", quantile(from_answer, 0.5), "ms")
    figures.at_most(100, "accepted → first byte sent, p99", quantile(from_answer, 0.99), "ms")


async def _requests_per_s(up: Up) -> float:
    """Post single events from many connections; nobody subscribes to them, so accepting is all that is measured."""
    numbers = count()
    until = time.perf_counter() + MEASURED_S

    async def post_on() -> None:
        while time.perf_counter() < until:
            await _post(up, "bench.unheard")
            next(numbers)

    started = time.perf_counter()
    await asyncio.gather(*(post_on() for _ in range(CLIENTS)))
    return next(numbers) / (time.perf_counter() - started)


async def _post(up: Up, event_type: str) -> str:
    body = b'{"type": "%b", "payload": %b}' % (event_type.encode(), PAYLOAD)
    async with up.session.post(f"{up.base}/api/v1/events", data=body) as answer:
        answer.raise_for_status()
        accepted: str = msgspec.json.decode(await answer.read())["id"]
        return accepted
