"""Lanes whose deliveries a silence holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.lane import Lane, after_hold, capacity, resume

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANE = Lane(webhook_id=UUID(int=1))


def test_a_lane_that_a_silence_holds_has_no_capacity() -> None:
    later = NOW + timedelta(seconds=1)
    assert capacity(replace(LANE, held_until=later), NOW) == 0
    assert capacity(replace(LANE, held_until=NOW), NOW) == capacity(LANE, NOW)


def test_what_a_silence_held_is_released_once_from_its_end() -> None:
    ended = replace(LANE, hold_ended_at=NOW)
    after = after_hold(ended)
    assert after == replace(resume(ended, NOW), hold_seen_at=NOW)
    assert after_hold(after) is after
    assert after_hold(LANE) is LANE
    again = after_hold(replace(after, hold_ended_at=NOW + timedelta(days=1)))
    assert again.resumed_at == again.hold_seen_at == NOW + timedelta(days=1)


def test_a_pause_that_ended_after_a_silence_decides_what_is_released() -> None:
    resumed = resume(replace(LANE, hold_ended_at=NOW), NOW + timedelta(seconds=1))
    assert after_hold(resumed) == replace(resumed, hold_seen_at=NOW)
