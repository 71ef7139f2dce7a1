"""Readiness: which lanes a claim may lease from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.ready import is_ready

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANE = Lane(webhook_id=UUID(int=1), max_concurrency=2)


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
