"""Every benchmark in a tiny form: it runs to its end and measures something. Whether it meets its bars is not asked."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHES
from benchmarks.rows import ROWS

TINY: dict[str, dict[str, Any]] = {
    "accept": {"EVENTS": 5, "PAUSE_S": 0.0, "CLIENTS": 2, "SECONDS": 0.5, "ROUNDS": 1},
    "cache": {"PEEKS": 100, "READS": 10, "FLOOD": 100},
    "capacity": {
        "COUNTS": (1, 2),
        "DELIVERIES": 3_000,
        "CONNECTIONS": 2,
        "SECONDS": 1.0,
        "METERED": 20,
        "METERED_S": 2.0,
    },
    "claim": {"SCALES": (3,), "MILLION": 100, "DUE": 60, "CLAIM": 5, "CLAIMS": 2, "ROUNDS": 1},
    "cold": {"WEBHOOKS": 3, "ATTEMPTS": {"1 M": 100, "10 M": 200}, "MANY": 5, "MANY_ATTEMPTS": 100, "RUNS": 1},
    "deliver": {"WEBHOOKS": 3, "CONCURRENCY": 5, "DELIVERIES": 20, "BATCH": 10, "PEER_JOBS": 20, "ROUNDS": 1},
    "fan_out": {"SUBSCRIBERS": (1, 2, 3), "EVENTS": 2, "FRESH": 3, "ROUNDS": 1, "PAUSE_S": 0.0},
    "growth": {"WEBHOOKS": (2, 3), "ATTEMPTS": 100, "RUNS": 1},
    "http": {"CONNECTIONS": 2, "SECONDS": 0.2, "ROUNDS": 1, "WEBHOOKS": 20},
    "ingest": {"BATCH": 10, "BATCHES": 4, "SENDERS": (1, 2), "ROUNDS": 1},
    "live": {"SIZES": (5,), "JUDGED": 5, "ROUNDS": 3, "SLOW_S": 0.2, "FINISH_S": 0.2},
    "keys": {"KEYS": 4, "BACKLOG": 20, "BATCH": 10, "ROUNDS": 1, "EVENTS": 4},
    "neighbours": {"ROUNDS": 1, "EVENTS": 4, "MANY": 3, "DEAD_NAMES": 2, "LOCKED_S": 0.2, "TIMEOUT_S": 1.0},
    "replays": {"ROWS": 20, "ROUNDS": 1, "EVENTS": 4},
    "sender": {"PORTS": 2, "CONCURRENCY": 5, "POSTS": 100, "ROUNDS": 1},
    "startup": {"IDLE_S": 0.1},
}


@pytest.mark.benchmarks
@pytest.mark.parametrize("module", TINY)
async def test_a_benchmark_measures_something(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = importlib.import_module(f"benchmarks.{module}")
    for name, value in TINY[module].items():
        # Raises for a name that is gone.
        monkeypatch.setattr(bench, name, value)
    figures = await bench.run()
    assert figures
    assert all(math.isfinite(figure.value) for figure in figures)
    wanted = [source.pattern for row in ROWS for source in row.sources if source.file == figures[0].bench]
    names = [figure.name for figure in figures]
    # What the table of all limits looks for is there.
    assert [pattern for pattern in wanted if not any(re.match(pattern, name) for name in names)] == []


def test_no_benchmark_is_left_out() -> None:
    named = {name.replace("_", "") for name in TINY}
    assert named == set(BENCHES)


def test_every_row_of_the_limits_has_a_benchmark_or_a_session() -> None:
    sources = {source.file for row in ROWS for source in row.sources}
    assert sources - set(BENCHES) == {"load", "faults"}
    sessions = {session for row in ROWS for session in re.findall(r"^nox -s (\w+)", row.command)}
    noxfile = Path("noxfile.py").read_text(encoding="utf-8")
    assert [session for session in sessions if f"def {session}(" not in noxfile] == []
    assert [row.what for row in ROWS if not row.sources and not row.command] == []
