"""Worker processes, and a Redis of one's own to harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import monitor
from tests import servers
from tests.integration.support import eventually

ROOT = Path(__file__).parents[3]
LONG = bool(os.environ.get("MONITOR_TEST_LONG"))
"""Whether the long forms were asked for: ``nox -s cache``."""


class Process:
    """A worker that takes orders."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def order(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Give an order and return what came of it."""
        await self.begin(what, **arguments)
        return await self.answer()

    async def begin(self, what: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self, *, within_s: float = 120.0) -> dict[str, Any]:
        """Return the next line it writes."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        assert line, "it ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def workers(count: int, url: str, directory: Path, *, patience: float = 20.0) -> AsyncIterator[list[Process]]:
    """
    *count* processes that are trusted, killed at the end.

    Args:
        patience: with Redis. Much where no outage is meant: a busy machine must not look like one.
    """
    env = {"PYTHONPATH": f"{Path(monitor.__file__).parents[1]}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"]}
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "ignore", "-m", "tests.integration.cache.worker", url, str(directory)),
                str(patience),
                cwd=ROOT,
                env=env,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=2**27,
            )
            worker = Process(process)
            stack.push_async_callback(worker.kill)
            made.append(worker)
        for worker in made:
            assert await worker.answer() == {"trusted": True}
        yield made


class Redis:
    """A Redis on a port of its own that can be killed, stopped and started again."""

    def __init__(self, port: int, directory: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._port = port
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(servers.redis_executable(), "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(self._directory)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await eventually(lambda: servers.accepts(self._port))

    def signal(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def redis() -> AsyncIterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="monitor-redis-", dir="/tmp") as directory:
        server = Redis(servers.free_port(), Path(directory))
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


class Tunnel:
    """A way to a server that can be shut: connections in use stall, new ones are not answered."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [asyncio.create_task(self._carry(a, b)) for a, b in ((reader, back), (there, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (back, writer):
            end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def tunnel(url: str) -> AsyncIterator[tuple[str, Tunnel]]:
    """A URL that leads to *url* by a :class:`Tunnel`."""
    port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    way = Tunnel(port)
    server = await asyncio.start_server(way.connect, "127.0.0.1", 0)
    try:
        yield url.replace(str(port), str(server.sockets[0].getsockname()[1])), way
    finally:
        way.open()
        server.close()
