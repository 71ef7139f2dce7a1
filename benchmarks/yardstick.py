"""
How fast the machine is at the moment, against the reference speed that limits in milliseconds and seconds hold at.

Machines drift, so a time says little without what something simple takes in the same run. A limit is scaled by how much
slower than the reference that is, and never narrowed on a machine that is faster.
"""

from __future__ import annotations

import time

from benchmarks.support import Figures, median

LOOPS = 15
STEPS = 200_000
REFERENCE_MS = 10.0
"""What the loop takes at the reference speed, which this defines."""


def loop_ms() -> float:
    """Return what a loop of plain Python takes, the median of some in a row: a fifth of a second in all."""
    return median([_once_ms() for _ in range(LOOPS)])


def slowness(*measured_ms: float) -> float:
    """Return how many times slower than the reference the machine is, by loops at different times. At least 1."""
    return max(1.0, median(measured_ms) / REFERENCE_MS)


def note(figures: Figures) -> float:
    """Measure and note the yardstick; return what limits in seconds are scaled by."""
    took_ms = loop_ms()
    figures.note("yardstick: a plain loop", took_ms, "ms")
    figures.note("yardstick: limits of times are scaled by", slowness(took_ms), "×")
    return slowness(took_ms)


def _once_ms() -> float:
    started, total = time.perf_counter(), 0
    for i in range(STEPS):
        total += i & 7
    return (time.perf_counter() - started) * 1000
