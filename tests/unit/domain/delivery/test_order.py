"""Order: lines, heads, and what a claim leases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.delivery.order import (
    Order,
    QueuedDelivery,
    head_of,
    line_of,
    next_due_at,
    next_of,
    steps_aside,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ORDERS: list[Order] = [False, True, "key"]


def queued(n: int, key: str | None = None, *, due_at: datetime = NOW, **members: Any) -> QueuedDelivery:
    return QueuedDelivery(id=UUID(int=n), due_at=due_at, order_key=key, **members)


@st.composite
def queues(draw: st.DrawFn) -> list[QueuedDelivery]:
    ids = count(1)
    made = st.builds(
        QueuedDelivery,
        id=st.builds(lambda: UUID(int=next(ids))),
        due_at=st.sampled_from([NOW - timedelta(seconds=1), NOW, LATER]),
        order_key=st.sampled_from([None, "a", "b"]),
        replayed=st.booleans(),
        aside=st.booleans(),
    )
    rows = draw(st.lists(made, max_size=8, unique_by=lambda one: one.id))
    # What is in flight is due when its lease ends.
    return [replace(one, in_flight=one.due_at == LATER and draw(st.booleans())) for one in rows]


@given(queues(), st.sampled_from(ORDERS), st.integers(0, 5))
def test_only_due_heads_and_what_is_in_no_line_go(rows: list[QueuedDelivery], ordered: Order, free: int) -> None:
    """At most *count*; each is due, and either in no line or the head of its line."""
    chosen = next_of(rows, ordered, free, NOW)
    assert len(chosen) <= free
    assert all(one.due_at <= NOW and head_of(one, rows, ordered) in (None, one) for one in chosen)


@given(queues(), st.integers(0, 5))
def test_of_a_key_one_is_in_flight(rows: list[QueuedDelivery], free: int) -> None:
    """Of those with one key that did not step aside, at most one is leased, and none while another one is."""
    lines = [one for one in rows if line_of(one, "key")]
    in_flight = [one.order_key for one in lines if one.in_flight]
    chosen = [one.order_key for one in next_of(rows, "key", free, NOW) if line_of(one, "key")]
    assert len(chosen) == len(set(chosen))
    assert not set(chosen) & set(in_flight)


@given(queues(), st.sampled_from([False, True]))
def test_a_claim_finds_something_exactly_when_it_is_due(rows: list[QueuedDelivery], ordered: Order) -> None:
    """``next_of`` is empty iff ``next_due_at`` is later."""
    due_at = next_due_at(rows, ordered)
    assert bool(next_of(rows, ordered, 1, NOW)) == (due_at is not None and due_at <= NOW)


@given(queues())
def test_whatever_a_claim_by_key_leases_was_due(rows: list[QueuedDelivery]) -> None:
    """``next_of`` finds nothing before ``next_due_at`` by key."""
    due_at = next_due_at(rows, "key")
    assert not next_of(rows, "key", 9, NOW) or (due_at is not None and due_at <= NOW)


@pytest.mark.parametrize("ordered", [False, "key"])
def test_what_was_due_first_goes_first_and_at_one_time_the_older(ordered: Order) -> None:
    rows = [queued(3), queued(1), queued(2, due_at=NOW - timedelta(seconds=1))]
    assert next_of(rows, ordered, 9, NOW) == [rows[2], rows[1], rows[0]]
    assert next_of(rows, ordered, 1, NOW) == [rows[2]]


def test_a_stuck_key_holds_its_own_deliveries_only() -> None:
    rows = [queued(1, "a", due_at=LATER), queued(2, "a"), queued(3, "b"), queued(4, "b"), queued(5), queued(6)]
    assert next_of(rows, "key", 9, NOW) == [rows[2], rows[4], rows[5]]
    assert next_of(rows, True, 9, NOW) == []
    assert next_of(rows, False, 9, NOW) == rows[1:]


def test_new_deliveries_go_before_replayed_ones() -> None:
    replayed = [queued(1, "a", replayed=True), queued(2, "b", replayed=True)]
    new = queued(9, "a")
    assert next_of([*replayed, new], True, 9, NOW) == [new]
    assert next_of(replayed, True, 9, NOW) == replayed[:1]
    assert next_of([*replayed, new], "key", 9, NOW) == [replayed[1], new]
    # A replayed head that fails holds what was replayed, and nothing else.
    stuck = replace(replayed[0], due_at=LATER)
    assert next_of([stuck, replayed[1], new], True, 9, NOW) == [new]
    assert next_of([stuck, replayed[1]], True, 9, NOW) == []


def test_what_stepped_aside_is_overtaken_and_goes_when_it_was_due_first() -> None:
    aside, head = queued(1, "a", due_at=NOW - timedelta(seconds=1), aside=True), queued(2, "a")
    assert next_of([replace(aside, due_at=LATER), head], True, 9, NOW) == [head]
    assert next_of([aside, head], True, 9, NOW) == [aside]
    assert next_of([aside, head], "key", 9, NOW) == [aside, head]


def test_what_stepped_aside_holds_no_other_of_its_key_while_it_is_in_flight() -> None:
    rows = [queued(1, "a", due_at=LATER, aside=True, in_flight=True), queued(2, "a")]
    assert next_of(rows, "key", 9, NOW) == rows[1:]


def test_what_a_worker_still_has_holds_those_behind_it() -> None:
    rows = [queued(1, "a"), queued(2, "a")]
    for ordered in (True, "key"):
        assert next_of(rows, ordered, 9, NOW, [UUID(int=1)]) == []
    assert next_of(rows, False, 9, NOW, [UUID(int=1)]) == rows[1:]


def test_a_lane_waits_for_its_heads_and_one_by_key_for_what_is_not_known_to_be_behind() -> None:
    rows = [queued(1, "a", due_at=LATER), queued(2, "a", behind=True)]
    assert [next_due_at(rows, ordered) for ordered in ORDERS] == [NOW, LATER, LATER]
    assert next_due_at([], True) is None
    assert next_due_at([], "key") is None


@pytest.mark.parametrize(
    ("ordered", "skip_after", "attempts", "expected"),
    [(True, 3, 2, False), (True, 3, 3, True), ("key", 1, 1, True), (True, None, 50, False), (False, 1, 9, False)],
)
def test_a_delivery_steps_aside_after_so_many_failed_attempts(
    ordered: Order, skip_after: int | None, attempts: int, expected: bool
) -> None:
    assert steps_aside(ordered, skip_after, attempts) is expected
