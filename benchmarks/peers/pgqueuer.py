"""
PgQueuer on PostgreSQL.

``python -m benchmarks.peers.pgqueuer`` is its worker: it gets DSN, URLs and concurrency as one line of JSON on standard
input, and ends when nothing is left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.peers.draining import drained_s
from benchmarks.receivers import Receivers
from benchmarks.signed_post import bare_session, post_signed
from benchmarks.support import PAYLOAD

ENTRYPOINT = "deliver"
BATCH = 1000


async def drain(dsn: str, targets: Receivers, jobs: int, concurrency: int, directory: Path) -> float:
    """See :data:`benchmarks.peers.Drain`."""
    connection = await asyncpg.connect(dsn)
    try:
        queries = Queries(AsyncpgDriver(connection))
        if await connection.fetchval("SELECT to_regclass('pgqueuer') IS NULL"):
            await queries.install()
        for start in range(0, jobs, BATCH):
            n = min(BATCH, jobs - start)
            await queries.enqueue([ENTRYPOINT] * n, [PAYLOAD] * n, [0] * n)
        return await drained_s(__name__, dsn, targets, jobs, concurrency, directory, connection, "pgqueuer")
    finally:
        await connection.close()


async def _work(dsn: str, urls: list[str], concurrency: int) -> None:
    connection = await asyncpg.connect(dsn)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))
    async with bare_session() as session:

        async def deliver(job: Job) -> None:
            await post_signed(session, urls[job.id % len(urls)])

        manager.entrypoint(ENTRYPOINT)(deliver)
        # It takes no batch for which there is no room, so twice the concurrency keeps it busy.
        await manager.run(mode=QueueExecutionMode.drain, batch_size=concurrency, max_concurrent_tasks=2 * concurrency)
    await connection.close()


if __name__ == "__main__":
    uvloop.run(_work(*msgspec.json.decode(sys.stdin.buffer.readline(), type=tuple[str, list[str], int])))
