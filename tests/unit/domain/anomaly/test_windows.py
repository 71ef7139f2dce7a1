"""Rings against the plain list of everything that was added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly.windows import add_to_ring, advance_ring, empty_ring

steps = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 9)), max_size=60)


@given(steps)
def test_a_ring_holds_what_fell_into_its_slots(moves: list[tuple[int, int]]) -> None:
    """Streaming equals batch: the window's sums equal those over the list, slot by slot."""
    ring, at = empty_ring(300.0, 5, 0.0), 0
    added: list[tuple[int, int]] = []
    for wait_s, n in moves:
        at += wait_s
        ring = add_to_ring(advance_ring(ring, at)[0], n, 2 * n)
        added.append((at, n))
        recent = [m for when, m in added if when // 60 > at // 60 - 5]
        assert sum(ring.ns) == sum(recent)
        assert sum(ring.xs) == 2 * sum(recent)


@given(steps)
def test_what_is_added_is_dropped_once_or_still_there(moves: list[tuple[int, int]]) -> None:
    """Nothing is lost or doubled: all that was added is in the ring or was dropped, in order."""
    ring, at, gone, ends = empty_ring(300.0, 5, 0.0), 0, 0.0, [0.0]
    for wait_s, n in moves:
        at += wait_s
        ring, elapsed = advance_ring(ring, at)
        ring = add_to_ring(ring, n, 0)
        gone += sum(slot[1] for slot in elapsed.dropped)
        ends += [slot[0] for slot in elapsed.dropped]
    assert gone + sum(ring.ns) == sum(n for _, n in moves)
    assert ends == sorted(ends)


@given(steps)
def test_blocks_are_the_aligned_windows(moves: list[tuple[int, int]]) -> None:
    """Each completed block equals the sum over its aligned stretch; stretches without attempts give none."""
    ring, at = empty_ring(300.0, 5, 0.0), 0
    blocks: dict[float, float] = {}
    expected: dict[float, float] = {}
    for wait_s, n in [*moves, (600, 0)]:
        at += wait_s
        ring, elapsed = advance_ring(ring, at)
        ring = add_to_ring(ring, n, 0)
        if elapsed.block is not None:
            blocks[elapsed.block[0]] = elapsed.block[1]
        if n:
            expected[at // 300 * 300.0] = expected.get(at // 300 * 300.0, 0) + n
    expected.pop(at // 300 * 300.0, None)
    assert blocks == expected


def test_time_that_goes_back_moves_nothing() -> None:
    ring = add_to_ring(empty_ring(300.0, 5, 1_000.0), 3, 1)
    assert advance_ring(ring, 10.0)[0] is ring
    assert ring.window_s == pytest.approx(300.0)
