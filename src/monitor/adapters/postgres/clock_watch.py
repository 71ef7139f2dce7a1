"""Compares the machine's clock with the database's, and corrects what this process takes from it."""

from __future__ import annotations

import asyncio

import structlog

from monitor.adapters.clock import SystemClock
from monitor.adapters.postgres.engine import Database
from monitor.domain.errors import Unavailable

EVERY_S = 30.0

CORRECTED_S = 1.0
"""Smaller differences are left alone: each may be the time that the answer took."""

WARNED_S = 5.0
"""Receivers of Standard Webhooks refuse signatures that are five minutes off."""

REFUSED_S = 60.0

log = structlog.get_logger(__name__)


class ClockWatch:
    """
    Keeps *clock* within ``CORRECTED_S`` of the database's clock.

    Attributes:
        offset_s: what to add to the machine's clock to get the database's, as last measured; null before.
    """

    def __init__(self, database: Database, clock: SystemClock) -> None:
        self._database = database
        self._clock = clock
        self.offset_s: float | None = None

    async def measure(self) -> None:
        """Compare once. An answer that takes over ``CORRECTED_S``, or none, changes nothing."""
        started_s, machine = self._clock.monotonic(), self._clock.machine_now()
        try:
            row = await self._database.fetchrow("SELECT clock_timestamp() AS at")
        except Unavailable:
            return  # Its own loops report that the database is away.
        took_s = self._clock.monotonic() - started_s
        if row is None or took_s > CORRECTED_S:
            return
        self.offset_s = (row["at"] - machine).total_seconds() - took_s / 2
        self._clock.correct(self.offset_s if abs(self.offset_s) > CORRECTED_S else 0.0)
        if abs(self.offset_s) > WARNED_S:
            log.warning("clock_differs", offset_s=round(self.offset_s, 1))

    async def loop(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(EVERY_S)

    def problems(self) -> list[str]:
        """Return one line for ``/health/ready`` if the machine's clock is off by more than ``REFUSED_S``."""
        if self.offset_s is None or abs(self.offset_s) <= REFUSED_S:
            return []
        direction = "behind" if self.offset_s > 0 else "ahead of"
        return [f"The clock of this machine is {abs(self.offset_s):.0f} s {direction} the database's; set it."]
