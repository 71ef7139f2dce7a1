"""Version 7 UUIDs that carry their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.ids import (
    RANDOM_BITS,
    ROOM_BITS,
    TAIL_BITS,
    derived,
    id_floor,
    id_millis,
    id_time,
    next_stamp,
    stamp,
    unix_millis,
    uuid7,
    uuid7_bytes,
)
from tests import strategies as our

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
millis = st.integers(0, 2**47)
tails = st.integers(0, 2**TAIL_BITS - 1)


def made_at(at: datetime, filler: int) -> UUID:
    """A version 7 UUID of *at*'s millisecond, its lower 80 bits filled."""
    return UUID(int=((at - EPOCH) // MILLISECOND << 80) | filler)


@given(our.instants, st.integers(0, 2**80 - 1))
def test_a_floor_lies_below_the_ids_of_its_millisecond_and_above_all_earlier_ones(at: datetime, filler: int) -> None:
    """id(at - 1 ms) < id_floor(at) <= id(at) < id_floor(at + 1 ms), to the millisecond."""
    assert made_at(at - MILLISECOND, filler) < id_floor(at) <= made_at(at, filler) < id_floor(at + MILLISECOND)


@given(st.integers(0, 2**42))
def test_an_id_carries_its_millisecond_exactly(milliseconds: int) -> None:
    """id_millis and id_time invert id_floor; no millisecond is lost to float rounding."""
    at = EPOCH + milliseconds * MILLISECOND
    assert id_millis(id_floor(at)) == milliseconds
    assert id_time(id_floor(at)) == at


@given(our.instants, our.instants)
def test_floors_are_in_the_order_of_time(a: datetime, b: datetime) -> None:
    """a <= b implies id_floor(a) <= id_floor(b)."""
    low, high = sorted((a, b))
    assert id_floor(low) <= id_floor(high)


def test_before_1970_the_floor_is_the_smallest_id() -> None:
    assert id_floor(datetime(1900, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_the_last_day_of_the_calendar_still_fits_an_id() -> None:
    assert id_floor(datetime.max.replace(tzinfo=UTC)) < UUID(int=2**128 - 1)


@given(last=st.builds(stamp, millis, tails), now=millis, dice=tails)
def test_the_next_stamp_is_greater_and_never_early(last: int, now: int, dice: int) -> None:
    """next_stamp(last, now, dice) leaves room for derived ids after last, and its time is >= now."""
    following = next_stamp(last, now, dice)
    assert following >= last + 2**ROOM_BITS
    assert following >> TAIL_BITS >= now


@given(st.builds(stamp, millis, tails), st.integers(1, 2**ROOM_BITS - 2))
def test_derived_ids_lie_in_order_between_an_id_and_the_next_one(at: int, n: int) -> None:
    """uuid7(s) < derived(1) <= derived(n) < derived(n + 1) < uuid7(next_stamp(s)), all of version 7."""
    id_ = uuid7(at)
    ids = [id_, derived(id_, n), derived(id_, n + 1), uuid7(next_stamp(at, 0, 0))]
    assert ids == sorted(set(ids))
    assert {one.version for one in ids} == {7}


@given(a=st.builds(stamp, millis, tails), b=st.builds(stamp, millis, tails))
def test_a_uuid_keeps_the_order_of_stamps(a: int, b: int) -> None:
    """a < b exactly when uuid7(a) < uuid7(b), and the time comes back whole."""
    assert (a < b) == (uuid7(a) < uuid7(b))
    assert id_millis(uuid7(a)) == a >> TAIL_BITS
    assert uuid7(a).version == 7


@given(milliseconds=millis, random_bits=st.integers(0, 2**RANDOM_BITS - 1))
def test_bytes_of_an_id_are_those_of_a_version_7_uuid(milliseconds: int, random_bits: int) -> None:
    """The time comes back whole, version and variant are those of RFC 9562, and what is random stays in its place."""
    id_ = UUID(bytes=uuid7_bytes(milliseconds, random_bits))
    assert (id_.version, id_.variant) == (7, RFC_4122)
    assert id_millis(id_) == milliseconds
    free = ~((0xF << 76) | (0x3 << 62))
    assert id_.int & (2**80 - 1) & free == random_bits & (2**80 - 1) & free


@given(st.integers(0, 4_102_444_800_000), st.integers(0, 999))
def test_milliseconds_round_down_exactly(whole: int, micros: int) -> None:
    """unix_millis(epoch + n ms + m us) == n for m < 1,000."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=whole, microseconds=micros)
    assert unix_millis(at) == whole
