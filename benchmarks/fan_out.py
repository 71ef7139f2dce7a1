"""
Accepting one event for more and more subscribers, and fresh events beside a fan-out to ten thousand webhooks.

The many webhooks are paused, so that their deliveries are made and not sent: what is measured is the fan-out.
"""

from __future__ import annotations

import asyncio
import random
import time

import asyncpg
import msgspec

from benchmarks.ingest import database_of
from benchmarks.receivers import Receivers, receivers
from benchmarks.support import PAYLOAD, Figure, Figures, median, quantile, scratch
from benchmarks.up import Up, monitor_up

SUBSCRIBERS = (1, 10, 100, 1_000, 10_000)
EVENTS = 20
FRESH = 150
ROUNDS = 3
PAUSE_S = 0.02

_ID = (
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'"
    " || substr(md5(random()::text), 1, 3) || 'b' || substr(md5(random()::text), 1, 15))::uuid"
)

_SUBSCRIBE = f"""
WITH ids AS MATERIALIZED (SELECT {_ID} AS id FROM generate_series(1, $2::int)), copied AS (
    INSERT INTO webhooks SELECT (jsonb_populate_record(w, jsonb_build_object(
        'id', ids.id, 'event_types', ARRAY[$3::text], 'paused_at', now()))).* FROM webhooks w, ids WHERE w.id = $1
)
INSERT INTO webhook_lanes SELECT (jsonb_populate_record(l, jsonb_build_object('webhook_id', ids.id))).*
FROM webhook_lanes l, ids WHERE l.webhook_id = $1
"""

_FORGET = "DELETE FROM deliveries d USING webhooks w WHERE w.id = d.webhook_id AND w.paused_at IS NOT NULL"


async def run() -> list[Figure]:
    figures = Figures("fanout")
    with scratch() as directory:
        async with (
            receivers(1, directory / "receivers.log") as targets,
            monitor_up(directory / "data", directory / "up.log") as up,
        ):
            connection = await asyncpg.connect(database_of(directory / "data"))
            webhook = await _register(up, targets.urls[0])
            for count in SUBSCRIBERS:
                await connection.execute(_SUBSCRIBE, webhook, count, f"bench.n{count}")
            await connection.execute("ANALYZE webhooks")
            await _accept(figures, up, connection)
            await _beside(figures, up, targets, connection)
            await connection.close()
    return figures.all


async def _register(up: Up, url: str) -> str:
    webhook = {"name": "bench", "url": url, "event_types": ["bench.sent"]}
    async with up.session.post(f"{up.base}/api/v1/webhooks", data=msgspec.json.encode(webhook)) as answer:
        answer.raise_for_status()
        created: str = msgspec.json.decode(await answer.read())["id"]
        return created


async def _accept(figures: Figures, up: Up, connection: asyncpg.Connection) -> None:
    """Measure answers and whole fan-outs, in turns, so that whatever slows the machine slows all counts."""
    accepted: dict[int, list[float]] = {count: [] for count in SUBSCRIBERS}
    whole: list[float] = []
    for _ in range(EVENTS):
        for count in SUBSCRIBERS:
            started = time.perf_counter()
            event_id = await _post(up, f"bench.n{count}")
            accepted[count].append(time.perf_counter() - started)
            await _made(up, event_id)
            if count == SUBSCRIBERS[-1]:
                whole.append(time.perf_counter() - started)
        await connection.execute("DELETE FROM deliveries")
    times = {count: median(samples) * 1e3 for count, samples in accepted.items()}
    for count, ms in times.items():
        figures.note(f"POST /events for {count:,} subscribers, p50", ms, "ms")
        figures.note(f"{count:,} subscribers to 1", ms / times[1], "×")
    few, most = SUBSCRIBERS[1], SUBSCRIBERS[-1]
    figures.at_most(2, f"{most:,} subscribers to {few}", times[most] / times[few], "×")
    figures.note(f"{most:,} deliveries made after", median(whole), "s")


async def _beside(figures: Figures, up: Up, targets: Receivers, connection: asyncpg.Connection) -> None:
    alone: dict[str, int] = {}
    beside: dict[str, int] = {}
    for _ in range(ROUNDS):
        alone |= await _fresh(up)
        fanning_out = asyncio.create_task(_fan_out(up))
        beside |= await _fresh(up)
        fanning_out.cancel()
        await asyncio.gather(fanning_out, return_exceptions=True)
        await connection.execute(
            "DELETE FROM deliveries d USING webhooks w WHERE w.id = d.webhook_id AND w.paused_at IS NOT NULL"
        )
    await targets.until(len(alone) + len(beside))
    arrived = await targets.arrivals()
    for q, name in ((0.5, "p50"), (0.99, "p99")):
        without, with_ = (quantile([(arrived[i] - at) / 1e6 for i, at in p.items()], q) for p in (alone, beside))
        figures.note(f"posted → first byte sent, alone, {name}", without, "ms")
        figures.note(f"beside a fan-out to {SUBSCRIBERS[-1]:,}, {name}", with_, "ms")
        if name == "p99":
            figures.at_most(1.2, "beside a fan-out to alone, p99", with_ / without, "×")


async def _fresh(up: Up) -> dict[str, int]:
    posted: dict[str, int] = {}
    for _ in range(FRESH):
        before = time.monotonic_ns()
        posted[await _post(up, "bench.sent")] = before
        await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))
    return posted


async def _fan_out(up: Up) -> None:
    """Keep one fan-out running."""
    while True:
        await _made(up, await _post(up, f"bench.n{SUBSCRIBERS[-1]}"))


async def _made(up: Up, event_id: str) -> None:
    """Wait until the event has all its deliveries. A version without fan-outs made them before it answered."""
    while True:
        async with up.session.get(f"{up.base}/api/v1/events/{event_id}") as answer:
            answer.raise_for_status()
            if msgspec.json.decode(await answer.read()).get("fan_out", "done") == "done":
                return
        await asyncio.sleep(0.05)


async def _post(up: Up, event_type: str) -> str:
    body = b'{"type": "%b", "payload": %b}' % (event_type.encode(), PAYLOAD)
    async with up.session.post(f"{up.base}/api/v1/events", data=body) as answer:
        answer.raise_for_status()
        accepted: str = msgspec.json.decode(await answer.read())["id"]
        return accepted
