"""The breaker: its table of transitions, its clock, and its memory of what came before a good probe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import (
    TRANSITIONS,
    Breaker,
    BreakerEvent,
    BreakerPolicy,
    BreakerState,
    Permit,
    concerns_receiver,
    permit,
    reconfigured,
    record_outcome,
    release_probe,
    start_probe,
    transition,
)
from monitor.domain.errors import Conflict
from monitor.domain.vocab import ErrorKind
from tests import strategies as our

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = BreakerPolicy()
MOMENT = timedelta(microseconds=1)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def settle(attempts: str, breaker: Breaker = Breaker(), recent: tuple[str, ...] = ()) -> Breaker:  # noqa: B008
    """Settle a picture of attempts in order: ``.`` succeeded, ``x`` failed; *recent* came before."""
    for char in attempts:
        recent = (*recent, "ok" if char == "." else "503")[-POLICY.window :]
        breaker = record_outcome(breaker, recent, char == ".", NOW, POLICY)
    return breaker


def tripped(trips: int = 1) -> Breaker:
    return Breaker(BreakerState.OPEN, until=NOW, trips=trips)


@pytest.mark.parametrize(
    ("attempts", "state"),
    [
        ("", "closed"),
        ("xxxx", "closed"),
        ("xxxx.xxxx", "closed"),
        ("xxxxx", "open"),
        ("..............xxxxx", "open"),
        ("x.x.x.x.x.x.x.x.x.x", "closed"),
        ("x.x.x.x.x.x.x.x.x.x.", "open"),
        (".x.x.x.x.x.x.x.x.x.x", "open"),
        ("..x.x.x.x.x.x.x.x.x.x", "open"),
        ("...x.x.x.x.x.x.x.x.x", "closed"),
    ],
)
def test_it_opens_at_five_failures_in_a_row_or_half_of_twenty(attempts: str, state: str) -> None:
    assert settle(attempts).state == state


def test_it_opens_for_the_base_time_first() -> None:
    assert settle("xxxxx") == Breaker(BreakerState.OPEN, until=NOW + seconds(30), trips=1, cause_at=NOW)


@pytest.mark.parametrize(("trips", "open_s"), [(1, 60), (2, 120), (4, 480), (5, 600), (10_000, 600)])
def test_each_failed_probe_doubles_the_time_up_to_the_cap(trips: int, open_s: float) -> None:
    half_open = start_probe(tripped(trips), NOW, POLICY)
    opened = Breaker(BreakerState.OPEN, until=NOW + seconds(open_s), trips=trips + 1, cause_at=NOW)
    assert settle("x", half_open) == opened


def test_a_good_probe_closes_it_and_forgets_the_trips() -> None:
    assert settle(".", start_probe(tripped(7), NOW, POLICY)) == Breaker()


def test_failures_from_before_a_good_probe_do_not_open_it_again() -> None:
    outage = ("503",) * 20
    closed = settle(".", start_probe(tripped(), NOW, POLICY), outage)
    assert settle("xxxx", closed, (*outage[1:], "ok")).state is BreakerState.CLOSED
    assert settle("xxxxx", closed, (*outage[1:], "ok")).state is BreakerState.OPEN


def test_the_ratio_needs_a_full_window_since_it_closed() -> None:
    """Nineteen outcomes since a good probe, ten of them failures, are not yet half of twenty."""
    outage = ("503",) * 20
    closed = settle(".", start_probe(tripped(), NOW, POLICY), outage)
    assert settle("x.x.x.x.x.x.x.x.x.x", closed, outage).state is BreakerState.CLOSED
    assert settle("x.x.x.x.x.x.x.x.x.x.", closed, outage).state is BreakerState.OPEN


@pytest.mark.parametrize("attempt", [".", "x"])
def test_a_result_that_was_under_way_when_it_opened_changes_nothing(attempt: str) -> None:
    assert settle(attempt, tripped()) == tripped()


def test_a_steady_webhook_settles_into_an_unchanging_breaker() -> None:
    steady = settle("." * POLICY.window)
    assert settle(".", steady, ("ok",) * POLICY.window) == steady


def refuse(labels: str, breaker: Breaker = Breaker(), *, now: datetime = NOW) -> Breaker:  # noqa: B008
    """Settle attempts with these labels, in order."""
    recent: tuple[str, ...] = ()
    for label in labels.split():
        recent = (*recent, label)
        breaker = record_outcome(breaker, recent, label == "ok", now, POLICY)
    return breaker


@pytest.mark.parametrize(
    ("labels", "cause"),
    [
        ("401 401 401", "401"),
        ("401 403 404", "404"),
        ("ok 500 404 404 404", "404"),
        ("500 500 500 500 500", None),
        ("500 500 500 401 401", None),
    ],
)
def test_it_opens_at_three_refusals_in_a_row_and_keeps_their_cause(labels: str, cause: str | None) -> None:
    opened = refuse(labels)
    assert (opened.state, opened.until) == (BreakerState.OPEN, NOW + seconds(30))
    assert (opened.cause, opened.cause_at) == (cause, NOW)


@pytest.mark.parametrize("labels", ["401 401", "401 401 ok 401 401", "401 500 401 500", "503 503 503", "408 410 408"])
def test_fewer_refusals_or_failures_that_may_pass_leave_it_closed(labels: str) -> None:
    assert refuse(labels).state is BreakerState.CLOSED


def test_the_first_opening_is_remembered_over_probes_that_fail() -> None:
    opened = refuse("500 500 500 500 500")
    later = NOW + seconds(60)
    again = refuse("500", start_probe(opened, later, POLICY), now=later)
    assert (again.cause_at, again.trips) == (NOW, 2)


def test_the_cause_follows_the_probes() -> None:
    later = NOW + seconds(60)
    half_open = start_probe(refuse("401 401 401"), later, POLICY)
    again = refuse("401", half_open, now=later)
    assert (again.cause, again.cause_at, again.until) == ("401", NOW, later + seconds(60))
    other = refuse("404", half_open, now=later)
    assert (other.cause, other.cause_at) == ("404", later)
    failed = refuse("500", half_open, now=later)
    assert (failed.state, failed.cause, failed.cause_at) == (BreakerState.OPEN, None, later)
    assert refuse("ok", half_open, now=later) == Breaker()


def test_another_configuration_is_tried_at_once_if_the_former_was_refused() -> None:
    refused = refuse("401 401 401")
    assert permit(reconfigured(refused, NOW), NOW) is Permit.PROBE
    # Also beside the probe of the former configuration, which counts for nothing any more.
    half_open = start_probe(replace(refused, trips=9), NOW + seconds(30), POLICY)
    tried = reconfigured(half_open, NOW + seconds(31))
    assert permit(tried, NOW + seconds(31)) is Permit.PROBE
    probe = start_probe(tried, NOW + seconds(31), POLICY)
    assert refuse("401", probe, now=NOW).until == NOW + seconds(60)


@pytest.mark.parametrize("breaker", [Breaker(), refuse("401 401"), tripped(), refuse("500 " * 5)])
def test_another_configuration_changes_no_breaker_that_others_opened(breaker: Breaker) -> None:
    assert reconfigured(breaker, NOW) == breaker


def test_only_one_worker_gets_the_probe() -> None:
    taken = start_probe(tripped(), NOW, POLICY)
    assert permit(taken, NOW) is Permit.NONE
    with pytest.raises(Conflict, match="half_open"):
        start_probe(taken, NOW, POLICY)


def test_the_probe_is_offered_again_when_its_prober_died() -> None:
    taken = start_probe(tripped(), NOW, POLICY)
    lease_end = NOW + seconds(POLICY.probe_lease_s)
    assert permit(taken, lease_end - MOMENT) is Permit.NONE
    assert permit(taken, lease_end) is Permit.PROBE
    again = start_probe(taken, lease_end, POLICY)
    assert again == Breaker(BreakerState.HALF_OPEN, until=lease_end + seconds(POLICY.probe_lease_s), trips=1)


@given(our.breakers, our.instants, our.breaker_policies)
def test_a_probe_that_was_not_sent_admits_another_at_once(
    breaker: Breaker, now: datetime, policy: BreakerPolicy
) -> None:
    """Releasing the probe offers one at *now*; a breaker whose probe is not out stays as it is."""
    released = release_probe(breaker, now)
    if breaker.state is BreakerState.HALF_OPEN:
        assert permit(released, now) is Permit.PROBE
        assert start_probe(released, now, policy).trips == breaker.trips
    else:
        assert released == breaker


def test_a_closed_breaker_needs_no_probe() -> None:
    assert permit(Breaker(), NOW) is Permit.ALL
    with pytest.raises(Conflict, match="closed"):
        start_probe(Breaker(), NOW, POLICY)


def test_an_opening_without_an_end_is_probed_rather_than_kept_for_ever() -> None:
    assert permit(Breaker(BreakerState.OPEN), NOW) is Permit.PROBE


@given(our.tripped_breakers, our.instants, our.breaker_policies)
def test_nothing_is_sent_before_the_time_is_up(breaker: Breaker, now: datetime, policy: BreakerPolicy) -> None:
    """An open or half-open breaker permits nothing before ``until``, and at most one probe from then on."""
    assert breaker.until is not None
    assert permit(breaker, now) is (Permit.PROBE if now >= breaker.until else Permit.NONE)
    if now >= breaker.until:
        assert permit(start_probe(breaker, now, policy), now) is Permit.NONE


@pytest.mark.parametrize(("state", "signal"), list(product(BreakerState, BreakerEvent)))
def test_only_the_moves_of_the_table_exist(state: BreakerState, signal: BreakerEvent) -> None:
    """A move is in the table, or raises."""
    if (state, signal) in TRANSITIONS:
        assert transition(state, signal) in BreakerState
    else:
        with pytest.raises(Conflict, match=f"{state} does not react to {signal}"):
            transition(state, signal)


@given(our.breakers, our.recents, our.labels, our.instants, our.breaker_policies)
def test_every_result_leaves_a_sound_breaker(
    breaker: Breaker, recent: tuple[str, ...], label: str, now: datetime, policy: BreakerPolicy
) -> None:
    """after is total: closed has no ``until``; open and half-open have one and at least one trip; a breaker that
    opens stays open between the base time and the cap."""
    moved = record_outcome(breaker, (*recent, label), label == "ok", now, policy)
    assert (moved.state is BreakerState.CLOSED) == (moved.until is None) == (moved.trips == 0)
    assert 0 <= moved.since <= policy.window
    if moved.state is BreakerState.OPEN and moved != breaker:
        assert moved.until is not None
        assert policy.base_open_s <= (moved.until - now).total_seconds() + 1e-6
        assert (moved.until - now).total_seconds() <= policy.cap_open_s + 1e-6


class BreakerLife(RuleBasedStateMachine):
    """Workers, a receiver and a clock play with one breaker.

    Law: between opening and ``until`` nothing is let out, and between then and closing one probe per lease.
    """

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.breaker = Breaker()
        self.recent: tuple[str, ...] = ()
        self.quiet_until = NOW

    @rule(seconds_passed=st.sampled_from([0.001, 1, 29.999, 30, 60, 600]))
    def time_passes(self, seconds_passed: float) -> None:
        self.now += seconds(seconds_passed)

    @rule()
    def a_worker_asks(self) -> None:
        granted = permit(self.breaker, self.now)
        assert granted is Permit.NONE or self.now >= self.quiet_until
        if granted is Permit.PROBE:
            self.breaker = start_probe(self.breaker, self.now, POLICY)
            self.quiet_until = self.now + seconds(POLICY.probe_lease_s)

    @rule(label=our.labels)
    def an_attempt_settles(self, label: str) -> None:
        before = self.breaker
        self.recent = (*self.recent, label)[-POLICY.window :]
        self.breaker = record_outcome(before, self.recent, label == "ok", self.now, POLICY)
        if self.breaker.state is BreakerState.CLOSED:
            self.quiet_until = self.now
        elif before.state is not BreakerState.OPEN:
            self.quiet_until = self.now + seconds(min(30 * 2 ** (self.breaker.trips - 1), 600))

    @invariant()
    def it_stays_open_for_the_time_of_its_trips(self) -> None:
        if self.breaker.state is not BreakerState.CLOSED:
            assert self.breaker.until == self.quiet_until


test_a_breaker_keeps_quiet_through_its_whole_life = BreakerLife.TestCase


@pytest.mark.parametrize("code", range(200, 600))
def test_a_4xx_about_the_event_or_the_rate_does_not_count(code: int) -> None:
    of_every_event = code in (401, 403, 404, 408, 410)
    assert concerns_receiver(str(code)) is (of_every_event or not 400 <= code < 500)


@pytest.mark.parametrize("label", ["ok", *ErrorKind])
def test_every_other_outcome_counts(label: str) -> None:
    assert concerns_receiver(label)
