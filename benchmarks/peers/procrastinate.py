"""
procrastinate on PostgreSQL.

``python -m benchmarks.peers.procrastinate`` is its worker: it gets DSN, URLs and concurrency as one line of JSON on
standard input, and ends when nothing is left.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop
from procrastinate import App, PsycopgConnector

from benchmarks.peers.draining import drained_s
from benchmarks.receivers import Receivers
from benchmarks.signed_post import bare_session, post_signed
from benchmarks.support import PAYLOAD

TASK = "deliver"
BATCH = 1000


async def drain(dsn: str, targets: Receivers, jobs: int, concurrency: int, directory: Path) -> float:
    """See :data:`benchmarks.peers.Drain`."""
    connection = await asyncpg.connect(dsn)
    try:
        async with App(connector=PsycopgConnector(conninfo=dsn)).open_async() as app:
            if await connection.fetchval("SELECT to_regclass('procrastinate_jobs') IS NULL"):
                await app.schema_manager.apply_schema_async()
            deferrer = app.configure_task(TASK)
            for start in range(0, jobs, BATCH):
                numbers = range(start, min(start + BATCH, jobs))
                arguments: list[Any] = [{"number": n, "payload": PAYLOAD.decode()} for n in numbers]
                await deferrer.batch_defer_async(*arguments)
        return await drained_s(__name__, dsn, targets, jobs, concurrency, directory, connection, "procrastinate_jobs")
    finally:
        await connection.close()


async def _work(dsn: str, urls: list[str], concurrency: int) -> None:
    app = App(connector=PsycopgConnector(conninfo=dsn))
    async with bare_session() as session:

        async def deliver(number: int, payload: str) -> None:  # noqa: ARG001
            await post_signed(session, urls[number % len(urls)])

        app.task(name=TASK)(deliver)
        async with app.open_async():
            await app.run_worker_async(concurrency=concurrency, wait=False, delete_jobs="always")


if __name__ == "__main__":
    uvloop.run(_work(*msgspec.json.decode(sys.stdin.buffer.readline(), type=tuple[str, list[str], int])))
