"""The host's clock, and the arithmetic of version 7 UUIDs under it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.clock import SystemClock
from monitor.domain.clock import TAIL_BITS, next_stamp, stamp, unix_millis, uuid7
from monitor.domain.vocab import id_millis
from tests.fakes.clock import FakeClock

millis = st.integers(0, 2**47)
tails = st.integers(0, 2**TAIL_BITS - 1)


def test_now_is_the_time_of_the_host() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_ids_from_many_threads_never_repeat() -> None:
    clock = SystemClock()
    with ThreadPoolExecutor(4) as pool:
        batches = pool.map(lambda _: [clock.new_id() for _ in range(2_000)], range(4))
        assert len({id_ for batch in batches for id_ in batch}) == 8_000


def test_ids_keep_rising_when_the_wall_clock_steps_back() -> None:
    clock = FakeClock()
    before = clock.new_id()
    clock.set_to(clock.now() - timedelta(hours=1))
    assert clock.new_id() > before


@given(last=st.builds(stamp, millis, tails), now=millis, dice=tails)
def test_the_next_stamp_is_greater_and_never_early(last: int, now: int, dice: int) -> None:
    """next_stamp(last, now, dice) > last, and its time is >= now."""
    following = next_stamp(last, now, dice)
    assert following > last
    assert following >> TAIL_BITS >= now


@given(a=st.builds(stamp, millis, tails), b=st.builds(stamp, millis, tails))
def test_a_uuid_keeps_the_order_of_stamps(a: int, b: int) -> None:
    """a < b exactly when uuid7(a) < uuid7(b), and the time comes back whole."""
    assert (a < b) == (uuid7(a) < uuid7(b))
    assert id_millis(uuid7(a)) == a >> TAIL_BITS
    assert uuid7(a).version == 7


@given(st.integers(0, 4_102_444_800_000), st.integers(0, 999))
def test_milliseconds_round_down_exactly(whole: int, micros: int) -> None:
    """unix_millis(epoch + n ms + m us) == n for m < 1,000."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=whole, microseconds=micros)
    assert unix_millis(at) == whole
