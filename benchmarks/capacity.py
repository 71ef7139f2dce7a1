"""
What one operation costs each process, and a model that predicts the throughput of several processes from it.

The model assumes that an operation costs the same CPU time whatever else runs. A process of Monitor computes on one
core, so *n* of them do at most *n* times what one does; and all parts of the system share the cores of the machine. The
measured throughput of 1 to 4 processes is held against it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
import uvloop

from benchmarks.deliver import WEBHOOKS, emptied_ns, publish
from benchmarks.hammer import hammer
from benchmarks.receivers import Receivers, receivers
from benchmarks.support import (
    PATIENCE_S,
    PAYLOAD,
    Figure,
    Figures,
    database,
    free_port,
    process,
    register,
    scratch,
    settings_of,
)
from benchmarks.up import until_ready
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.vocab import Role
from tests.proxy import Proxy
from tests.servers import redis

COUNTS = (1, 2, 3, 4)
DELIVERIES = 16_000
CONNECTIONS = 48
SECONDS = 5.0
METERED = 10_000
METERED_S = 4.0
"""Round trips are counted in runs of their own, since the proxy costs CPU time: of so many deliveries, or so long."""

REPORTED = 500
"""Attempts of one report."""

WITHIN = 1.5
"""How far the measured throughput may be from the predicted one, as a factor either way."""

OURS = "ours"
"""The part whose number of processes varies."""

DISK = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
CORES = os.cpu_count() or 1


class Measured(msgspec.Struct, frozen=True):
    """Operations a second, and the CPU milliseconds of one by part."""

    per_s: float
    cpu_ms: dict[str, float]

    def predicted(self, processes: int, cores: int) -> float:
        """
        Return the operations a second of so many processes, from what one of them did: so many times its throughput,
        which includes what it waited, and at most what it computes on a core of its own and all parts on *cores*.
        """
        computed = 1000 * min(processes / self.cpu_ms[OURS], cores / sum(self.cpu_ms.values()))
        return min(processes * self.per_s, computed)


class Request(msgspec.Struct, frozen=True):
    """A request as sent, how its response begins, and how many operations it holds."""

    sent: bytes
    wanted: bytes = b"http/1.1 200"
    operations: int = 1


class Stage(msgspec.Struct, frozen=True):
    """What all measurements share. ``pids`` are of the parts whose number does not vary."""

    parts: Container
    env: dict[str, str]
    targets: Receivers
    pids: dict[str, int]
    requests: dict[str, Request]
    pool: ProcessPoolExecutor
    directory: Path


async def run() -> list[Figure]:
    figures = Figures("capacity")
    async with _stage() as stage:
        await _meter(figures, stage)
        disk = await _disk_bytes(stage)
        _compare(figures, "delivery", {n: await _deliver(stage, n) for n in COUNTS})
        stored = (await _disk_bytes(stage) - disk) / (len(COUNTS) * DELIVERIES)
        figures.note("event with one delivery and attempt, disk", stored, "bytes")
        for name, request in stage.requests.items():
            scaled = name in {"event accepted", "cached read"}
            _compare(figures, name, {n: await _serve(stage, n, request) for n in (COUNTS if scaled else COUNTS[:1])})
    return figures.all


def _compare(figures: Figures, name: str, found: Mapping[int, Measured]) -> None:
    one = found[COUNTS[0]]
    for part, ms in one.cpu_ms.items():
        figures.note(f"{name}, CPU of {part}", ms * 1000, "us")
    for n, measured in found.items():
        figures.note(f"{name}, {n} processes", measured.per_s, "1/s")
        if n == COUNTS[0]:
            continue
        figures.note(f"{name}, {n} processes, predicted", one.predicted(n, CORES), "1/s")
        ratio = measured.per_s / one.predicted(n, CORES)
        figures.at_least(1 / WITHIN, f"{name}, {n} processes, measured to predicted", ratio, "×")
        figures.at_most(WITHIN, f"{name}, {n} processes, measured to predicted, at most", ratio, "×")


async def _deliver(stage: Stage, workers: int) -> Measured:
    """Deliver by so many workers; return what it took from the end of publishing to the last settled delivery."""
    async with _working(stage, workers, stage.env) as pids:
        await stage.targets.forget()
        await publish(build_services(stage.parts).publisher, DELIVERIES)
        clock, before = _CpuClock(stage.pids | pids), (await stage.targets.count()).messages
        await stage.targets.until(DELIVERIES)
        await emptied_ns(stage.parts, "deliveries")
        return clock.measured((DELIVERIES - before) / clock.elapsed_s())


async def _serve(stage: Stage, servers: int, request: Request) -> Measured:
    """Send *request* to so many servers for a while, over connections that are shared out between them."""
    async with _serving(stage, servers, stage.env) as (ports, pids):
        send = partial(_send, stage, ports, request, CONNECTIONS // servers)
        await send(SECONDS / 4)
        clock = _CpuClock(stage.pids | pids)
        return clock.measured(await send(SECONDS) * request.operations)


@asynccontextmanager
async def _working(stage: Stage, workers: int, env: dict[str, str]) -> AsyncIterator[dict[str, int]]:
    """Run so many workers, started when the block begins; yield their process ids by part."""
    log = stage.directory / f"work-{time.monotonic_ns()}.log"
    async with _processes(env, log, repeat(("-m", "monitor", "work"), workers)) as pids:
        async with asyncio.timeout(PATIENCE_S):
            while log.read_bytes().count(b"worker_started") < workers:
                await asyncio.sleep(0.05)
        yield pids


@asynccontextmanager
async def _serving(stage: Stage, servers: int, env: dict[str, str]) -> AsyncIterator[tuple[list[int], dict[str, int]]]:
    """Run so many servers, ready when the block begins; yield their ports, and their process ids by part."""
    ports = [free_port() for _ in range(servers)]
    commands = [("-m", "monitor", "serve", "--port", str(port)) for port in ports]
    async with _processes(env, stage.directory / "serve.log", commands) as pids:
        await asyncio.gather(*(until_ready(f"http://127.0.0.1:{port}") for port in ports))
        yield ports, pids


@asynccontextmanager
async def _processes(
    env: dict[str, str], log: Path, commands: Iterable[tuple[str, ...]]
) -> AsyncIterator[dict[str, int]]:
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(process(*command, env=env, log=log)) for command in commands]
        yield {f"{OURS} {n}": child.pid for n, child in enumerate(running, 1)}


async def _send(stage: Stage, ports: Sequence[int], request: Request, connections: int, seconds: float) -> float:
    """Return the responses a second, of all *ports* together."""
    load = partial(_load, ports, request, connections, seconds)
    return await asyncio.get_running_loop().run_in_executor(stage.pool, load)


def _load(ports: Sequence[int], request: Request, connections: int, seconds: float) -> float:
    async def all_() -> float:
        each = (hammer("127.0.0.1", port, connections, seconds, [request.sent], request.wanted) for port in ports)
        found = await asyncio.gather(*each)
        if any(one.errors for one in found):
            raise RuntimeError(f"{request.sent[:60]!r} was answered wrongly")
        return sum(one.per_s for one in found)

    return uvloop.run(all_())


async def _meter(figures: Figures, stage: Stage) -> None:
    """Count round trips and bytes between one process and PostgreSQL, for each operation."""
    async with Proxy(stage.env["MONITOR_DATABASE_URL"]) as proxy:
        meter = _Meter(figures, proxy)
        env = stage.env | {"MONITOR_DATABASE_URL": proxy.url}
        async with _working(stage, 1, env):
            await meter.note("delivery", partial(_deliver_some, stage))
        async with _serving(stage, 1, env) as (ports, _):
            for name, request in stage.requests.items():
                await meter.note(name, partial(_send_some, stage, ports, request))


async def _deliver_some(stage: Stage) -> float:
    await stage.targets.forget()
    await publish(build_services(stage.parts).publisher, METERED)
    await stage.targets.until(METERED)
    await emptied_ns(stage.parts, "deliveries")
    return METERED


async def _send_some(stage: Stage, ports: Sequence[int], request: Request) -> float:
    started = time.perf_counter()
    per_s = await _send(stage, ports, request, CONNECTIONS, METERED_S)
    return per_s * (time.perf_counter() - started) * request.operations


class _Meter:
    """Notes what passes through a proxy, less what passes while nothing is asked for."""

    def __init__(self, figures: Figures, proxy: Proxy) -> None:
        self._figures = figures
        self._proxy = proxy

    async def note(self, name: str, operate: Callable[[], Awaitable[float]]) -> None:
        """Run *operate*, which returns how many operations it did."""
        # What a process does once when it has started is over by then.
        await asyncio.sleep(METERED_S)
        idle, began = self._read(), time.perf_counter()
        await asyncio.sleep(METERED_S)
        busy, middle = self._read(), time.perf_counter()
        operations = await operate()
        end, ended = self._read(), time.perf_counter()
        share = (ended - middle) / (middle - began)
        for what, unit, before, between, after in zip(
            ("round trips", "bytes"), ("", "bytes"), idle, busy, end, strict=True
        ):
            passed = max(after - between - (between - before) * share, 0.0)
            self._figures.note(f"{name}, {what} to PostgreSQL", passed / operations, unit)

    def _read(self) -> tuple[int, int]:
        return self._proxy.round_trips, self._proxy.bytes


class _CpuClock:
    """Reads the CPU time of parts, from now on. Children are counted with their parent, also those that have ended."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._started = time.perf_counter()
        self._before = self._read()

    def elapsed_s(self) -> float:
        return time.perf_counter() - self._started

    def measured(self, per_s: float) -> Measured:
        operations = per_s * self.elapsed_s()
        cpu_ms: dict[str, float] = {}
        for name, now in self._read().items():
            part = OURS if name.startswith(OURS) else name
            cpu_ms[part] = cpu_ms.get(part, 0.0) + 1000 * (now - self._before[name]) / operations
        return Measured(per_s, cpu_ms)

    def _read(self) -> dict[str, float]:
        return {name: _cpu_s(psutil.Process(pid)) for name, pid in self._pids.items()}


