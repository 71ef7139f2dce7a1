"""
From an event posted to its first byte at the receiver while the queue is idle, and accepted requests a second beside a
raw ASGI application that commits one row a request.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import msgspec
import psutil
import uvloop

from benchmarks.hammer import Hammered, hammer
from benchmarks.receivers import Receivers, receivers
from benchmarks.support import (
    PAYLOAD,
    Figure,
    Figures,
    database,
    free_port,
    median,
    process,
    quantile,
    register,
    scratch,
    settings_of,
)
from benchmarks.up import Up, monitor_up, until_listens, until_ready
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.domain.vocab import Role

EVENTS = 500
PAUSE_S = 0.02
CLIENTS = 50
SECONDS = 5.0
ROUNDS = 3


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
    await _beside_bare(figures)
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


async def _beside_bare(figures: Figures) -> None:
    """
    Post single events to one ``serve`` and to what commits one row a request, in turns, so that the machine's noise
    falls on both alike. Each event has one subscriber; nothing delivers.
    """
    ours, bare, cpu_s, accepted = [], [], 0.0, 0.0
    with scratch() as directory, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        async with database(directory) as env:
            async with Container(settings_of(env)) as parts:
                await register(parts, ["http://127.0.0.1:9/"])
                sent = _request(parts)
            port, bare_port = free_port(), free_port()
            serve = process("-m", "monitor", "serve", "--port", str(port), env=env, log=directory / "serve.log")
            commit = process(
                "-m", "benchmarks.http_apps", "commit", str(bare_port), env=env, log=directory / "commit.log"
            )
            async with serve as serving, commit:
                await until_ready(f"http://127.0.0.1:{port}")
                await until_listens(bare_port)
                loop = asyncio.get_running_loop()
                for _ in range(ROUNDS):
                    bare.append(await loop.run_in_executor(pool, _load, bare_port, sent))
                    before = psutil.Process(serving.pid).cpu_times()
                    started = time.perf_counter()
                    ours.append(await loop.run_in_executor(pool, _load, port, sent))
                    after = psutil.Process(serving.pid).cpu_times()
                    cpu_s += after.user + after.system - before.user - before.system
                    # The warm-up of the load is served, and counted, as well.
                    accepted += ours[-1].per_s * (time.perf_counter() - started)
    if any(found.errors for found in (*ours, *bare)):
        raise RuntimeError("an event was answered wrongly")
    figures.note("one row a request, bare", median([found.per_s for found in bare]), "requests/s")
    figures.note(f"POST /events, {CLIENTS} connections", median([found.per_s for found in ours]), "requests/s")
    ratio = median([one.per_s / other.per_s for one, other in zip(ours, bare, strict=True)])
    figures.at_least(1.0, "POST /events against one row a request, bare", ratio, "×")
    figures.note("POST /events, p99", median([found.p99_ms for found in ours]), "ms")
    figures.note("POST /events, CPU of the server", cpu_s / accepted * 1e6, "us")


def _load(port: int, request: bytes) -> Hammered:
    return uvloop.run(hammer("127.0.0.1", port, CLIENTS, SECONDS, [request], b"http/1.1 202"))


def _request(parts: Container) -> bytes:
    token = issue(
        parts.ring, parts.token_policy, subject="bench", role=Role.PUBLISHER, ttl_s=3600, now=time.time(), jti="bench"
    )
    body = _event("bench.0")
    lines = (
        "POST /api/v1/events HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _post(up: Up, event_type: str) -> str:
    async with up.session.post(f"{up.base}/api/v1/events", data=_event(event_type)) as answer:
        answer.raise_for_status()
        accepted: str = msgspec.json.decode(await answer.read())["id"]
        return accepted


def _event(event_type: str) -> bytes:
    return b'{"type": "%b", "payload": %b}' % (event_type.encode(), PAYLOAD)
