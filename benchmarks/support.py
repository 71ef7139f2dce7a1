"""What the benchmarks share: figures and bars, a database of their own, processes that end with their block."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
import signal
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from monitor.adapters.embedded import EmbeddedPostgres
from monitor.adapters.postgres.migrate import upgrade
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.vocab import Actor, Role
from monitor.domain.webhooks.registration import WebhookSpec
from monitor.settings.environment import from_env
from monitor.settings.schema import Settings

ACTOR = Actor("benchmark", Role.ADMIN)
PAYLOAD = b'{"order": "8f14e45f", "total": 4950, "currency": "EUR", "note": "' + b"x" * 400 + b'"}'
PATIENCE_S = 120.0
"""No step of any benchmark takes longer; one that does has failed."""


class Figure(msgspec.Struct, frozen=True):
    """One measured number. ``must`` repeats the bar it is held to, if any; ``holds`` says whether it is met."""

    bench: str
    name: str
    value: float
    unit: str
    must: str | None = None
    holds: bool | None = None


class Figures:
    """Collects the figures of one benchmark."""

    def __init__(self, bench: str) -> None:
        self._bench = bench
        self.all: list[Figure] = []

    def note(self, name: str, value: float, unit: str) -> None:
        self.all.append(Figure(self._bench, name, round(value, 3), unit))

    def at_least(self, bar: float, name: str, value: float, unit: str) -> None:
        self.all.append(Figure(self._bench, name, round(value, 3), unit, f">= {bar:g}", value >= bar))

    def at_most(self, bar: float, name: str, value: float, unit: str) -> None:
        self.all.append(Figure(self._bench, name, round(value, 3), unit, f"<= {bar:g}", value <= bar))


def quantile(samples: Sequence[float], q: float) -> float:
    """Return the nearest-rank quantile of at least one sample."""
    ordered = sorted(samples)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="monitor-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
"""One for the run: a process is not ready while its key is not the one of the stored secrets."""


def environment(dsn: str | None = None) -> dict[str, str]:
    """Return the settings of a production process that may deliver to loopback and is not slowed by rate limits."""
    values = {
        "MONITOR_JWT__KEYS": f'[{{"kid": "bench", "alg": "HS256", "key": "{_KEY}"}}]',
        "MONITOR_SECRETS__KEYS": f'[{{"kid": "bench", "key": "{_KEY}"}}]',
    }
    common = {
        "MONITOR_EGRESS__PROFILE": "local",
        "MONITOR_HTTP__RATE_LIMIT_PER_S": "1000000",
        "MONITOR_HTTP__RATE_BURST": "1000000",
        "MONITOR_LOG__FORMAT": "json",
    }
    return common if dsn is None else {**common, **values, "MONITOR_DATABASE_URL": dsn}


def settings_of(env: dict[str, str]) -> Settings:
    return from_env(env)


@asynccontextmanager
async def database(directory: Path) -> AsyncIterator[dict[str, str]]:
    """A fresh migrated PostgreSQL; yields the environment of processes that use it."""
    async with EmbeddedPostgres(directory / "database") as dsn:
        await upgrade(dsn)
        yield environment(dsn)


async def register(parts: Container, urls: Sequence[str], *, max_concurrency: int = 10) -> list[UUID]:
    """Register one webhook per URL; number i subscribes to ``bench.i``."""
    registry = build_services(parts).registry
    return [
        (
            await registry.create(
                WebhookSpec(name=f"bench {i}", url=url, event_types=[f"bench.{i}"], max_concurrency=max_concurrency),
                ACTOR,
            )
        ).id
        for i, url in enumerate(urls)
    ]


@asynccontextmanager
async def process(*command: str, env: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that is told to stop at the end; it has to exit with 0. Its log goes to *log*."""
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "ignore",
            *command,
            env={**os.environ, **env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=2**26,
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        try:
            # Reads to the end, so that a full pipe cannot keep the child from exiting.
            await asyncio.wait_for(child.communicate(), PATIENCE_S)
        except TimeoutError:
            child.kill()
            raise
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {child.returncode}: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
