"""
The limits that the product is held to, each with the measurement that shows whether it holds.

Every limit stands in the code of a benchmark or a test; a row names where its figures are: the file in
docs/measurements, and a pattern of their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.support import Figure
from benchmarks.written import MEASUREMENTS, Run

LOAD = "nox -s load -- --minutes 5 --store"
FAULTS = "nox -s faults -- --figures docs/measurements/faults.json"
DETECTION = "nox -s detection -- --short --seed 501 502 503 --table docs/detection-table.md"
DETECTION_TABLE = MEASUREMENTS.parent / "detection-table.md"
FLOOR = re.compile(
    r"^\| (?P<text>[^|]+: (?:<=|>=|\d)[^|]*) \| (?P<measured>[^|]+) \| (?P<holds>[^|]+) \|$", re.MULTILINE
)


class Source(NamedTuple):
    """Figures of one stored run: all whose names begin as *pattern* says."""

    file: str
    pattern: str

    def figures(self, measured: Mapping[str, Run]) -> list[Figure]:
        run = measured.get(self.file)
        return [] if run is None else [figure for figure in run.figures if re.match(self.pattern, figure.name)]


class Row(NamedTuple):
    """One limit. *command* is what judges it if no figures are stored of it, or by other means than ``--store``."""

    what: str
    sources: tuple[Source, ...] = ()
    command: str = ""

    @property
    def commands(self) -> str:
        if self.command:
            return f"`{self.command}`"
        return f"`python -m benchmarks {' '.join(self.files)} --store`"

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(source.file for source in self.sources))


def _of(file: str, *patterns: str) -> tuple[Source, ...]:
    return tuple(Source(file, pattern) for pattern in patterns)


SHOWN = 8
LIVE = r"[\d,]+ sockets, "

ROWS = (
    Row(
        "load test: hard limits, errors, hit ratio, connections left",
        _of("load", "hard: ", "errors", "cache hit ratio", "database connections"),
        LOAD,
    ),
    Row("load test: ours, scaled", _of("load", "all routes, P9", "live, .*, P99"), LOAD),
    Row("cached overview, token checked", _of("http", "raw ASGI application, the same bytes", "cached overview")),
    Row("uncached webhook", _of("http", "uncached webhook")),
    Row(
        "deliveries of one worker beside a bare loop and other queues",
        _of(
            "deliver",
            "bare aiohttp loop",
            "one worker",
            ".*, same POST",
            "worker to ",
            "deliveries lost",
            "requests beyond",
        ),
    ),
    Row("sender alone", _of("sender", r"bare aiohttp loop, \d+ at once", r"sender, \d+ at once", "sender to")),
    Row("`POST /events` beside one row a request, bare", _of("accept", "one row a request", r"POST /events")),
    Row("one event to 10,000 webhooks", _of("fanout", r"POST /events for", r"[\d,]+ subscribers to [\d,]+")),
    Row("event accepted → first byte sent", _of("accept", "accepted → first byte")),
    Row("attempts reported over HTTP", _of("ingest", "bare COPY", "POST ", "reported to COPY")),
    Row("live feed, message to the last socket", _of("live", LIVE + "last message", LIVE + "memory each, feed")),
    Row("cold dashboard, 1 M to 10 M attempts", _of("cold", r"GET /dashboard, ", r"overview, ")),
    Row("10,000 webhooks: lists and overview", _of("cold", r"[\d,]+ webhooks, GET")),
    Row("10,000 webhooks: page in a browser", command="nox -s browser -- tests/browser/test_scale.py"),
    Row("claim from a full queue", _of("claim", "full to empty")),
    Row(
        "fresh events beside a replay and a backfill of 100,000",
        _of("replays", "beside a .* to alone"),
    ),
    Row("fresh events beside other neighbours", _of("neighbours", "beside .* to alone")),
    Row("fresh events beside a key that waits", _of("keys", "beside .* to alone")),
    Row("`monitor up` until ready, scaled", _of("startup", "ready on ")),
    Row("memory of an idle `monitor up`", _of("startup", "idle, ")),
    Row("nothing lost, nothing sent twice without faults", _of("faults", "under faults: ", "without faults: "), FAULTS),
    Row("takeover of a killed worker's deliveries", _of("faults", "takeover: "), FAULTS),
    Row("PostgreSQL restarts", _of("faults", ".*: back to the first", ".*: slowest request meanwhile"), FAULTS),
    Row("PostgreSQL fails over to a replica", command="nox -s topology"),
    Row("hostile receivers", _of("faults", "hostile: "), FAULTS),
    Row("fuzzing, as every role", command="nox -s fuzz"),
)


def table(measured: Mapping[str, Run]) -> Iterator[str]:
    """Yield the lines of the table of all rows."""
    yield "| what | measured | holds | command | when, of which commit |"
    yield "|---|---|---|---|---|"
    for row in ROWS:
        figures = [figure for source in row.sources for figure in source.figures(measured)]
        when = "; ".join(dict.fromkeys(_when(measured[file]) for file in row.files if file in measured))
        yield f"| {row.what} | {_shown(figures)} | {_verdict(figures)} | {row.commands} | {when if figures else ''} |"
    floors = list(FLOOR.finditer(DETECTION_TABLE.read_text(encoding="utf-8")))
    shown = "<br>".join(f"{floor['text'].rpartition(':')[0]}: {floor['measured']}" for floor in floors[:SHOWN])
    missed = sum(floor["holds"] != "yes" for floor in floors)
    verdict = f"**{missed} of {len(floors)} not**" if missed else f"yes, all {len(floors)}"
    link = f"[table]({DETECTION_TABLE.name})"
    yield f"| false alarms and detection | {shown}<br>and more in the {link} | {verdict} | `{DETECTION}` | {link} |"


def _shown(figures: list[Figure]) -> str:
    """Return a cell of at most so many figures: those that miss their limits first, then those that have one."""
    if not figures:
        return "not measured"
    first = sorted(figures, key=lambda figure: (figure.holds is not False, figure.must is None))[:SHOWN]
    rest = len(figures) - len(first)
    return "<br>".join(map(_cell, first)) + (f"<br>and {rest} more below" if rest else "")


def _cell(figure: Figure) -> str:
    limit = "" if figure.must is None else f" ({figure.must})"
    return f"{figure.name}: {value(figure)}{limit}"


def value(figure: Figure) -> str:
    digits = 0 if figure.value == int(figure.value) else 3 if abs(figure.value) < 10 else 1
    return f"{figure.value:,.{digits}f} {figure.unit}".strip()


def _verdict(figures: list[Figure]) -> str:
    judged = [figure for figure in figures if figure.holds is not None]
    if not judged:
        return ""
    missed = sum(figure.holds is False for figure in judged)
    return f"**{missed} of {len(judged)} not**" if missed else f"yes, all {len(judged)}" if len(judged) > 1 else "yes"


def _when(run: Run) -> str:
    at = f"{run.machine.at:%Y-%m-%d}"
    return f"{at}, {run.machine.commit}" if run.machine.commit else at
