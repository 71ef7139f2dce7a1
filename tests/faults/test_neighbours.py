"""What a quick webhook notices of slow, flooding, stalled, dead and locked ones of its worker."""

from __future__ import annotations

from benchmarks.neighbours import measure
from benchmarks.support import Figures
from tests.faults.system import SLACK
from tests.integration.cache.processes import LONG


async def test_neighbours_are_not_noticed(figures: Figures) -> None:
    await measure(figures, rounds=3 if LONG else 1, events=400 if LONG else 100, bar=2.0 * SLACK)
