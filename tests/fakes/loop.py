"""``SteppedLoop``: an event loop whose time is a test's clock."""

from __future__ import annotations

import asyncio
import math

from tests.fakes.clock import FakeClock


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, then stands still; its timers follow the test's clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def time(self) -> float:
        return self._clock.monotonic()

    def run_ready(self) -> None:
        while True:
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready:  # type: ignore[attr-defined]
                return

    def pass_time(self, seconds: float) -> None:
        """Let *seconds* pass, stopping at each timer on the way."""
        end = self.time() + seconds
        self.run_ready()
        while (due := self._next()) <= end:
            self._clock.advance(max(due - self.time(), 0.0))
            self.run_ready()
        self._clock.advance(max(end - self.time(), 0.0))
        self.run_ready()

    def _next(self) -> float:
        timers = self._scheduled  # type: ignore[attr-defined]
        return min((timer.when() for timer in timers if not timer.cancelled()), default=math.inf)
