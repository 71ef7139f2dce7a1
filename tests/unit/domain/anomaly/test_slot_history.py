"""The history of slots: what it keeps, what it makes plausible, and how a change of clocks shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.anomaly.slot_history import (
    KEPT_SLOTS,
    SLOTS_PER_DAY,
    SLOTS_PER_HOUR,
    find_clock_change,
    past_count,
    record_slot,
    shift_history,
    slot_limits,
)

NOW = 1_000 * SLOTS_PER_DAY
NEXT_DAY = NOW + SLOTS_PER_DAY


def history_of(counts: dict[int, int], *, days: int = 17, fill: int = 0) -> bytes:
    """Return a history up to NOW of which *counts*, by slot, differ from *fill*."""
    history = b""
    for slot in range(NOW - days * SLOTS_PER_DAY, NOW):
        history = record_slot(history, slot, counts.get(slot, fill), slot + 1)
    return history


def at(days_ago: int, hour: float, attempts: int, *, hours: float = 1.0) -> dict[int, int]:
    """Return *attempts* in each slot of the *hours* from *hour* on, so many days before the day that begins NOW."""
    first = NOW - days_ago * SLOTS_PER_DAY + round(hour * SLOTS_PER_HOUR)
    return dict.fromkeys(range(first, first + round(hours * SLOTS_PER_HOUR)), attempts)


def every_day(hour: float, attempts: int, *, hours: float = 1.0, but: int | None = None) -> dict[int, int]:
    days = (day for day in range(1, 18) if day != but)
    return {slot: n for day in days for slot, n in at(day, hour, attempts, hours=hours).items()}


@given(st.integers(0, 10**7))
def test_a_count_is_kept_to_a_few_percent(attempts: int) -> None:
    """past_count(record_slot(x)) is x, but for 4 %."""
    history = record_slot(b"", NOW, attempts, NOW + 1)
    assert len(history) == KEPT_SLOTS
    assert past_count(history, NOW, 0) == pytest.approx(attempts, rel=0.04, abs=0.04)


def test_the_largest_count_stands_for_all_above() -> None:
    history = record_slot(b"", NOW, 10**12, NOW + 1)
    assert past_count(history, NOW, 0) == pytest.approx(2**25.4, rel=0.04)


def test_what_was_not_observed_is_unknown() -> None:
    assert past_count(b"", NOW, 1) is None
    history = record_slot(b"", NOW, 5, NOW + 1)
    assert past_count(history, NOW + SLOTS_PER_DAY, 2) is None
    assert past_count(record_slot(history, NOW, None, NOW + 1), NOW, 0) is None
    assert past_count(history, NOW, 0, SLOTS_PER_HOUR) is None, "an hour of which a slot is unknown"


@given(st.integers(1, 3 * KEPT_SLOTS))
def test_a_pause_leaves_nothing_from_before_in_its_place(slots: int) -> None:
    """After a pause of any length, the slots in it are unknown, and so are those that they replaced."""
    history = history_of({}, fill=7)
    after = record_slot(history, NOW, 9, NOW + slots)
    known = [slot for slot in range(NOW + slots - KEPT_SLOTS, NOW + slots) if past_count(after, slot, 0) is not None]
    assert all(slot <= NOW for slot in known)
    assert len(known) == max(KEPT_SLOTS - slots + 1, 0)


def test_without_history_the_mean_is_all_there_is() -> None:
    assert slot_limits(b"", NOW, 60.0) == (10.0, 10.0)


def test_chance_does_not_widen_the_limits() -> None:
    counts = {slot: 10 + slot % 3 - 1 for slot in range(NOW - KEPT_SLOTS, NOW)}
    assert slot_limits(history_of(counts), NOW + 5, 60.0) == (10.0, 10.0)


def test_the_mean_of_an_hour_is_spread_as_it_came() -> None:
    history = history_of(every_day(2, 300, hours=0.5))
    first = NOW + 2 * SLOTS_PER_HOUR
    for slot in range(first, first + 3):
        assert slot_limits(history, slot, 900.0) == pytest.approx((300, 300), rel=0.05)
    for slot in range(first + 3, first + 6):
        assert slot_limits(history, slot, 900.0) == (0.0, 0.0)


def test_one_week_of_two_is_no_repeat() -> None:
    least, most = slot_limits(history_of(at(7, 2, 100)), NOW + 2 * SLOTS_PER_HOUR, 0.0)
    assert (least, most) == (0.0, 0.0)
    least, most = slot_limits(history_of(at(7, 2, 100) | at(14, 2, 100)), NOW + 2 * SLOTS_PER_HOUR, 0.0)
    assert least == 0.0
    assert most == pytest.approx(100, rel=0.04)


def test_a_single_known_week_stands_for_both() -> None:
    history = history_of(at(7, 2, 100), days=8)
    assert slot_limits(history, NOW + 2 * SLOTS_PER_HOUR, 0.0)[1] == pytest.approx(100, rel=0.04)


def test_what_came_on_both_last_days_is_plausible() -> None:
    slot = NOW + 2 * SLOTS_PER_HOUR
    assert slot_limits(history_of(at(1, 2, 100)), slot, 0.0) == (0.0, 0.0)
    assert slot_limits(history_of(at(1, 2, 100) | at(2, 2, 100)), slot, 0.0)[1] == pytest.approx(100, rel=0.04)
    assert slot_limits(history_of(at(1, 2, 100), days=1), slot, 0.0)[1] == pytest.approx(100, rel=0.04)


def test_a_quiet_weekend_says_nothing_about_monday() -> None:
    working = {
        slot: n
        for day in range(1, 18)
        if day not in {1, 2, 8, 9, 15, 16}
        for slot, n in at(day, 9, 100, hours=9).items()
    }
    least, _ = slot_limits(history_of(working), NOW + 11 * SLOTS_PER_HOUR, 600.0)
    assert least == pytest.approx(100, rel=0.04)


def test_small_counts_are_compared_by_the_hour() -> None:
    slot = NOW + 2 * SLOTS_PER_HOUR
    assert slot_limits(history_of({}, fill=0), slot, 18.0)[0] == 0.0
    least, most = slot_limits(history_of(every_day(2, 3) | at(1, 2, 0) | at(2, 2, 0)), slot, 18.0)
    assert least == 0.0
    assert most == pytest.approx(3.0, rel=0.04)


def test_the_rest_of_a_mean_does_not_count_where_hours_were_empty() -> None:
    least, most = slot_limits(history_of({}), NOW + SLOTS_PER_HOUR, 5.0)
    assert least == 0.0
    assert most == pytest.approx(5 / 6)


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("days", [17, 2])
def test_a_change_of_clocks_shows_in_the_hours_that_moved(hours: int, days: int) -> None:
    counts = every_day(2, 100, hours=0.5, but=1) | at(1, 2 + hours, 100, hours=0.5)
    assert find_clock_change(history_of(counts, days=days), NOW) == hours


@pytest.mark.parametrize(
    "counts",
    [
        {},
        every_day(2, 100),
        every_day(2, 100, but=1),
        every_day(2, 100) | at(1, 3, 100),
        every_day(2, 100, but=1) | at(1, 5, 100),
        every_day(2, 2, but=1) | at(1, 3, 2),
    ],
    ids=["nothing", "as ever", "missing", "twice", "three hours later", "too few to tell"],
)
def test_nothing_else_is_a_change_of_clocks(counts: dict[int, int]) -> None:
    assert find_clock_change(history_of(counts), NOW) == 0
    assert find_clock_change(b"", NOW) == 0


@pytest.mark.parametrize("hours", [-1, 1])
def test_shifting_moves_all_but_the_last_day(hours: int) -> None:
    history = history_of(every_day(2, 100))
    shifted = shift_history(history, NOW, hours)
    slot = NEXT_DAY + 2 * SLOTS_PER_HOUR
    assert past_count(shifted, slot, 2) == past_count(history, slot, 2)
    assert past_count(shifted, slot, 3) == 0
    assert past_count(shifted, slot + hours * SLOTS_PER_HOUR, 3) == pytest.approx(100, rel=0.04)
    assert len(shifted) == KEPT_SLOTS
