"""A ``monitor up`` in a process of its own, as the benchmarks of the API and of the start need it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.support import PATIENCE_S, environment, free_port, process


class Up:
    """A server that is ready. ``ready_s`` is how long that took; ``session`` carries an admin token."""

    def __init__(self, base: str, pid: int, ready_s: float, session: aiohttp.ClientSession) -> None:
        self.base = base
        self.pid = pid
        self.ready_s = ready_s
        self.session = session


@asynccontextmanager
async def monitor_up(data_dir: Path, log: Path) -> AsyncIterator[Up]:
    """Start ``monitor up`` on *data_dir* and wait until it is ready."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = ("-m", "monitor", "up", "--data-dir", str(data_dir), "--port", str(port))
    started = time.perf_counter()
    async with process(*command, env=environment(), log=log) as child:
        await until_ready(base)
        ready_s = time.perf_counter() - started
        headers = {"authorization": f"Bearer {await token(data_dir)}", "content-type": "application/json"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
            yield Up(base, child.pid, ready_s, session)


async def token(data_dir: Path) -> str:
    """Return an admin token of the ``monitor up`` on *data_dir*."""
    arguments = ("token", "--role", "admin", "--subject", "benchmark", "--data-dir", str(data_dir))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "monitor", *arguments, env=os.environ, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await child.communicate()
    return printed.decode().strip()


async def until_ready(base: str) -> None:
    """Wait for the server at *base*. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{base}/health/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # not listening yet
            await asyncio.sleep(0.01)


async def until_listens(port: int) -> None:
    """Wait for what listens on *port* of loopback. Raises ``TimeoutError``."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
