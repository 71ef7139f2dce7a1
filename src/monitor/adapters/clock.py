"""The only reader of clock and dice."""

from __future__ import annotations

import random
import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

_RANDOM_BITS = 74
_VARIANT = 0b10 << 62
_VERSION = 7 << 76


class SystemClock:
    """See :class:`monitor.domain.clock.Clock`."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._last_random = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self, at: datetime | None = None) -> UUID:
        if at is not None:
            return _uuid7(int(at.timestamp() * 1000), random.getrandbits(_RANDOM_BITS))
        # Ascending within a millisecond by counting up from a random start (RFC 9562 section 6.2, method 2).
        ms = time.time_ns() // 1_000_000
        if ms > self._last_ms:
            self._last_ms = ms
            self._last_random = random.getrandbits(_RANDOM_BITS - 1)
        else:
            self._last_random += 1 + random.getrandbits(16)
        return _uuid7(self._last_ms, self._last_random)

    def jitter(self) -> float:
        return random.random()

    def token_bytes(self, size: int) -> bytes:
        return secrets.token_bytes(size)


def _uuid7(ms: int, tail: int) -> UUID:
    return UUID(int=ms << 80 | _VERSION | (tail >> 62 & 0xFFF) << 64 | _VARIANT | tail & ((1 << 62) - 1))
