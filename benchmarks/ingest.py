"""Attempts reported over HTTP in batches of 1,000, beside a bare COPY of the same rows into the same table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec

from benchmarks.support import Figure, Figures, scratch
from benchmarks.up import Up, monitor_up
from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.repositories.attempts import COLUMNS

BATCH = 1000
BATCHES = 40
SENDERS = (1, 4)
ROUNDS = 2


async def run() -> list[Figure]:
    figures = Figures("ingest")
    with scratch() as directory:
        async with monitor_up(directory / "data", directory / "up.log") as up:
            connections = [await asyncpg.connect(database_of(directory / "data")) for _ in range(max(SENDERS))]
            webhooks = [await _register(up, i) for i in range(max(SENDERS))]
            for senders in SENDERS:
                await _compare(figures, up, webhooks[:senders], connections[:senders])
            for connection in connections:
                await connection.close()
    return figures.all


async def _compare(figures: Figures, up: Up, webhooks: list[str], connections: list[asyncpg.Connection]) -> None:
    http_s, copy_s = 0.0, 0.0
    for _ in range(ROUNDS):
        # Both sides get ready-made input: only what happens to it is timed.
        each = range(BATCHES // len(webhooks))
        ats = [_times() for _ in each]
        bodies = [msgspec.json.encode({"attempts": [_attempt(i, at) for i, at in enumerate(one)]}) for one in ats]
        copies = [[_rows(webhook, one) for one in ats] for webhook in webhooks]
        copy_s += await _timed([_copies(c, batches) for c, batches in zip(connections, copies, strict=True)])
        http_s += await _timed([_reports(up, webhook, bodies) for webhook in webhooks])
    rows = ROUNDS * BATCHES * BATCH
    figures.note(f"bare COPY, {len(webhooks)} at once", rows / copy_s, "rows/s")
    figures.note(f"POST /webhooks/{{id}}/attempts, {len(webhooks)} at once", rows / http_s, "rows/s")
    figures.at_least(0.5, f"reported to COPY, {len(webhooks)} at once", copy_s / http_s, "×")


async def _timed(steps: list[Coroutine[None, None, None]]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*steps)
    return time.perf_counter() - started


async def _reports(up: Up, webhook: str, bodies: list[bytes]) -> None:
    for body in bodies:
        async with up.session.post(f"{up.base}/api/v1/webhooks/{webhook}/attempts", data=body) as answer:
            answer.raise_for_status()
            await answer.read()


async def _copies(connection: asyncpg.Connection, batches: list[list[tuple[object, ...]]]) -> None:
    for rows in batches:
        await connection.copy_records_to_table("attempts", records=rows, columns=COLUMNS)


def _times() -> list[datetime]:
    """Return the times of one batch: a second of them, as of a sender that reports each second."""
    now = datetime.now(UTC)
    return [now - timedelta(milliseconds=i) for i in range(BATCH, 0, -1)]


def _rows(webhook: str, ats: list[datetime]) -> list[tuple[object, ...]]:
    """Return one batch as the product would store it: an id carries the time that was reported."""
    clock = SystemClock()

    def row(i: int) -> tuple[object, ...]:
        given = (
            webhook,
            clock.new_id(ats[i]),
            "reported",
            None,
            None,
            "order.paid",
            1,
            *_outcome(i),
            None,
            12.5 + i % 100,
        )
        return given + (None,) * (len(COLUMNS) - len(given))

    return [row(i) for i in range(BATCH)]


def _attempt(i: int, at: datetime) -> dict[str, object]:
    return {
        "delivered_at": at, "latency_ms": 12.5 + i % 100, "status_code": _outcome(i)[0], "event_type": "order.paid",
    }  # fmt: skip


def _outcome(i: int) -> tuple[int, str | None]:
    return (500, "status") if i % 50 == 0 else (200, None)


async def _register(up: Up, i: int) -> str:
    webhook = {"name": f"bench {i}", "url": "https://receiver.example.com/hook", "event_types": ["order.paid"]}
    async with up.session.post(f"{up.base}/api/v1/webhooks", data=msgspec.json.encode(webhook)) as answer:
        answer.raise_for_status()
        created: str = msgspec.json.decode(await answer.read())["id"]
        return created


def database_of(data_dir: Path) -> str:
    """Return the address of the database that a running ``monitor up`` brought along."""
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    return f"postgresql://postgres@/monitor?host={lines[4]}&port={lines[3]}"
