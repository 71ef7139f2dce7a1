"""Version 7 UUIDs (RFC 9562 section 5.7): built from a time and random bits, ordered by time. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

SYSTEM_ID = UUID(int=0)
"""Represents all webhooks together in rollups and alerts."""

TAIL_BITS = 74
"""Bits of a version 7 UUID that are neither time nor fixed."""

ROOM_BITS = 24
"""Consecutive stamps of a process leave room for this many bits of derived ids; see :func:`derived`."""

_TIME_SHIFT = 80
"""Bits below the Unix millisecond."""

RANDOM_BITS = _TIME_SHIFT
"""Bits that :func:`uuid7_bytes` takes."""

_LOW_BITS = 62
_VERSION = 7 << 76
_VARIANT = 0b10 << _LOW_BITS
_FIXED = _VERSION | _VARIANT
_FREE = (1 << _TIME_SHIFT) - 1 ^ (0xF << 76 | 0b11 << _LOW_BITS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def unix_millis(at: datetime) -> int:
    """Return the whole milliseconds from 1970 to *at*, aware, rounded down."""
    # In integers, since at.timestamp() * 1000 rounds some times into the millisecond before.
    return (at - _EPOCH) // _MILLISECOND


def id_floor(at: datetime) -> UUID:
    """Return a lower bound of the version 7 UUIDs of *at*'s millisecond, above all earlier ones.

    ``id >= id_floor(a) and id < id_floor(b)`` selects the half-open time range ``[a, b)``, in whole milliseconds.
    *at* is aware; before 1970 there are no ids, so that floor is the smallest UUID.
    """
    return UUID(int=max(unix_millis(at), 0) << _TIME_SHIFT)


def id_millis(id_: UUID) -> int:
    """Return the Unix milliseconds that a version 7 UUID carries."""
    return id_.int >> _TIME_SHIFT


def id_time(id_: UUID) -> datetime:
    """Return the time that a version 7 UUID carries, aware UTC, in whole milliseconds."""
    return _EPOCH + id_millis(id_) * _MILLISECOND


def stamp(millis: int, tail: int) -> int:
    """Return time and *tail*, below ``2 ** TAIL_BITS``, as one number that sorts like the id built from it."""
    return millis << TAIL_BITS | tail


def next_stamp(last: int, millis: int, tail: int) -> int:
    """
    Return a stamp of *millis* above *last*, slightly later if necessary (RFC 9562 section 6.2, method 2).

    The difference is at least ``2 ** ROOM_BITS``.
    """
    return max(stamp(millis, tail), last + (1 << ROOM_BITS))


def uuid7(stamp_: int) -> UUID:
    """Return the version 7 UUID that carries *stamp_*, keeping the order of stamps."""
    millis, tail = stamp_ >> TAIL_BITS, stamp_ & ((1 << TAIL_BITS) - 1)
    high, low = tail >> _LOW_BITS, tail & ((1 << _LOW_BITS) - 1)
    return UUID(int=millis << _TIME_SHIFT | _VERSION | high << 64 | _VARIANT | low)


def uuid7_bytes(millis: int, random_bits: int) -> bytes:
    """Return a version 7 UUID of *millis* and most of *random_bits*, below ``2 ** RANDOM_BITS``, as its 16 bytes."""
    return (millis << _TIME_SHIFT | random_bits & _FREE | _FIXED).to_bytes(16, "big")


def derived(id_: UUID, n: int) -> UUID:
    """
    Return the *n*-th id derived from *id_*: after it and all derived ones with a smaller *n*, and before the next id
    of the same process. The same arguments give the same id.

    Args:
        n: from 1 to ``2 ** ROOM_BITS - 1``.
    """
    number = id_.int
    tail = (number >> 64 & (1 << TAIL_BITS - _LOW_BITS) - 1) << _LOW_BITS | number & (1 << _LOW_BITS) - 1
    return uuid7(stamp(number >> _TIME_SHIFT, tail) + n)


def retimed(id_: UUID, at: datetime) -> UUID:
    """Return *id_*, a version 7 UUID, with the time of *at*, aware and after 1970, in place of its own."""
    return UUID(int=unix_millis(at) << _TIME_SHIFT | id_.int & (1 << _TIME_SHIFT) - 1)
