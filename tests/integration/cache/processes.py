"""Worker processes, and a private Redis that tests can break."""

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
"""Whether to run the long forms: ``nox -s cache``, ``MONITOR_TEST_LONG=1 nox -s faults``."""


class Worker:
    """A worker process, driven by lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def call(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        await self.send(what, **arguments)
        return await self.result()

    async def send(self, what: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()

    async def result(self, *, within_s: float = 120.0) -> dict[str, Any]:
        """Return the next line of its output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        assert line, "it ended"
        result: dict[str, Any] = json.loads(line)
        return result

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def workers(count: int, url: str, directory: Path, *, patience: float = 20.0) -> AsyncIterator[list[Worker]]:
    """
    Yield *count* processes whose memory is trusted; kill them at the end.

    Args:
        patience: of the Redis client. High where no outage is meant: a busy machine must not look like one.
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
            worker = Worker(process)
            stack.push_async_callback(worker.kill)
            made.append(worker)
        for worker in made:
            assert await worker.result() == {"trusted": True}
        yield made


class Redis:
    """A Redis on its own port that can be killed, stopped and started again."""

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

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

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


class BlockingProxy:
    """A TCP proxy that can be blocked: open connections stall, new ones are not answered."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0

    def block(self) -> None:
        self._open.clear()

    def unblock(self) -> None:
        self._open.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        copies = [asyncio.create_task(self._copy(a, b)) for a, b in ((reader, back), (there, writer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        for end in (back, writer):
            end.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[tuple[str, BlockingProxy]]:
    """Yield a URL that leads to *url*, and the proxy in between."""
    port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    proxy = BlockingProxy(port)
    server = await asyncio.start_server(proxy.connect, "127.0.0.1", 0)
    try:
        yield url.replace(str(port), str(server.sockets[0].getsockname()[1])), proxy
    finally:
        proxy.unblock()
        server.close()
