"""Every benchmark in a tiny form: it runs to its end and measures something. Whether it meets its bars is not asked."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest

from benchmarks.__main__ import BENCHES

TINY: dict[str, dict[str, Any]] = {
    "accept": {"EVENTS": 5, "PAUSE_S": 0.0, "CLIENTS": 2, "MEASURED_S": 0.2},
    "cache": {"PEEKS": 100, "READS": 10, "FLOOD": 100},
    "capacity": {
        "COUNTS": (1, 2),
        "DELIVERIES": 40,
        "CONNECTIONS": 2,
        "SECONDS": 0.2,
        "METERED": 20,
        "METERED_S": 0.2,
    },
    "claim": {"SCALES": (3,), "MILLION": 100, "DUE": 60, "CLAIM": 5, "CLAIMS": 2, "ROUNDS": 1},
    "cold": {"WEBHOOKS": 3, "ATTEMPTS": {"1 M": 100, "10 M": 200}, "MANY": 5, "MANY_ATTEMPTS": 100, "RUNS": 1},
    "deliver": {"WEBHOOKS": 3, "CONCURRENCY": 5, "DELIVERIES": 20, "BATCH": 10, "PEER_JOBS": 20, "ROUNDS": 1},
    "fan_out": {"SUBSCRIBERS": (1, 2, 3), "EVENTS": 2, "FRESH": 3, "ROUNDS": 1, "PAUSE_S": 0.0},
    "http": {"CONNECTIONS": 2, "SECONDS": 0.2, "ROUNDS": 1, "WEBHOOKS": 20},
    "ingest": {"BATCH": 10, "BATCHES": 4, "SENDERS": (1, 2), "ROUNDS": 1},
    "live": {"SIZES": (5,), "ROUNDS": 3, "SLOW_S": 0.2, "FINISH_S": 0.2},
    "keys": {"KEYS": 4, "BACKLOG": 20, "BATCH": 10, "ROUNDS": 1, "EVENTS": 4},
    "neighbours": {"ROUNDS": 1, "EVENTS": 4, "MANY": 3, "DEAD_NAMES": 2, "LOCKED_S": 0.2, "TIMEOUT_S": 1.0},
    "replays": {"ROWS": 20, "ROUNDS": 1, "EVENTS": 4},
    "sender": {"PORTS": 2, "CONCURRENCY": 5, "POSTS": 100, "ROUNDS": 1},
    "startup": {},
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


def test_no_benchmark_is_left_out() -> None:
    named = {name.replace("_", "") for name in TINY}
    assert named == set(BENCHES)
