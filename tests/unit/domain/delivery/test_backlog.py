"""The backlog of a webhook, as it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.backlog import (
    BACKLOG_COUNTED,
    Backlog,
    BreakerView,
    Queued,
    backlog_of,
    breaker_view,
    disables_at,
    next_try_at,
)
from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.held import Held, HeldReason
from monitor.domain.delivery.lane import Lane, capacity, probe_now
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.monitoring.health import HealthPolicy, continuous_failure
from tests.strategies.delivery import rate_limits
from tests.strategies.values import instants

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=30), NOW + timedelta(hours=1)
AGO = NOW - timedelta(minutes=12)
POLICY = HealthPolicy()
OPEN = Breaker(BreakerState.OPEN, SOON, 2, cause_at=AGO)


def test_what_waits_is_shown_with_the_breaker_and_the_next_try() -> None:
    queued = Queued(counted=8_486, in_flight=1, oldest_due_at=AGO, next_due_at=LATER)
    held = Held(HeldReason.CIRCUIT_OPEN, SOON)
    shown = backlog_of(queued, OPEN, held, ("ok", "500", "timeout"), AGO, enabled=True, policy=POLICY)
    assert shown == Backlog(
        waiting=8_485,
        complete=True,
        in_flight=1,
        oldest_due_at=AGO,
        next_try_at=SOON,
        breaker=BreakerView(BreakerState.OPEN, AGO, SOON, 2),
        failing_since=AGO,
        disables_at=AGO + timedelta(days=5),
    )


def test_an_idle_webhook_has_no_backlog() -> None:
    shown = backlog_of(Queued(0, 0, None, None), Breaker(), None, (), None, enabled=True, policy=POLICY)
    assert (shown.waiting, shown.complete, shown.next_try_at, shown.disables_at) == (0, True, None, None)
    assert shown.breaker == BreakerView(BreakerState.CLOSED, None, None, 0)


@pytest.mark.parametrize(
    ("counted", "in_flight", "waiting", "complete"),
    [
        (BACKLOG_COUNTED, 0, BACKLOG_COUNTED, True),
        (BACKLOG_COUNTED + 1, 10, BACKLOG_COUNTED, False),
        # Of one moment each: a delivery that was leased between the two is no negative backlog.
        (1, 2, 0, True),
    ],
)
def test_a_long_backlog_is_counted_to_a_bound(counted: int, in_flight: int, waiting: int, complete: bool) -> None:
    queued = Queued(counted, in_flight, NOW, None)
    shown = backlog_of(queued, Breaker(), None, (), None, enabled=True, policy=POLICY)
    assert (shown.waiting, shown.complete) == (waiting, complete)


def test_a_disabled_webhook_is_not_disabled_again() -> None:
    shown = backlog_of(Queued(1, 0, NOW, None), Breaker(), None, ("500",), AGO, enabled=False, policy=POLICY)
    assert (shown.failing_since, shown.disables_at) == (AGO, None)


@pytest.mark.parametrize(
    ("held", "first", "expected"),
    [
        (None, None, None),
        (None, AGO, AGO),
        (None, LATER, LATER),
        (Held(HeldReason.PAUSED), AGO, None),
        (Held(HeldReason.CIRCUIT_OPEN, SOON), AGO, SOON),
        (Held(HeldReason.CIRCUIT_OPEN, SOON), LATER, LATER),
        (Held(HeldReason.CIRCUIT_OPEN, SOON), None, None),
    ],
)
def test_the_next_try_is_when_the_first_is_due_and_free(
    held: Held | None, first: datetime | None, expected: datetime | None
) -> None:
    assert next_try_at(held, first) == expected


@pytest.mark.parametrize(
    ("recent", "failures"), [("", 0), ("ok", 0), ("500 ok", 0), ("ok 500 429 500", 2), ("500 429", 1), ("429", 0)]
)
def test_failures_in_a_row_end_at_a_success(recent: str, failures: int) -> None:
    assert breaker_view(Breaker(), tuple(recent.split())).failures_in_row == failures


def test_a_probe_that_is_under_way_is_not_announced_again() -> None:
    shown = breaker_view(Breaker(BreakerState.HALF_OPEN, SOON, 1, cause_at=AGO), ())
    assert shown == BreakerView(BreakerState.HALF_OPEN, AGO, None, 0)


@given(since=instants, policy=st.builds(HealthPolicy, disable_after_s=st.floats(1, 1e7)))
def test_the_date_of_disabling_is_that_of_the_rule(since: datetime, policy: HealthPolicy) -> None:
    """LAW: a webhook is disabled by its failures at the date that is shown, and no earlier."""
    at = disables_at(since, policy)
    assert at is not None
    assert continuous_failure(since, at, policy) == "disable"
    assert continuous_failure(since, at - timedelta(microseconds=1), policy) != "disable"


@given(
    until=st.none() | instants,
    oldest=st.none() | instants,
    later=st.none() | instants,
    reason=st.sampled_from(HeldReason),
)
def test_no_try_is_announced_before_it_can_be_made(
    until: datetime | None, oldest: datetime | None, later: datetime | None, reason: HeldReason
) -> None:
    """LAW: the next try is never before what holds it ends, nor before a delivery is due."""
    shown = backlog_of(
        Queued(1, 0, oldest, later), Breaker(), Held(reason, until), (), None, enabled=True, policy=POLICY
    )
    if shown.next_try_at is not None:
        first = oldest or later
        assert until is not None
        assert first is not None
        assert shown.next_try_at == max(until, first)


@given(
    state=st.sampled_from(BreakerState),
    until=st.none() | instants,
    throttled_until=st.none() | instants,
    rate_limit=st.none() | rate_limits,
    tokens=st.floats(0, 5),
    in_flight=st.integers(0, 5),
    now=instants,
)
def test_a_probe_that_is_asked_for_passes_no_limit(
    state: BreakerState,
    until: datetime | None,
    throttled_until: datetime | None,
    rate_limit: RateLimit | None,
    tokens: float,
    in_flight: int,
    now: datetime,
) -> None:
    """LAW: asking for what waits to be sent allows one delivery more at most, the probe; none while throttled or beyond
    the rate, and none to a closed breaker."""
    lane = Lane(
        webhook_id=UUID(int=1),
        breaker=Breaker(state, until, 1),
        throttled_until=throttled_until,
        rate_limit=rate_limit,
        tokens=tokens,
        tokens_at=now,
        in_flight=in_flight,
    )
    before, after = capacity(lane, now), capacity(probe_now(lane, now), now)
    assert before <= after <= max(before, 1)
    closed = state is BreakerState.CLOSED
    throttled = throttled_until is not None and throttled_until > now
    dry = rate_limit is not None and rate_limit.available(tokens, now, now) < 1
    if closed or throttled or dry:
        assert after == before
