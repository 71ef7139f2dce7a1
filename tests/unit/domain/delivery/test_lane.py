"""Lanes: what may go out, and what attempts leave behind."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState, Permit, permit
from monitor.domain.delivery.lane import (
    Lane,
    LanePolicy,
    attempt_end,
    capacity,
    catch_up,
    failed_for_good,
    recharge,
    record_attempt,
    refill_s,
    reopen,
    reserve,
    start_over,
)
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.services.leases import allot
from monitor.domain.vocab import ErrorKind, HealthStatus
from tests import strategies as our
from tests.samples import OK, REFUSED, TIMED_OUT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = LanePolicy()
LANE = Lane(webhook_id=UUID(int=1))
moments = st.floats(-7_200, 7_200).map(lambda s: NOW + timedelta(seconds=s))
breakers = st.builds(Breaker) | st.builds(
    Breaker,
    state=st.sampled_from([BreakerState.OPEN, BreakerState.HALF_OPEN]),
    until=st.none() | moments,
    trips=st.integers(1, 20),
)


@st.composite
def lanes(draw: st.DrawFn) -> Lane:
    limit = draw(st.none() | our.rate_limits)
    used = limit is not None and draw(st.booleans())
    return Lane(
        webhook_id=draw(st.uuids()),
        recent=draw(our.recents),
        last_attempt_at=draw(st.none() | moments),
        failing_since=draw(st.none() | moments),
        breaker=draw(breakers),
        tokens=draw(st.floats(0, limit.burst)) if limit is not None and used else None,
        tokens_at=draw(moments) if used else None,
        max_concurrency=draw(st.integers(1, 20)),
        rate_limit=limit,
        ordered=draw(st.sampled_from([False, True, "key"])),
        in_flight=draw(st.integers(0, 30)),
    )


# --------------------------------------------------------------------------------------------------- capacity, reserve


@given(lanes())
def test_capacity_stays_between_zero_and_every_limit(lane: Lane) -> None:
    """0 <= capacity <= max_concurrency, <= 1 when ordered or probing, <= burst, and 0 while the breaker is shut."""
    free = capacity(lane, NOW)
    caps = [lane.max_concurrency]
    if lane.ordered is True or permit(lane.breaker, NOW) is Permit.PROBE:
        caps.append(1)
    if lane.rate_limit is not None:
        caps.append(lane.rate_limit.burst)
    assert 0 <= free <= min(caps)
    if permit(lane.breaker, NOW) is Permit.NONE:
        assert free == 0


@given(lanes(), st.integers(1, 20), st.floats(0, 3_600))
def test_reserving_conserves_tokens_within_their_bucket(lane: Lane, wish: int, later_s: float) -> None:
    """0 <= tokens <= burst at every time; reserving n at one instant costs exactly n of capacity."""
    taken = min(wish, capacity(lane, NOW))
    reserved = reserve(lane, taken, NOW, POLICY)
    if lane.rate_limit is None or not taken:
        assert reserved.tokens == lane.tokens
        return
    assert reserved.tokens is not None
    assert 0 <= reserved.tokens <= lane.rate_limit.burst
    if lane.breaker.state is BreakerState.CLOSED and lane.ordered is not True:
        # Without the other caps, what is left is what was there less what was taken.
        wide = replace(lane, max_concurrency=1_000, in_flight=0)
        assert capacity(reserve(wide, taken, NOW, POLICY), NOW) == capacity(wide, NOW) - taken
    assert capacity(reserved, NOW + timedelta(seconds=later_s)) <= lane.rate_limit.burst


@given(lanes(), st.lists(st.tuples(st.floats(0, 10), st.integers(0, 5)), max_size=20))
def test_no_rate_limited_lane_sends_more_than_its_rate_allows(lane: Lane, steps: list[tuple[float, int]]) -> None:
    """taken in any span of s seconds <= burst + per_s * s."""
    limit = RateLimit(2.0, 5)
    lane = replace(lane, rate_limit=limit, tokens=None, tokens_at=None, breaker=Breaker(), in_flight=0)
    now, total, passed_s = NOW, 0, 0.0
    for wait_s, wish in steps:
        now += timedelta(seconds=wait_s)
        passed_s += wait_s
        taken = min(wish, capacity(lane, now))
        total += taken
        lane = reserve(lane, taken, now, POLICY)
    assert total <= limit.burst + limit.per_s * passed_s + 1e-3


@given(lanes(), st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 5)), max_size=20))
def test_claims_whose_times_are_out_of_order_stay_within_the_rate(lane: Lane, steps: list[tuple[float, int]]) -> None:
    """Transactions begin in one order and lock a lane in another: their times go back, what was filled does not."""
    limit = RateLimit(2.0, 5)
    lane = replace(lane, rate_limit=limit, tokens=None, tokens_at=None, breaker=Breaker(), in_flight=0)
    total = 0
    for at_s, wish in steps:
        now = NOW + timedelta(seconds=at_s)
        taken = min(wish, capacity(lane, now))
        total += taken
        lane = reserve(lane, taken, now, POLICY)
    assert total <= limit.burst + limit.per_s * 20 + 1e-3
    assert lane.tokens_at is None or lane.tokens_at <= NOW + timedelta(seconds=10)


@given(lanes(), st.integers(0, 30), st.integers(0, 30), st.floats(0, 60))
def test_charging_anew_costs_what_is_sent_now(lane: Lane, held: int, wish: int, later_s: float) -> None:
    """What is sent from stock and what is claimed beside it is never more than a full bucket."""
    wanted = min(held, wish)
    after, allowed = recharge(lane, held, wanted, NOW + timedelta(seconds=later_s))
    assert 0 <= allowed <= wanted
    if lane.rate_limit is None:
        assert (after, allowed) == (lane, wanted)
        return
    assert allowed <= lane.rate_limit.burst
    wide = replace(after, max_concurrency=1_000, in_flight=0, ordered=False, breaker=Breaker())
    assert allowed + capacity(wide, NOW + timedelta(seconds=later_s)) <= lane.rate_limit.burst


def test_stock_is_charged_when_it_is_sent() -> None:
    limited = replace(LANE, rate_limit=RateLimit(1.0, 4), tokens=0.0, tokens_at=NOW)
    later = NOW + timedelta(seconds=60)
    after, allowed = recharge(limited, 3, 3, later)
    assert (after.tokens, after.tokens_at, allowed) == (1.0, later, 3)
    assert recharge(limited, 6, 6, later)[1] == 4


def test_taking_nothing_changes_nothing() -> None:
    assert reserve(LANE, 0, NOW, POLICY) is LANE


def test_an_unlimited_lane_with_a_closed_breaker_is_not_written() -> None:
    assert reserve(LANE, 3, NOW, POLICY) is LANE


def test_deliveries_in_flight_take_capacity() -> None:
    assert capacity(replace(LANE, in_flight=7), NOW) == 3
    assert capacity(replace(LANE, in_flight=12), NOW) == 0


def test_an_ordered_lane_has_one_in_flight() -> None:
    ordered = replace(LANE, ordered=True)
    assert capacity(ordered, NOW) == 1
    assert capacity(replace(ordered, in_flight=1), NOW) == 0


def test_a_probe_goes_out_once_although_older_attempts_hang() -> None:
    due = replace(LANE, breaker=Breaker(BreakerState.OPEN, NOW, 1), in_flight=10)
    assert capacity(due, NOW) == 1
    sent = reserve(due, 1, NOW, POLICY)
    assert sent.breaker.state is BreakerState.HALF_OPEN
    assert capacity(sent, NOW) == 0


def test_a_clock_that_steps_back_makes_no_tokens() -> None:
    lane = replace(LANE, rate_limit=RateLimit(10.0, 10), tokens=2.5, tokens_at=NOW)
    assert capacity(lane, NOW - timedelta(hours=1)) == 2


@given(lanes())
def test_a_refill_is_awaited_exactly_while_the_rate_limit_holds_something_back(lane: Lane) -> None:
    """refill_s is None, or positive and then enough for one more; it is None without a limit."""
    charged_at = lane.tokens_at and min(lane.tokens_at, NOW)
    lane = replace(lane, breaker=Breaker(), ordered=False, in_flight=0, tokens_at=charged_at)
    wait_s = refill_s(lane, NOW)
    if wait_s is None:
        assert capacity(lane, NOW) > 0
    else:
        assert wait_s > 0
        assert capacity(lane, NOW) == 0
        assert capacity(lane, NOW + timedelta(seconds=wait_s + 1e-3)) >= 1


def test_a_lane_that_is_reopened_starts_without_its_failures() -> None:
    broken = replace(LANE, failing_since=NOW, breaker=Breaker(BreakerState.OPEN, NOW, 9), recent=("503",))
    assert reopen(broken) == replace(LANE, recent=("503",))


# ---------------------------------------------------------------------------------------------------------------- share


@given(st.lists(lanes(), max_size=12, unique_by=lambda lane: lane.webhook_id), st.integers(0, 60))
def test_shares_fit_their_rooms_and_use_all_that_is_possible(offered: list[Lane], limit: int) -> None:
    """sum(shares) == min(limit, sum(rooms)); 0 < share <= room; no lane gets two more than one that wants more."""
    rooms = {lane.webhook_id: capacity(lane, NOW) for lane in offered}
    shares = allot(offered, limit, NOW)
    assert sum(shares.values()) == min(limit, sum(rooms.values()))
    assert all(0 < n <= rooms[id_] for id_, n in shares.items())
    hungry = [shares.get(id_, 0) for id_, free in rooms.items() if shares.get(id_, 0) < free]
    assert max(shares.values(), default=0) <= min(hungry, default=limit) + 1


def test_what_does_not_divide_goes_to_those_that_waited_longest() -> None:
    waiting = [replace(LANE, webhook_id=UUID(int=n), max_concurrency=cap) for n, cap in ((1, 10), (2, 1), (3, 10))]
    assert allot(waiting, 1, NOW) == {UUID(int=1): 1}
    assert allot(waiting, 8, NOW) == {UUID(int=1): 4, UUID(int=2): 1, UUID(int=3): 3}


# -------------------------------------------------------------------------------------------------------------- observe


def after(outcomes: Sequence[tuple[Outcome, float]], lane: Lane = LANE) -> Lane:
    """Return *lane* after outcomes that ended so many seconds after ``NOW``, settled in this order."""
    for outcome, ended_s in outcomes:
        at = NOW + timedelta(seconds=ended_s)
        lane = record_attempt(lane, outcome, at, max(at, lane.last_attempt_at or at), POLICY)
    return lane


@given(st.lists(st.tuples(st.sampled_from([OK, REFUSED, TIMED_OUT]), st.floats(0, 30)), max_size=20), st.data())
def test_ends_decide_and_not_the_order_in_which_attempts_are_settled(
    attempts: list[tuple[Outcome, float]], data: st.DataObject
) -> None:
    """recent, failing_since and last_attempt_at follow the ends, for any order of settling a window of attempts."""
    in_order = [(outcome, round(ended_s) + n / 100) for n, (outcome, ended_s) in enumerate(attempts)]
    in_order.sort(key=lambda pair: pair[1])
    seen = after(data.draw(st.permutations(in_order)))
    labels = [outcome.label for outcome, _ in in_order]
    ends = [NOW + timedelta(seconds=ended_s) for _, ended_s in in_order]
    since_last_ok = max((n + 1 for n, label in enumerate(labels) if label == "ok"), default=0)
    assert seen.recent == tuple(labels)
    assert seen.recent_ends_s == tuple(at.timestamp() for at in ends)
    assert seen.last_attempt_at == max(ends, default=None)
    assert seen.failing_since == next(iter(ends[since_last_ok:]), None)


def test_attempts_that_time_out_count_beside_quick_ones() -> None:
    quick, slow = [(OK, 0.1 + n / 100) for n in range(10)], [(TIMED_OUT, 2.0 + n / 100) for n in range(10)]
    seen = after([*slow, *quick])
    assert seen.recent == ("ok",) * 10 + ("timeout",) * 10
    assert seen.health.status is HealthStatus.UNAVAILABLE
    assert seen.health.reason.startswith("10 of the last 20 attempts failed")


def test_quick_failures_do_not_outweigh_slow_successes() -> None:
    # One of four fails at once, three succeed 1.5 s later; the last of them are under way.
    rounds = [[*[(OK, n + 1.5 + k / 10) for k in range(3)], (REFUSED, n)] for n in range(12)]
    steady = after([one for one in itertools.chain(*rounds) if one[1] < 12])
    assert steady.recent.count("503") == 5
    assert steady.health.status is HealthStatus.DEGRADED
    assert steady.breaker.state is BreakerState.CLOSED


@given(lanes(), our.outcomes)
def test_what_ended_before_a_full_window_moves_only_a_half_open_breaker(lane: Lane, outcome: Outcome) -> None:
    """ended before all of a full window: recent, health, failing_since and last_attempt_at stay."""
    lane = replace(lane, recent=("503",) * 20, recent_ends_s=(NOW.timestamp(),) * 20, failing_since=NOW)
    lane = replace(lane, last_attempt_at=NOW)
    seen = record_attempt(lane, outcome, NOW - timedelta(seconds=1), NOW, POLICY)
    assert replace(seen, breaker=lane.breaker, throttled_until=None) == lane
    if lane.breaker.state is not BreakerState.HALF_OPEN:
        assert seen.breaker == lane.breaker


def test_failures_that_ended_before_the_breaker_closed_do_not_open_it_again() -> None:
    probing = after([(TIMED_OUT, n) for n in range(5)])
    probing = replace(probing, breaker=replace(probing.breaker, state=BreakerState.HALF_OPEN))
    closed = after([(OK, 60)], probing)
    assert closed.breaker == Breaker()
    assert after([(TIMED_OUT, n / 10) for n in range(20)], closed).breaker == Breaker()


SLOW_DOWN = Outcome(latency_ms=3.0, status_code=429, error=ErrorKind.STATUS, retry_after="300")
UNPROCESSABLE = Outcome(latency_ms=3.0, status_code=422, error=ErrorKind.STATUS)


def test_a_429_holds_the_lane_as_long_as_the_receiver_asks_and_is_no_failure() -> None:
    seen = after([(OK, n) for n in range(20)])
    seen = after([(SLOW_DOWN, 20 + n / 10) for n in range(9)], seen)
    assert seen.health.status is HealthStatus.THROTTLED
    assert seen.health.reason == "9 of the last 20 attempts exceeded the rate that the receiver allows: 429."
    assert (seen.breaker.state, seen.failing_since) == (BreakerState.CLOSED, None)
    ends_at = NOW + timedelta(seconds=20.8 + 300)
    assert seen.throttled_until == ends_at
    assert capacity(seen, ends_at - timedelta(milliseconds=1)) == 0
    assert capacity(seen, ends_at) == seen.max_concurrency
    calm = after([(OK, 400 + n) for n in range(5)], seen)
    assert calm.health.status is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    ("retry_after", "held_s"),
    [("7", 7), ("0", 0), (None, 5), ("soon", 5), ("Sun, 01 Mar 2026 12:00:30 GMT", 30), ("9" * 30, 86_400)],
)
def test_a_429_holds_the_lane_by_seconds_or_date_or_briefly(retry_after: str | None, held_s: float) -> None:
    seen = after([(replace(SLOW_DOWN, retry_after=retry_after), 0)])
    assert seen.throttled_until == NOW + timedelta(seconds=held_s)


def test_a_shorter_wait_does_not_end_a_longer_one_and_another_url_ends_both() -> None:
    seen = after([(SLOW_DOWN, 0), (replace(SLOW_DOWN, retry_after="1"), 1), (OK, 2)])
    assert seen.throttled_until == NOW + timedelta(seconds=300)
    assert start_over(seen, NOW).throttled_until is None
    assert reopen(seen).throttled_until is None


def test_failures_between_429s_are_failures() -> None:
    seen = after([(TIMED_OUT if n % 2 else SLOW_DOWN, n) for n in range(10)])
    assert seen.health.status is HealthStatus.UNAVAILABLE
    assert seen.health.reason == "All of the last 5 attempts failed: timed out."
    assert (seen.breaker.state, seen.failing_since) == (BreakerState.OPEN, NOW + timedelta(seconds=1))
    late = record_attempt(seen, OK, NOW + timedelta(seconds=7.5), NOW + timedelta(minutes=1), POLICY)
    assert late.failing_since == NOW + timedelta(seconds=9)
    assert after([(SLOW_DOWN, 1), (TIMED_OUT, 0)]).failing_since == NOW


def test_what_a_receiver_says_about_one_event_does_not_open_the_breaker() -> None:
    seen = after([(UNPROCESSABLE, n) for n in range(20)])
    assert (seen.breaker, seen.recent) == (Breaker(), ("422",) * 20)
    assert after([(TIMED_OUT, 20 + n) for n in range(4)], seen).breaker.state is BreakerState.CLOSED
    assert after([(TIMED_OUT, 20 + n) for n in range(5)], seen).breaker.state is BreakerState.OPEN


@pytest.mark.parametrize("answer", [UNPROCESSABLE, SLOW_DOWN])
def test_a_probe_with_any_answer_of_a_working_receiver_closes_the_breaker(answer: Outcome) -> None:
    probing = replace(LANE, breaker=Breaker(BreakerState.HALF_OPEN, NOW + timedelta(minutes=1), 3))
    assert after([(answer, 0)], probing).breaker == Breaker()


def test_labels_without_a_time_are_the_oldest() -> None:
    older = replace(LANE, recent=("503", "ok"), recent_ends_s=(NOW.timestamp(),))
    seen = record_attempt(older, TIMED_OUT, NOW - timedelta(seconds=1), NOW, POLICY)
    assert seen.recent == ("503", "timeout", "ok")
    longer = replace(LANE, recent=("ok",), recent_ends_s=(0.0, NOW.timestamp()))
    assert record_attempt(longer, TIMED_OUT, NOW - timedelta(seconds=1), NOW, POLICY).recent == ("timeout", "ok")


@given(moments, st.floats(0, 86_400_000), st.floats(0, 3_600))
def test_no_attempt_ends_after_it_is_settled(started_at: datetime, latency_ms: float, passed_s: float) -> None:
    """start <= end <= now, for a start that is not after now; before now it is the start and the latency."""
    now = started_at + timedelta(seconds=passed_s)
    ended_at = attempt_end(started_at, latency_ms, now)
    assert started_at <= ended_at <= now
    assert ended_at in (now, started_at + timedelta(milliseconds=latency_ms))


def test_an_attempt_is_remembered_and_judged() -> None:
    lane = LANE
    for n in range(5):
        lane = record_attempt(lane, REFUSED, NOW + timedelta(seconds=n), NOW + timedelta(seconds=n), POLICY)
    assert lane.recent == ("503",) * 5
    assert lane.failing_since == NOW
    assert lane.last_attempt_at == NOW + timedelta(seconds=4)
    assert lane.health.status is HealthStatus.UNAVAILABLE
    assert lane.breaker.state is BreakerState.OPEN
    lane = record_attempt(lane, OK, NOW + timedelta(minutes=1), NOW + timedelta(minutes=1), POLICY)
    assert lane.failing_since is None


def test_a_late_probe_still_closes_the_breaker() -> None:
    waiting = replace(LANE, last_attempt_at=NOW, breaker=Breaker(BreakerState.HALF_OPEN, NOW + timedelta(minutes=1), 1))
    seen = record_attempt(waiting, OK, NOW - timedelta(seconds=1), NOW, POLICY)
    assert seen.breaker == Breaker()
    assert (seen.recent, seen.last_attempt_at) == (("ok",), NOW)


@given(lanes(), st.lists(st.tuples(st.sampled_from([OK, REFUSED]), moments), max_size=30))
def test_catching_up_does_all_but_judge(lane: Lane, attempts: list[tuple[Outcome, datetime]]) -> None:
    """catch_up agrees with record_attempt, one attempt after another, but for health and breaker."""
    one_by_one = lane
    for outcome, at in attempts:
        one_by_one = record_attempt(one_by_one, outcome, at, NOW, POLICY)
    caught_up = catch_up(lane, attempts, POLICY)
    assert replace(one_by_one, health=lane.health, breaker=lane.breaker) == caught_up


def test_five_days_without_a_success_are_enough() -> None:
    failing = replace(LANE, failing_since=NOW - timedelta(days=5))
    assert failed_for_good(failing, NOW, POLICY)
    assert not failed_for_good(failing, NOW - timedelta(seconds=1), POLICY)
    assert not failed_for_good(LANE, NOW, POLICY)
