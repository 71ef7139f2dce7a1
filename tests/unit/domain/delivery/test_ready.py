"""Readiness: which lanes a claim may lease from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.ready import is_ready, next_due_at

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANE = Lane(webhook_id=UUID(int=1), max_concurrency=2)
OLDEST, NEWEST = UUID(int=1), UUID(int=2)


def test_a_lane_is_ready_from_the_moment_its_next_delivery_is_due() -> None:
    at = [None, NOW + timedelta(microseconds=1), NOW]
    assert [is_ready(LANE, enabled=True, paused=False, due_at=due_at, now=NOW) for due_at in at] == [False, False, True]


@pytest.mark.parametrize(
    ("lane", "enabled", "paused"),
    [
        (LANE, False, False),
        (LANE, True, True),
        (replace(LANE, deleted=True), True, False),
        (replace(LANE, in_flight=2), True, False),
    ],
    ids=["disabled", "paused", "deleted", "full"],
)
def test_a_lane_that_may_send_nothing_is_not_ready(lane: Lane, enabled: bool, paused: bool) -> None:
    assert not is_ready(lane, enabled=enabled, paused=paused, due_at=NOW, now=NOW)


def test_an_ordered_lane_waits_for_its_oldest_delivery_and_another_for_the_first_one_due() -> None:
    due_at = {NEWEST: NOW, OLDEST: NOW + timedelta(hours=1)}
    assert next_due_at(due_at, ordered=True) == NOW + timedelta(hours=1)
    assert next_due_at(due_at, ordered=False) == NOW
    assert next_due_at({}, ordered=True) is None


def test_an_ordered_lane_alone_waits_for_a_fan_out_that_precedes_it() -> None:
    for ordered in (False, True):
        lane = replace(LANE, ordered=ordered)
        assert is_ready(lane, enabled=True, paused=False, due_at=NOW, now=NOW, is_preceded=True) != ordered
