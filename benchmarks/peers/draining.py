"""What peers on PostgreSQL share: their worker runs until their table of jobs is empty."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import msgspec

from benchmarks.receivers import Receivers
from benchmarks.support import PATIENCE_S, process


async def drained_s(
    module: str,
    dsn: str,
    targets: Receivers,
    jobs: int,
    concurrency: int,
    directory: Path,
    connection: asyncpg.Connection,
    table: str,
) -> float:
    """Run *module* until *table* is empty; return the seconds from the first arrival to the end of the last job."""
    log = directory / f"{table}.log"
    async with process("-m", module, env={}, log=log) as child:
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode([dsn, targets.urls, concurrency]) + b"\n")
        count = await targets.until(jobs)
        async with asyncio.timeout(PATIENCE_S):
            while await connection.fetchrow(f"SELECT FROM {table} LIMIT 1") is not None:
                await asyncio.sleep(0.005)
        ended_ns = time.monotonic_ns()
        await child.wait()
        return (ended_ns - count.first_ns) / 1e9
