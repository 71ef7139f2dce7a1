"""The text and the tables of docs/SCALING.md, from the figures of ``python -m benchmarks capacity``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

from benchmarks.written import Run
from monitor.adapters.postgres.engine import RESERVED
from monitor.settings.schema import Db

RATES = (10, 1_000, 100_000)
HEADROOM = 0.6
"""Share of a core that a part is planned to use: above it, waiting grows faster than throughput."""

CELL_CORES = 32
"""Cores of PostgreSQL in one cell, with the same headroom."""

OPERATIONS = ("event accepted", "delivery", "attempt reported", "cached read", "webhook read")
PARTS = ("ours", "PostgreSQL", "Redis")
DAY_S = 86_400

TEMPLATE = Path(__file__).with_suffix(".md")


def render(run: Run) -> str:
    """Return the page. Raises ``KeyError`` for a figure that *run* lacks."""
    measured = {figure.name: figure.value for figure in run.figures}
    limits = _limits(measured)
    ranked = sorted((rate, name) for name, rate in limits.items())
    need = {rate: _need(measured, rate) for rate in RATES}
    return TEMPLATE.read_text(encoding="utf-8").format(
        command=run.command,
        at=f"{run.machine.at:%Y-%m-%d}",
        cores=run.machine.cores,
        system=run.machine.system,
        python=run.machine.python,
        costs="\n".join(_costs(measured)),
        disk=measured["event with one delivery and attempt, disk"],
        model="\n".join(_model(measured)),
        limits="\n".join(
            ["| part | events a second |", "|---|---|", *(f"| {name} | {rate:,.0f} |" for rate, name in ranked)]
        ),
        needs="\n".join(_needs(need)),
        headroom=HEADROOM,
        connections=Db().read_pool + Db().write_pool + RESERVED,
        idle=1 - min(1.0, sum(need[10][part] for part in ("servers", "workers", "PostgreSQL"))),
        first=ranked[0][1],
        second=ranked[1][1],
        pg_cores=need[100_000]["PostgreSQL"] / HEADROOM,
        disk_day=need[100_000]["disk"] / 1e12,
        cell_cores=CELL_CORES,
        cell_rate=_cell_rate(measured),
        accept_trips=measured["event accepted, round trips to PostgreSQL"],
    )


def _costs(measured: Mapping[str, float]) -> Iterator[str]:
    yield "| operation | CPU of ours | of PostgreSQL | of Redis | round trips | bytes |"
    yield "|---|---|---|---|---|---|"
    for name in OPERATIONS:
        cpu = (f"{measured[f'{name}, CPU of {part}']:,.0f} us" for part in PARTS)
        trips, size = (measured[f"{name}, {what} to PostgreSQL"] for what in ("round trips", "bytes"))
        yield f"| {name} | {' | '.join(cpu)} | {trips:.2f} | {size:,.0f} |"


def _model(measured: Mapping[str, float]) -> Iterator[str]:
    yield "| operation | processes | predicted, 1/s | measured, 1/s | measured to predicted |"
    yield "|---|---|---|---|---|"
    for name in OPERATIONS:
        for n in range(1, 10):
            key = f"{name}, {n} processes"
            if f"{key}, predicted" in measured:
                expected, found = measured[f"{key}, predicted"], measured[key]
                yield f"| {name} | {n} | {expected:,.0f} | {found:,.0f} | {found / expected:.2f} |"
            elif key in measured and f"{name}, 2 processes" in measured:
                yield f"| {name} | {n} | | {measured[key]:,.0f} | |"


def _cpu_s(measured: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds of one event with one delivery, by part."""

    def of(operation: str, part: str) -> float:
        return measured[f"{operation}, CPU of {part}"] / 1e6

    return {
        "servers": of("event accepted", "ours"),
        "workers": of("delivery", "ours"),
        "PostgreSQL": of("event accepted", "PostgreSQL") + of("delivery", "PostgreSQL"),
        "Redis": of("event accepted", "Redis") + of("delivery", "Redis"),
    }


def _limits(measured: Mapping[str, float]) -> dict[str, float]:
    cpu = _cpu_s(measured)
    limits = {
        "a `serve` process": 1 / cpu["servers"],
        "a `work` process": 1 / cpu["workers"],
        "a core of PostgreSQL": 1 / cpu["PostgreSQL"],
    }
    if cpu["Redis"] > 0:
        limits["Redis, which uses one core"] = 1 / cpu["Redis"]
    return limits


def _need(measured: Mapping[str, float], rate: int) -> dict[str, float]:
    """Return the busy cores of each part at so many events a second, and the bytes a day on disk."""
    disk = measured["event with one delivery and attempt, disk"]
    return {**{part: rate * cpu_s for part, cpu_s in _cpu_s(measured).items()}, "disk": rate * disk * DAY_S}


def _needs(need: Mapping[int, Mapping[str, float]]) -> Iterator[str]:
    yield "| events a second | `serve` processes | `work` processes | cores of PostgreSQL | disk a day | cells |"
    yield "|---|---|---|---|---|---|"
    for rate, parts in need.items():
        servers, workers, cores = (parts[name] / HEADROOM for name in ("servers", "workers", "PostgreSQL"))
        cells = ceil(cores / CELL_CORES)
        disk = f"{parts['disk'] / 1e9:,.1f} GB"
        yield f"| {rate:,} | {ceil(servers):,} | {ceil(workers):,} | {cores:,.2f} | {disk} | {cells} |"


def _cell_rate(measured: Mapping[str, float]) -> float:
    return CELL_CORES * HEADROOM / _cpu_s(measured)["PostgreSQL"]
