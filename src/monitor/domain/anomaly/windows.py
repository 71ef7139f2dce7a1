"""Sliding windows of bounded size: a ring of slots, each the sums of two numbers."""

from __future__ import annotations

import msgspec


class Ring(msgspec.Struct, frozen=True, array_like=True):
    """
    The last ``len(ns)`` slots of ``slot_s`` seconds, oldest first; ``head`` numbers the newest since the Unix epoch.

    A slot holds a count ``n`` and a sum ``x``. The window covers its length, less what is left of the newest slot.
    """

    slot_s: float
    head: int
    ns: tuple[float, ...]
    xs: tuple[float, ...]

    @property
    def window_s(self) -> float:
        return self.slot_s * len(self.ns)


class Elapsed(msgspec.Struct, frozen=True):
    """
    The result of advancing a ring.

    ``dropped`` slots left the window: tuples ``(slot_end_at, n, x)``, oldest first, only those with ``n > 0``.
    ``block`` is the newest completed stretch of the window's length, aligned to the epoch: ``(start_at, n, x)``.
    """

    dropped: tuple[tuple[float, float, float], ...] = ()
    block: tuple[float, float, float] | None = None


NOTHING_ELAPSED = Elapsed()


def empty_ring(window_s: float, slots: int, at: float) -> Ring:
    """Return a ring of *slots* zero slots that ends at *at*."""
    slot_s = window_s / slots
    zeros = (0.0,) * slots
    return Ring(slot_s, int(at // slot_s), zeros, zeros)


def advance_ring(ring: Ring, at: float) -> tuple[Ring, Elapsed]:
    """Move *ring* to the slot of *at*; an earlier time changes nothing."""
    head = int(at // ring.slot_s)
    steps = head - ring.head
    if steps <= 0:
        return ring, NOTHING_ELAPSED
    size = len(ring.ns)
    gone = min(steps, size)
    first = ring.head - size + 1
    dropped = tuple(((first + i + 1) * ring.slot_s, ring.ns[i], ring.xs[i]) for i in range(gone) if ring.ns[i] > 0)
    zeros = (0.0,) * gone
    moved = Ring(ring.slot_s, head, ring.ns[gone:] + zeros, ring.xs[gone:] + zeros)
    return moved, Elapsed(dropped, _completed_block(ring, head))


def add_to_ring(ring: Ring, n: float, x: float) -> Ring:
    """Add to the newest slot."""
    return Ring(ring.slot_s, ring.head, (*ring.ns[:-1], ring.ns[-1] + n), (*ring.xs[:-1], ring.xs[-1] + x))


def _completed_block(ring: Ring, head: int) -> tuple[float, float, float] | None:
    size = len(ring.ns)
    number = ring.head // size
    if head // size == number:
        return None
    width = ring.head % size + 1
    n = sum(ring.ns[-width:])
    return (number * size * ring.slot_s, n, sum(ring.xs[-width:])) if n > 0 else None
