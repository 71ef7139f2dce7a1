"""The host's clock, and the arithmetic of version 7 UUIDs under it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from monitor.adapters.clock import SystemClock
from monitor.domain.ids import id_time
from tests.fakes.clock import FakeClock


def test_now_is_the_time_of_the_host() -> None:
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts the time of a suspended machine")
def test_seconds_go_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s = 8 * 3600.0
    awake_s = time.monotonic()
    clocks = {time.CLOCK_MONOTONIC: lambda: awake_s, time.CLOCK_BOOTTIME: lambda: awake_s + slept_s}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: clocks[clock]())
    assert SystemClock().monotonic() == awake_s + slept_s


def test_a_correction_moves_times_and_new_ids() -> None:
    clock = SystemClock()
    clock.correct(600)
    assert abs(clock.now() - datetime.now(UTC) - timedelta(minutes=10)) < timedelta(seconds=5)
    assert abs(id_time(clock.new_id()) - clock.now()) < timedelta(seconds=5)
    assert abs(clock.machine_now() - datetime.now(UTC)) < timedelta(seconds=5)
    clock.correct(0)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


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


@pytest.mark.parametrize("offset_s", [0.0, 600.0, -0.25])
def test_unix_seconds_are_those_of_now(offset_s: float) -> None:
    clock = SystemClock()
    clock.correct(offset_s)
    before, seconds, after = clock.now().timestamp(), clock.unix_s(), clock.now().timestamp()
    # A datetime has microseconds.
    assert before - 2e-6 <= seconds <= after + 2e-6
