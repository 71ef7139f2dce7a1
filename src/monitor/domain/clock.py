"""The port to time and dice, and the arithmetic of version 7 UUIDs (RFC 9562 section 5.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

TAIL_BITS = 74
"""Bits of a version 7 UUID that are neither time nor fixed."""

_LOW_BITS = 62
_VERSION = 7 << 76
_VARIANT = 0b10 << _LOW_BITS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Time and randomness. Never fails."""

    def now(self) -> datetime:
        """Return this machine's time, aware UTC. What decides about deliveries is the database's instead."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def new_id(self, at: datetime | None = None) -> UUID:
        """Return a version 7 UUID that carries *at*, or now; ids of now ascend within a process."""
        ...

    def jitter(self) -> float:
        """Return a fraction in [0, 1)."""
        ...

    def token_bytes(self, size: int) -> bytes:
        """Return *size* bytes fit for a key."""
        ...


def unix_millis(at: datetime) -> int:
    """Return the whole milliseconds from 1970 to *at*, aware, rounded down."""
    # By integers: at.timestamp() * 1000 falls into the millisecond before for some times.
    return (at - _EPOCH) // _MILLISECOND


def stamp(millis: int, tail: int) -> int:
    """Return time and *tail*, below ``2 ** TAIL_BITS``, as one number that sorts like the id made of it."""
    return millis << TAIL_BITS | tail


def next_stamp(last: int, millis: int, dice: int) -> int:
    """Return a stamp of *millis* above *last*, a little later if need be (RFC 9562 section 6.2, method 2)."""
    return max(stamp(millis, dice), last + 1)


def uuid7(stamp_: int) -> UUID:
    """Return the version 7 UUID that carries *stamp_*, keeping the order of stamps."""
    millis, tail = stamp_ >> TAIL_BITS, stamp_ & ((1 << TAIL_BITS) - 1)
    high, low = tail >> _LOW_BITS, tail & ((1 << _LOW_BITS) - 1)
    return UUID(int=millis << 80 | _VERSION | high << 64 | _VARIANT | low)
