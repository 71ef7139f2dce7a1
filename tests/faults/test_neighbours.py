"""What a quick webhook notices of slow, flooding, stalled, dead and locked ones of its worker."""

from __future__ import annotations

import pytest

from benchmarks.neighbours import measure
from benchmarks.support import Figures
from tests.faults.system import SLACK
from tests.integration.cache.processes import LONG


@pytest.mark.skipif(not LONG, reason="one round proves nothing and takes a minute; MONITOR_TEST_LONG=1 runs three")
async def test_neighbours_are_not_noticed(figures: Figures) -> None:
    await measure(figures, rounds=3, events=400, bar=2.0 * SLACK)
