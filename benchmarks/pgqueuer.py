"""
Deliveries a second of one ``monitor work``, beside PgQueuer driving the same signed POST.

Runs only where PgQueuer is installed; nothing of ours needs it. ``python -m benchmarks.pgqueuer`` is its worker: it
gets DSN and URLs as one line of JSON on standard input and ends when nothing is left.
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

from benchmarks.deliver import (
    BATCH,
    CONCURRENCY,
    DELIVERIES,
    WEBHOOKS,
    bare_session,
    emptied_ns,
    post_signed,
    publish,
    work,
)
from benchmarks.receivers import Receivers, receivers
from benchmarks.support import PAYLOAD, Figure, Figures, database, process, register, scratch, settings_of
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services

ROUNDS = 2
ENTRYPOINT = "deliver"


async def run() -> list[Figure]:
    """PgQueuer, worker, PgQueuer, worker, …: the machine's noise falls on both alike."""
    figures = Figures("pgqueuer")
    worker_s, pgqueuer_s = 0.0, 0.0
    with scratch() as directory:
        async with (
            receivers(WEBHOOKS, directory / "receivers.log") as targets,
            database(directory) as env,
            Container(settings_of(env)) as parts,
        ):
            await register(parts, targets.urls)
            connection = await asyncpg.connect(parts.database.dsn)
            queries = Queries(AsyncpgDriver(connection))
            await queries.install()
            for _ in range(ROUNDS):
                await targets.forget()
                await _enqueue(queries)
                pgqueuer_s += await _pgqueuer(parts, targets, directory / "pgqueuer.log")
                await targets.forget()
                await publish(build_services(parts).publisher, DELIVERIES)
                count, settled_ns = await work(parts, targets, env, directory / "worker.log")
                worker_s += (settled_ns - count.first_ns) / 1e9
            await connection.close()
    figures.note("PgQueuer, same POST", ROUNDS * DELIVERIES / pgqueuer_s, "deliveries/s")
    figures.note("one worker, signed and settled", ROUNDS * DELIVERIES / worker_s, "deliveries/s")
    figures.at_least(2.5, "worker to PgQueuer", pgqueuer_s / worker_s, "×")
    return figures.all


async def _enqueue(queries: Queries) -> None:
    for _ in range(0, DELIVERIES, BATCH):
        await queries.enqueue([ENTRYPOINT] * BATCH, [PAYLOAD] * BATCH, [0] * BATCH)


async def _pgqueuer(parts: Container, targets: Receivers, log: Path) -> float:
    """Let PgQueuer drain its queue; return the seconds from the first arrival to the last job's end."""
    async with process("-m", "benchmarks.pgqueuer", env={}, log=log) as child:
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode([parts.database.dsn, targets.urls]) + b"\n")
        count = await targets.until(DELIVERIES)
        ended_ns = await emptied_ns(parts, "pgqueuer")
        await child.wait()
        return (ended_ns - count.first_ns) / 1e9


async def _drain(dsn: str, urls: list[str]) -> None:
    connection = await asyncpg.connect(dsn)
    manager = QueueManager(Queries(AsyncpgDriver(connection)))
    async with bare_session() as session:

        async def deliver(job: Job) -> None:
            await post_signed(session, urls[job.id % len(urls)])

        manager.entrypoint(ENTRYPOINT)(deliver)
        # It takes no batch for which there is no room, so twice the concurrency keeps it busy.
        await manager.run(mode=QueueExecutionMode.drain, batch_size=CONCURRENCY, max_concurrent_tasks=2 * CONCURRENCY)
    await connection.close()


if __name__ == "__main__":
    uvloop.run(_drain(*msgspec.json.decode(sys.stdin.buffer.readline(), type=tuple[str, list[str]])))
