"""The only reader of the clock and of random bits."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from uuid import UUID

from monitor.domain.ids import RANDOM_BITS, TAIL_BITS, next_stamp, stamp, unix_millis, uuid7, uuid7_bytes

_NS_PER_MS = 1_000_000
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine is suspended, as the other processes do; Linux alone has it."""


class SystemClock:
    """
    See :class:`monitor.domain.ports.clock.Clock`. Safe to share between threads.

    Args:
        uuid_of: makes the ids of :meth:`new_ids` of 16 bytes each.
    """

    def __init__(self, uuid_of: Callable[[bytes], UUID] | None = None) -> None:
        self._uuid_of = uuid_of or _uuid
        self._last_stamp = 0
        self._lock = Lock()
        self._correction: timedelta | None = None
        self._correction_s = 0.0
        self._correction_ms = 0

    def correct(self, offset_s: float) -> None:
        """Add *offset_s* to the machine's clock from now on; 0 for none."""
        self._correction = timedelta(seconds=offset_s) if offset_s else None
        self._correction_s = offset_s
        self._correction_ms = round(offset_s * 1_000)

    def machine_now(self) -> datetime:
        """Return the time of the machine, uncorrected."""
        return datetime.now(UTC)

    def now(self) -> datetime:
        now = self.machine_now()
        return now if self._correction is None else now + self._correction

    def unix_s(self) -> float:
        """Return :meth:`now` in Unix seconds, at a fifth of its cost."""
        return time.time() + self._correction_s

    def monotonic(self) -> float:
        return time.clock_gettime(_ELAPSED)

    def new_id(self, at: datetime | None = None) -> UUID:
        random_bits = random.getrandbits(TAIL_BITS)
        if at is not None:
            return uuid7(stamp(unix_millis(at), random_bits))
        with self._lock:
            now_ms = time.time_ns() // _NS_PER_MS + self._correction_ms
            self._last_stamp = next_stamp(self._last_stamp, now_ms, random_bits)
            return uuid7(self._last_stamp)

    def new_ids(self, millis: Sequence[int]) -> list[UUID]:
        return [self._uuid_of(uuid7_bytes(at_ms, random.getrandbits(RANDOM_BITS))) for at_ms in millis]

    def jitter(self) -> float:
        return random.random()

    def token_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def _uuid(raw: bytes) -> UUID:
    return UUID(bytes=raw)