def _cpu_s(process: psutil.Process) -> float:
    # Children first: what one that ends meanwhile took is then in its parent's times.
    running = 0.0
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            running += _cpu_s(child)
    own = process.cpu_times()
    return float(own.user + own.system + own.children_user + own.children_system) + running


async def _disk_bytes(stage: Stage) -> float:
    row = await stage.parts.database.fetchrow(DISK)
    assert row is not None
    return float(row[0])


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    """A database, Redis, receivers, and the requests whose costs are measured."""
    with (
        scratch() as directory,
        redis() as redis_url,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        async with (
            receivers(WEBHOOKS, directory / "receivers.log") as targets,
            database(directory) as env,
            Container(settings_of(env)) as parts,
        ):
            webhooks = [str(id_) for id_ in await register(parts, targets.urls)]
            load = await asyncio.get_running_loop().run_in_executor(pool, os.getpid)
            pids = {
                "PostgreSQL": int(next(directory.rglob("postmaster.pid")).read_text().split("\n", 1)[0]),
                "Redis": _listener(urlsplit(redis_url).port),
                "receivers": targets.pid,
                "clients": load,
            }
            env |= {"MONITOR_REDIS_URL": redis_url}
            yield Stage(parts, env, targets, pids, _requests(parts, webhooks[0]), pool, directory)


def _listener(port: int | None) -> int:
    """Return the id of the process that listens on *port* of loopback."""
    listening = [one for one in psutil.net_connections("tcp4") if one.status == psutil.CONN_LISTEN]
    (pid,) = {one.pid for one in listening if one.laddr and one.laddr.port == port}
    assert pid is not None
    return int(pid)


def _requests(parts: Container, webhook: str) -> dict[str, Request]:
    token = issue(
        parts.ring, parts.token_policy, subject="bench", role=Role.ADMIN, ttl_s=3600, now=time.time(), jti="bench"
    )

    def request(method: str, path: str, body: bytes = b"") -> bytes:
        lines = (
            f"{method} /api/v1/{path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    attempt = {"delivered_at": datetime.now(UTC), "latency_ms": 12.5, "status_code": 200, "event_type": "order.paid"}
    report = msgspec.json.encode({"attempts": [attempt] * REPORTED})
    event = b'{"type": "bench.0", "payload": %b}' % PAYLOAD
    return {
        "cached read": Request(request("GET", "dashboard/overview")),
        "webhook read": Request(request("GET", f"webhooks/{webhook}")),
        "attempt reported": Request(request("POST", f"webhooks/{webhook}/attempts", report), b"http/1.1 202", REPORTED),
        "event accepted": Request(request("POST", "events", event), b"http/1.1 202"),
    }
