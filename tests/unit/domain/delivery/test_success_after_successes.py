"""The shortcut for what most attempts are: a success of a webhook without failures."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain.delivery.circuit_breaker import Breaker, concerns_receiver, record_outcome
from monitor.domain.delivery.lane import Lane, LanePolicy, record_attempt
from tests.samples import OK

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = LanePolicy()


@given(
    recent=st.lists(st.sampled_from(["ok", "ok", "ok", "500", "404", "429"]), max_size=20).map(tuple),
    since=st.integers(0, 20),
)
@example(recent=("ok",) * 3, since=POLICY.breaker.window)
@example(recent=("ok", "500"), since=POLICY.breaker.window)
def test_a_success_is_judged_by_the_breaker_whatever_came_before(recent: tuple[str, ...], since: int) -> None:
    """The shortcut gives what the breaker gives."""
    lane = Lane(webhook_id=UUID(int=1), recent=recent, breaker=Breaker(since=since))
    after = record_attempt(lane, OK, NOW, NOW, POLICY)
    judged = tuple(filter(concerns_receiver, after.recent))
    assert after.breaker == record_outcome(lane.breaker, judged, True, NOW, POLICY.breaker, label="ok")
