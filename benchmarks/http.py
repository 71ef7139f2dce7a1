"""Cached reads of the API against a raw ASGI application that answers the same bytes on the same server."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.hammer import Hammered
from benchmarks.history import register_all
from benchmarks.http_apps import Answer
from benchmarks.support import Figure, Figures, database, free_port, process, scratch, settings_of
from benchmarks.up import Up, monitor_up, token
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.domain.paging import DEFAULT_LIMIT
from monitor.domain.vocab import Role

CONNECTIONS = 100
SECONDS = 3.0
ROUNDS = 3
WEBHOOKS = 6_000
"""Each is read once."""

OVERVIEW = "/api/v1/dashboard/overview"


async def run() -> list[Figure]:
    figures = Figures("http")
    with scratch() as directory:
        async with monitor_up(directory / "data", directory / "up.log") as up:
            head = await _request(up, directory / "data")
            same = directory / "answer.json"
            async with up.session.get(up.base + OVERVIEW, headers={"accept-encoding": "identity"}) as answer:
                same.write_bytes(msgspec.json.encode(Answer(list(answer.raw_headers), await answer.read())))
            async with (
                _app("raw", same, directory) as raw,
                _app("short", same, directory) as short,
                _app("framework", same, directory) as framework,
            ):
                port = int(up.base.rpartition(":")[2])
                targets = {"raw": raw, "monitor": port, "short": short, "framework": framework}
                rounds = [await _round(targets, head) for _ in range(ROUNDS)]
    per_s = {name: statistics.median(r[name].per_s for r in rounds) for name in rounds[0]}
    figures.note("raw ASGI application, the same bytes", per_s["raw"], "requests/s")
    figures.note("raw ASGI application, the same body under the shortest head", per_s["short"], "requests/s")
    figures.note("cached overview, token checked, logged", per_s["monitor"], "requests/s")
    figures.at_least(0.8, "cached overview against raw", _ratio(rounds, "monitor", "raw"), "×")
    figures.note("cached overview against the shortest head", _ratio(rounds, "monitor", "short"), "×")
    figures.at_least(1.0, "cached overview against Litestar's own cache", _ratio(rounds, "monitor", "framework"), "×")
    figures.note("cached overview, p99", statistics.median(r["monitor"].p99_ms for r in rounds), "ms")
    with scratch() as directory:
        async with database(directory) as env:
            await _uncached(figures, env, directory)
    return figures.all


async def _uncached(figures: Figures, env: dict[str, str], directory: Path) -> None:
    """Read each of many webhooks once, and one page again and again: from the cache, and a row shorter past it."""
    async with Container(settings_of(env)) as parts:
        ids = await register_all(parts, WEBHOOKS)
        signed = issue(
            parts.ring, parts.token_policy, subject="bench", role=Role.VIEWER, ttl_s=3600, now=time.time(), jti="bench"
        )
    port = free_port()
    serving = process("-m", "monitor", "serve", "--port", str(port), env=env, log=directory / "serve.log")
    async with serving, _app("query", directory / "none", directory, env) as bare:
        while not await _is_ready(port):
            await asyncio.sleep(0.05)
        ours, theirs = [], []
        for round_ in range(ROUNDS):
            heads = b"".join(_head(f"/api/v1/webhooks/{id_}", port, signed) for id_ in ids[round_::ROUNDS])
            ours.append(await hammered(port, heads))
            theirs.append(await hammered(bare, heads))
        pages = {}
        for name, path in (("cached", "webhooks"), ("computed", f"webhooks?limit={DEFAULT_LIMIT - 1}")):
            pages[name] = await hammered(port, _head(f"/api/v1/dashboard/{path}", port, signed))
    if any(found.errors for found in (*ours, *theirs, *pages.values())):
        raise RuntimeError("a read was answered wrongly")
    figures.note("uncached webhook", statistics.median(found.per_s for found in ours), "requests/s")
    ratio = statistics.median(one.per_s / other.per_s for one, other in zip(ours, theirs, strict=True))
    figures.at_least(0.45, "uncached webhook against the same query, bare", ratio, "×")
    figures.at_least(
        4.0, "cached page against the same, computed each time", pages["cached"].per_s / pages["computed"].per_s, "×"
    )


async def _round(targets: dict[str, int], head: bytes) -> dict[str, Hammered]:
    """Hammer each once, one after the other: what else the machine does hits them alike."""
    found = {}
    for name, port in targets.items():
        found[name] = await hammered(port, head if name == "monitor" else head.replace(OVERVIEW.encode(), b"/"))
        if found[name].errors:
            raise RuntimeError(f"{name} answered {found[name].errors} requests wrongly")
    return found


def _ratio(rounds: list[dict[str, Hammered]], name: str, to: str) -> float:
    return statistics.median(r[name].per_s / r[to].per_s for r in rounds)


async def hammered(port: int, head: bytes) -> Hammered:
    """Send the request *head* again and again."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.hammer", "127.0.0.1", str(port), str(CONNECTIONS), str(SECONDS),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    printed, _ = await child.communicate(head)
    return msgspec.json.decode(printed, type=Hammered)


async def _request(up: Up, data: Path) -> bytes:
    return _head(OVERVIEW, int(up.base.rpartition(":")[2]), await token(data))


def _head(path: str, port: int, signed: str) -> bytes:
    """Return the head of a read as a browser's would be, with the headers that matter."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {signed}",
        "Accept: application/json",
        "User-Agent: benchmark",
        "Connection: keep-alive",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def _app(name: str, answer: Path, directory: Path, env: dict[str, str] | None = None) -> AsyncIterator[int]:
    """Serve one of :mod:`benchmarks.http_apps` and yield its port."""
    port = free_port()
    command = ("-m", "benchmarks.http_apps", name, str(port))
    async with process(*command, env=env or {"BENCH_ANSWER": str(answer)}, log=directory / f"{name}.log"):
        while not await _listens(port):
            await asyncio.sleep(0.05)
        yield port


async def _is_ready(port: int) -> bool:
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/health/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
