"""
What reads and an accepted event cost at 10 to 10,000 webhooks, with the same number of attempts in the last day.

The other dimensions are measured where their limits are: subscribers of one event by ``fanout``, attempts by ``cold``,
sockets by ``live``, processes by ``capacity``. :mod:`benchmarks.growth_plots` draws them all.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import msgspec

from benchmarks.cold import Query, elapsed_ms, filled, queries_of
from benchmarks.support import ACTOR, PAYLOAD, Figure, Figures, environment, median, scratch, settings_of
from monitor.adapters.embedded import EmbeddedPostgres
from monitor.bootstrap.container import Container
from monitor.bootstrap.server import build_services
from monitor.domain.services.publish import EventIn

WEBHOOKS = (10, 100, 1_000, 10_000)
ATTEMPTS = 200_000
RUNS = 20
READS = ("GET /dashboard", "overview", "page of rows", "webhook list", "performance 24h")


async def run() -> list[Figure]:
    figures = Figures("growth")
    with scratch() as directory:
        async with EmbeddedPostgres(directory / "database") as dsn, AsyncExitStack() as stack:
            asked: dict[int, dict[str, Query]] = {}
            for count in WEBHOOKS:
                there = await filled(dsn, f"growth_{count}", count, ATTEMPTS)
                parts = await stack.enter_async_context(Container(settings_of(environment(there))))
                asked[count] = _queries(parts)
            for name in asked[WEBHOOKS[0]]:
                await _compare(figures, name, {count: queries[name] for count, queries in asked.items()})
    return figures.all


def _queries(parts: Container) -> dict[str, Query]:
    reads = queries_of(parts)
    publisher = build_services(parts).publisher
    event = EventIn(type="history.0", payload=msgspec.Raw(PAYLOAD))
    return {name: reads[name] for name in READS} | {"event accepted": lambda: publisher.publish([event], ACTOR)}


async def _compare(figures: Figures, name: str, queries: dict[int, Query]) -> None:
    """Take turns, so that whatever slows the machine slows all sizes."""
    taken: dict[int, list[float]] = {count: [] for count in queries}
    for _ in range(RUNS):
        for count, query in queries.items():
            taken[count].append(await elapsed_ms(query))
    for count, samples in taken.items():
        figures.note(f"{name} at {count:,} webhooks, p50", median(samples), "ms")
    least, most = (median(taken[count]) for count in (min(taken), max(taken)))
    figures.note(f"{name}, {max(taken):,} webhooks to {min(taken):,}", most / least, "×")
