"""``FakeClock``: time stands still until a test moves it; the same seed throws the same dice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from monitor.domain.ids import TAIL_BITS, next_stamp, stamp, unix_millis, uuid7

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""A Monday noon."""


class FakeClock:
    """``Clock`` for tests. ``advance`` moves wall and monotonic time together, ``set_to`` only the wall clock."""

    def __init__(self, now: datetime = START, *, seed: int = 0) -> None:
        self._now = now
        self._monotonic_s = 0.0
        self._dice = random.Random(seed)
        self._last_stamp = 0

    def advance(self, seconds: float) -> datetime:
        """Let *seconds* (not negative) pass; return the new time."""
        if seconds < 0:
            raise ValueError("time passes forwards; use set_to to step the wall clock back")
        self._monotonic_s += seconds
        self._now += timedelta(seconds=seconds)
        return self._now

    def set_to(self, now: datetime) -> None:
        """Step the wall clock, also backwards, as an operator or NTP would."""
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic_s

    def new_id(self, at: datetime | None = None) -> UUID:
        if at is not None:
            return uuid7(stamp(unix_millis(at), self._dice.getrandbits(TAIL_BITS)))
        self._last_stamp = next_stamp(self._last_stamp, unix_millis(self._now), self._dice.getrandbits(TAIL_BITS))
        return uuid7(self._last_stamp)

    def new_ids(self, millis: Sequence[int]) -> list[UUID]:
        return [uuid7(stamp(at_ms, self._dice.getrandbits(TAIL_BITS))) for at_ms in millis]

    def jitter(self) -> float:
        return self._dice.random()

    def token_bytes(self, size: int) -> bytes:
        return self._dice.randbytes(size)
