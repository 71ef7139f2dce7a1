"""The commands as people run them: processes with an environment, an output and an end."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

import monitor
from tests.integration.support import API, JWT_KEY, SECRET_KEY, eventually
from tests.pgbouncer import through

SOURCE = str(Path(monitor.__file__).parents[1])
START_S = 90.0
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Without authorities, since loading them for each call takes longer than the call; servers here speak plain HTTP."""


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a command: ours without its settings, and *settings* as ``MONITOR_…``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
    return inherited | {"PYTHONPATH": SOURCE} | {f"MONITOR_{name}": value for name, value in settings.items()}


def production(dsn: str, **settings: str) -> dict[str, str]:
    """Return the environment of ``serve`` and ``work`` on *dsn*."""
    keys: dict[str, Any] = {
        "JWT__KEYS": [{"kid": "test", "alg": "HS256", "key": JWT_KEY}],
        "SECRETS__KEYS": [{"kid": "test", "key": SECRET_KEY}],
    }
    texts = {name: json.dumps(value) for name, value in keys.items()}
    url, direct_url = through(dsn)
    direct = {} if direct_url is None else {"DB__DIRECT_URL": direct_url}
    return environment(**texts, DATABASE_URL=url, EGRESS__PROFILE="local", **direct, **settings)


class Result(msgspec.Struct, frozen=True):
    code: int
    out: str
    err: str


Invoke = Callable[..., Result]
"""Runs a command inside this process: the fixture ``invoke``."""


async def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor",
        *arguments,
        env=env or environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * START_S):
        out, err = await process.communicate()
    return Result(process.returncode or 0, out.decode(), err.decode())


async def run_inside(invoke: Invoke, *arguments: str, env: Mapping[str, str]) -> Result:
    """As :func:`run`, without a process: where only what the command says matters."""
    return await asyncio.to_thread(lambda: invoke(*arguments, env=env))


class Running:
    """A command that runs until it is stopped. What it wrote so far is in ``output``."""

    def __init__(self, process: asyncio.subprocess.Process, file: Path) -> None:
        self.process = process
        self._file = file

    @property
    def output(self) -> str:
        return self._file.read_text()

    @property
    def pid(self) -> int:
        return self.process.pid

    async def says(self, text: str, *, within_s: float = START_S) -> None:
        """Wait until the command has written *text*."""

        def said() -> bool:
            assert self.process.returncode is None, self.output
            return text in self.output

        await eventually(said, within_s=within_s)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal and return its exit code."""
        self.process.send_signal(how)
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def running(
    *arguments: str, env: Mapping[str, str], log: Path, module: str = "monitor"
) -> AsyncIterator[Running]:
    """Run a command of *module* in the background; it is killed at the end if it still runs."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, env=env, stdout=file, stderr=file
        )
    try:
        yield Running(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Client:
    """A caller of a running server, with one token."""

    def __init__(self, port: int, token: str) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.base, headers=self._headers, verify=PLAIN) as client:
            return await client.request(method, path if path.startswith("/") else f"{API}/{path}", **options)

    async def read(self, path: str) -> Any:
        response = await self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def ready(self) -> bool:
        try:
            return (await self.call("GET", "/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return the processes that name *directory* on their command line: a server and its PostgreSQL."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(directory) in part for part in process.info["cmdline"] or ())
    ]


def jti_of(token: str) -> str:
    """Read the id of a token without checking it."""
    payload = token.split(".")[1]
    jti: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    return jti
