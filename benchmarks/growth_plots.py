"""How costs grow, as plots and as words, from the stored runs of the benchmarks that measure each dimension."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.plots import Points, draw
from benchmarks.written import Run

FOLDER = "growth"


class Growth(NamedTuple):
    """
    One dimension.

    Args:
        file: the stored run.
        pattern: of the figures, with the groups ``x`` and ``series``.
        words: what bounds the cost, and what saturates first.
    """

    name: str
    title: str
    file: str
    pattern: str
    x_name: str
    y_name: str
    words: str


class Rendered(NamedTuple):
    """SVG documents by file name, and the section that shows them."""

    files: dict[str, str]
    section: str


DIMENSIONS = (
    Growth(
        "webhooks",
        "Cost against webhooks",
        "growth",
        r"(?P<series>.+) at (?P<x>[\d,]+) webhooks, p50",
        "webhooks, 200,000 attempts in the last day",
        "ms",
        "A page reads its rows by index, and sums over all webhooks are stored as a row of their own each minute. What "
        "still visits each webhook is the overview's count by health. An event is matched by an index of its type.",
    ),
    Growth(
        "subscribers",
        "Cost against subscribers of one event",
        "fanout",
        r"(?P<series>POST /events) for (?P<x>[\d,]+) subscribers, p50",
        "subscribers of the event",
        "ms",
        "Deliveries for few subscribers are made in the transaction of the event; for many a worker makes them in "
        "batches after the response. The CPU of PostgreSQL that inserts them saturates first.",
    ),
    Growth(
        "attempts",
        "Cost against attempts",
        "cold",
        r"(?P<series>GET /dashboard|overview|page of rows|webhook list|performance 24h), (?P<x>\d+) M attempts, p50",
        "millions of attempts in the last day, at 1,000 webhooks",
        "ms",
        "Views read minutes, hours and days that are summed up already, never attempts, so that their cost stays. Disk "
        "saturates first: retention bounds it.",
    ),
    Growth(
        "sockets",
        "Cost against sockets",
        "live",
        r"(?P<x>\d+) sockets, last message, (?P<series>.+, p99)",
        "sockets of one process",
        "ms",
        "A message is encoded once and written to each socket in turn, so that the time to the last one grows with "
        "their number. The event loop of the `serve` process saturates first; more processes share the sockets.",
    ),
    Growth(
        "processes",
        "Throughput against workers and servers",
        "capacity",
        r"(?P<series>delivery|event accepted|cached read), (?P<x>\d+) processes$",
        "processes of `work` or `serve`",
        "1/s",
        "Processes share nothing but PostgreSQL and Redis. The cores of the machine saturate first, which PostgreSQL, "
        "receivers and load generator use, too: [scaling](SCALING.md#what-saturates-first) has each part's share.",
    ),
)


def render(measured: Mapping[str, Run]) -> Rendered:
    """Draw each dimension of which a run is stored."""
    files, parts = {}, ["## How costs grow"]
    for dimension in DIMENSIONS:
        series = _series(dimension, measured)
        if not series:
            parts.append(f"### {dimension.title}\n\nNot measured: `python -m benchmarks {dimension.file} --store`.")
            continue
        grown = _grown(series)
        name = f"{dimension.name}.svg"
        files[name] = draw(dimension.title, grown, dimension.x_name, dimension.y_name, series)
        image = f"![{dimension.title}: {grown}]({FOLDER}/{name})"
        parts.append(f"### {dimension.title}\n\n{image}\n\n{dimension.words} {grown}")
    return Rendered(files, "\n\n".join(parts))


def _series(dimension: Growth, measured: Mapping[str, Run]) -> dict[str, Points]:
    """Return the lines that have two points at least, in the order of the figures."""
    found: dict[str, list[tuple[float, float]]] = {}
    if dimension.file in measured:
        for figure in measured[dimension.file].figures:
            match = re.match(dimension.pattern, figure.name)
            if match is not None and figure.value > 0:
                found.setdefault(match["series"], []).append((float(match["x"].replace(",", "")), figure.value))
    return {name: sorted(points) for name, points in found.items() if len(points) > 1}


def _grown(series: Mapping[str, Points]) -> str:
    """Say how each line grew from its first point to its last."""
    first = next(iter(series.values()))
    begin, end = first[0][0], first[-1][0]
    factors = ", ".join(f"{name} × {points[-1][1] / points[0][1]:.2g}" for name, points in series.items())
    return f"From {begin:,.0f} to {end:,.0f}: {factors}."
