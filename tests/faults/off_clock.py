"""``python -m tests.faults.off_clock …`` is ``monitor …`` on a machine whose clock is ten minutes ahead."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

from monitor.adapters.clock import SystemClock
from monitor.cli import main

OFF_S = 600


def machine_now(self: SystemClock) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=OFF_S)


def set_ahead() -> None:
    """Replace all that :class:`SystemClock` reads the time of day from."""
    time_s, time_ns = time.time, time.time_ns
    time.time = lambda: time_s() + OFF_S
    time.time_ns = lambda: time_ns() + OFF_S * 10**9
    SystemClock.machine_now = machine_now  # type: ignore[method-assign]


if __name__ == "__main__":
    set_ahead()
    sys.exit(main())
