"""
The dashboard without its cache: at a thousand webhooks with a million and ten million attempts in a day, and the lists
at ten thousand webhooks through HTTP.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

import aiohttp
import asyncpg

from benchmarks import yardstick
from benchmarks.history import fill
from benchmarks.support import Figure, Figures, environment, median, quantile, scratch, settings_of
from monitor.adapters.embedded import EmbeddedPostgres
from monitor.adapters.postgres.migrate import upgrade
from monitor.auth.tokens import issue
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_app, readiness
from monitor.cache.server import ROOT
from monitor.domain.paging import DEFAULT_LIMIT
from monitor.domain.ports.queries.resources import WebhookFilter
from monitor.domain.views.dashboard import INITIAL_ROWS, WINDOWS, RowFilter, RowOrder
from monitor.domain.vocab import Role
from monitor.http.server.server import Server

WEBHOOKS = 1_000
ATTEMPTS = {"1 M": 1_000_000, "10 M": 10_000_000}
MANY = 10_000
MANY_ATTEMPTS = 1_000_000
RUNS = int(os.environ.get("COLD_RUNS", "40"))

Query = Callable[[], Awaitable[object]]


async def run() -> list[Figure]:
    figures = Figures("cold")
    with scratch() as directory:
        async with EmbeddedPostgres(directory / "database") as dsn:
            databases = {}
            for name, attempts in ATTEMPTS.items():
                databases[name] = await filled(dsn, f"cold_{attempts}", WEBHOOKS, attempts)
            slower = yardstick.note(figures)
            await _compare(figures, databases, slower)
            await _many(figures, slower, await filled(dsn, "cold_many", MANY, MANY_ATTEMPTS))
    return figures.all


async def filled(dsn: str, name: str, webhooks: int, attempts: int) -> str:
    """Create the database *name* beside the one at *dsn*, fill it with a past, and return its address."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    there = dsn.replace("/monitor?", f"/{name}?", 1)
    await upgrade(there)
    await fill(there, webhooks, attempts)
    return there


async def _compare(figures: Figures, databases: dict[str, str], slower: float) -> None:
    """Ask both databases in turn, so that what else the machine does hits them alike. *slower* scales limits."""
    async with Container(settings_of(environment(databases["1 M"]))) as small:  # noqa: SIM117
        async with Container(settings_of(environment(databases["10 M"]))) as large:
            asked = {"1 M": queries_of(small), "10 M": queries_of(large)}
            for query in asked["1 M"]:
                taken: dict[str, list[float]] = {name: [] for name in asked}
                for _ in range(RUNS):
                    for name, queries in asked.items():
                        taken[name].append(await elapsed_ms(queries[query]))
                few, many = (median(taken[name]) for name in ("1 M", "10 M"))
                figures.note(f"{query}, 1 M attempts, p50", few, "ms")
                figures.at_most(100 * slower, f"{query}, 10 M attempts, p50", many, "ms")
                if query == "GET /dashboard":
                    figures.at_most(1.2, f"{query}, 10 M against 1 M", many / few, "×")
                else:
                    figures.note(f"{query}, 10 M against 1 M", many / few, "×")


def queries_of(parts: Container) -> dict[str, Query]:
    """Return what each view is computed by, its encoding included."""
    dashboards, queries = parts.dashboards, parts.queries

    async def first_paint() -> None:
        # It is made of other views, none of which may be there already.
        await parts.cache.invalidate([ROOT], acknowledged=False)
        await parts.views.current("dashboard")

    return {
        "GET /dashboard": first_paint,
        "overview": dashboards.overview,
        "first rows": lambda: dashboards.rows(RowFilter(), RowOrder(), after=None, limit=INITIAL_ROWS),
        "page of rows": lambda: dashboards.rows(RowFilter(), RowOrder(), after=None, limit=DEFAULT_LIMIT),
        "webhook list": lambda: queries.webhooks(WebhookFilter(), after=None, limit=DEFAULT_LIMIT + 1),
        **{f"performance {window}": lambda window=window: dashboards.performance(window) for window in WINDOWS},  # type: ignore[misc]
        "alert statistics": lambda: parts.alert_queries.stats(30),
    }


async def elapsed_ms(query: Query) -> float:
    """Return the milliseconds that *query* takes."""
    started = time.perf_counter()
    await query()
    return (time.perf_counter() - started) * 1000


async def _many(figures: Figures, slower: float, dsn: str) -> None:
    """Read overview and lists at ten thousand webhooks through HTTP."""
    parts = Container(settings_of(environment(dsn)))
    app = build_app(parts)
    server = Server(app, host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.serve())
    while not server.started or await readiness(parts):
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    token = issue(
        parts.ring, parts.token_policy, subject="bench", role=Role.VIEWER, ttl_s=3600, now=time.time(), jti="bench"
    )
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            computed = [await elapsed_ms(queries_of(parts)["GET /dashboard"]) for _ in range(RUNS)]
            figures.at_most(
                1000 * slower, "10,000 webhooks, GET /dashboard computed, p95", quantile(computed, 0.95), "ms"
            )
            for path in ("dashboard", "dashboard/overview", "dashboard/webhooks", "webhooks"):
                warm = [await _get(session, path) for _ in range(5 * RUNS)]
                figures.at_most(50 * slower, f"10,000 webhooks, GET /{path} warm, p95", quantile(warm, 0.95), "ms")
                cold = [await _get(session, f"{path}?limit={1 + i}") for i in range(RUNS) if path.endswith("webhooks")]
                if cold:
                    figures.note(f"10,000 webhooks, GET /{path} uncached, p95", quantile(cold, 0.95), "ms")
    finally:
        server.stop()
        await serving


async def _get(session: aiohttp.ClientSession, path: str) -> float:
    started = time.perf_counter()
    async with session.get(f"/api/v1/{path}") as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
    return (time.perf_counter() - started) * 1000
