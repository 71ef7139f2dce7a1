"""What every ``Clock`` must do, run over the real one and the fake."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitor.adapters.clock import SystemClock
from monitor.domain.ids import id_millis
from monitor.domain.ports.clock import Clock
from tests.fakes.clock import FakeClock


@pytest.fixture(params=[SystemClock, FakeClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_now_is_aware_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_monotonic_never_decreases(clock: Clock) -> None:
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


def test_ids_are_version_7_of_the_rfc_variant(clock: Clock) -> None:
    id_ = clock.new_id()
    assert id_.version == 7
    assert id_.variant == "specified in RFC 4122"


def test_ids_rise_strictly_also_within_a_millisecond(clock: Clock) -> None:
    ids = [clock.new_id() for _ in range(5_000)]
    assert all(a < b for a, b in itertools.pairwise(ids))


def test_an_id_carries_the_time_it_was_made(clock: Clock) -> None:
    before, id_, after = clock.now(), clock.new_id(), clock.now()
    millis = timedelta(milliseconds=1)
    made = datetime.fromtimestamp(0, UTC) + id_millis(id_) * millis
    assert before - millis < made <= after


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_an_id_for_a_given_time_carries_exactly_that_millisecond(clock: Clock, zone: timezone) -> None:
    # One of the instants for which the float product timestamp() * 1000 falls just short of the whole number.
    for millis in (1_700_000_000_001, 1_234_567_890_123, 1_099_511_627_779):
        at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)).astimezone(zone)
        assert id_millis(clock.new_id(at)) == millis


def test_ids_for_one_given_time_differ_and_leave_the_sequence_alone(clock: Clock) -> None:
    future = clock.now() + timedelta(days=365)
    before = clock.new_id()
    assert len({clock.new_id(future) for _ in range(100)}) == 100
    after = clock.new_id()
    assert before < after < clock.new_id(future)


def test_ids_for_given_milliseconds_carry_them(clock: Clock) -> None:
    millis = [1_234_567_890_123, 1_700_000_000_001, 1_700_000_000_001]
    ids = clock.new_ids(millis)
    assert [id_millis(id_) for id_ in ids] == millis
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == len({str(id_) for id_ in ids}) == 3


def test_jitter_stays_within_zero_and_one_and_varies(clock: Clock) -> None:
    throws = [clock.jitter() for _ in range(1_000)]
    assert all(0 <= throw < 1 for throw in throws)
    assert len(set(throws)) > 900


@pytest.mark.parametrize("n", [0, 1, 32])
def test_token_bytes_has_the_length_asked_for(clock: Clock, n: int) -> None:
    assert len(clock.token_bytes(n)) == n


def test_two_tokens_differ(clock: Clock) -> None:
    assert clock.token_bytes(32) != clock.token_bytes(32)
