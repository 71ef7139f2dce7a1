"""What triggers do to alerts: the laws of any story, then the stories that matter."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from monitor.domain.alerts import (
    Acknowledge,
    Alert,
    AlertKind,
    AlertPolicy,
    AlertState,
    Identity,
    Observe,
    Resolve,
    apply,
    replay,
)
from monitor.domain.alerts.lifecycle import BACK_TO_NORMAL, Trigger
from monitor.domain.alerts.model import SYSTEM_ACTOR, TRANSITIONS, Action
from monitor.domain.errors import Conflict
from monitor.domain.vocab import SEVERITIES, Severity
from tests import strategies as our
from tests.unit.domain.alert_stories import DOWN, FAILURES, NOW, POLICY, SLOW, WEBHOOK, Story

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

LATER = NOW + timedelta(days=10)

waits_s = st.sampled_from([0, 0, 1, *[60] * 12, 300, 300, 899, 900, 2_000, HOUR_S, DAY_S])
sights = st.sampled_from([(), (), (), (DOWN,), (DOWN,), (FAILURES,), (SLOW,), (SLOW, FAILURES), (FAILURES, DOWN)])
looks = st.builds(Observe, sights, quiet=st.sampled_from([False, False, False, True]))
words: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(Acknowledge, st.sampled_from(["ada", "ben"]), quiet=st.booleans()),
    st.builds(Acknowledge, st.just("ada"), expires_at=st.sampled_from([NOW + timedelta(hours=3), LATER])),
    st.builds(Resolve, st.sampled_from(["ada", "ben"]), quiet=st.booleans()),
)
steps = st.tuples(waits_s, st.one_of(looks, looks, looks, words))


class Checked(Story):
    """A story that checks the laws of this module at every step. ``known`` are the alerts subscribers think open."""

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        super().__init__(policy)
        self.known: set[UUID] = set()

    def step(self, trigger: Trigger) -> None:
        before = self.latest
        if isinstance(trigger, Acknowledge) and trigger.expires_at is not None and trigger.expires_at <= self.now:
            return
        if isinstance(trigger, Acknowledge) and (before is None or not before.is_open):
            with pytest.raises(Conflict):
                self.tell(trigger)
            assert self.latest is before
            return
        heard = self.tell(trigger)
        self._changes_are_in_the_table(before)
        self._a_repeat_changes_nothing(trigger)
        if self.latest is None:
            return
        self._the_alert_is_its_history(before)
        self._subscribers_are_told_the_truth(trigger, before, heard)

    def _changes_are_in_the_table(self, before: Alert | None) -> None:
        state = None if before is None else before.state
        for entry in self.entries:
            allowed, following = TRANSITIONS[entry.action]
            if entry.action is Action.RAISED:
                assert state in (None, AlertState.RESOLVED)
            else:
                assert state in allowed
            state = following or state
        assert state == (None if self.latest is None else self.latest.state)
        if not self.entries:
            assert self.latest is before

    def _a_repeat_changes_nothing(self, trigger: Trigger) -> None:
        identity = Identity(UUID(int=0), WEBHOOK, AlertKind.FAILING)
        again, entries = apply(self.latest, trigger, self.now, identity=identity, policy=self.policy)
        assert (again, entries) == (self.latest, ())

    def _the_alert_is_its_history(self, before: Alert | None) -> None:
        alert = self.alert
        assert alert == replay(Identity(alert.id, WEBHOOK, alert.kind), self.histories[alert.id], self.policy)
        assert (alert.state is AlertState.ACKNOWLEDGED) <= (alert.acknowledged_by is not None)
        assert (alert.state is AlertState.PENDING) <= (alert.acknowledged_by is None)
        if before is None or before.id != alert.id:
            assert before is None or not before.is_open
            assert alert.count == 1
            return
        assert alert.count >= before.count
        if before.is_open:
            assert SEVERITIES.index(alert.severity) >= SEVERITIES.index(before.severity)

    def _subscribers_are_told_the_truth(self, trigger: Trigger, before: Alert | None, heard: list[str]) -> None:
        alert = self.alert
        assert not (heard and trigger.quiet)
        assert len(heard) <= 1 or heard == ["acknowledged", "flapping"]
        if alert.flapping and before is not None and before.flapping:
            assert heard in ([], ["acknowledged"])
        for word in heard:
            if word in ("acknowledged", "resolved"):
                assert alert.id in self.known
            if word == "resolved":
                self.known.discard(alert.id)
            else:
                self.known.add(alert.id)
        if not trigger.quiet and not alert.flapping:
            assert not alert.news
            assert alert.told == alert.is_open == (alert.id in self.known)


# A story of a hundred steps takes minutes to shrink; the law below finds the short one.
@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(steps, min_size=100, max_size=100))
def test_ten_thousand_triggers_leave_no_alert_that_should_not_be(story: list[tuple[float, Trigger]]) -> None:
    """
    Whatever comes in whatever order: only transitions of the table happen; acknowledging what is resolved raises and
    changes nothing; any trigger may be repeated; one alert is open at most; the count never falls, nor does the
    severity of an open alert; the history alone gives the same alert; and subscribers hear nothing under a silence,
    nothing of a flapping alert, of no end without a beginning, and where it stands otherwise.
    """
    told = Checked()
    for wait_s, trigger in story:
        told.wait(wait_s)
        told.step(trigger)


@given(our.alert_policies, st.lists(st.tuples(waits_s, our.triggers), max_size=15))
def test_the_laws_hold_under_any_policy(policy: AlertPolicy, story: list[tuple[float, Trigger]]) -> None:
    """As above, for other numbers and any conditions."""
    told = Checked(policy)
    for wait_s, trigger in story:
        told.wait(wait_s)
        told.step(trigger)


# ------------------------------------------------------------------------------------------------------ raise, resolve


def test_a_cause_raises_an_alert_and_its_end_resolves_it() -> None:
    story = Story()
    assert story.see(DOWN) == ["raised"]
    assert story.actions == ["raised", "announced"]
    assert (story.alert.severity, story.alert.title) == (Severity.CRITICAL, DOWN.title)
    assert story.alert.evidence == {"health": {"reason": "503"}}
    assert story.wait(60).see() == ["resolved"]
    assert (story.alert.resolved_by, story.alert.note) == (SYSTEM_ACTOR, BACK_TO_NORMAL)
    assert story.alert.resolved_at == NOW + timedelta(seconds=60)


def test_nothing_wrong_makes_no_alert() -> None:
    story = Story()
    assert story.see() == []
    assert story.resolve() == []
    assert story.latest is None


def test_a_second_cause_raises_the_count_and_its_end_does_not() -> None:
    story = Story()
    story.see(DOWN)
    assert story.see(DOWN, FAILURES) == []
    assert (story.actions, story.alert.count) == (["repeated"], 2)
    assert (story.alert.title, set(story.alert.evidence)) == (DOWN.title, {"health", "failures"})
    story.see(FAILURES)
    assert (story.actions, story.alert.count, story.alert.causes) == (["eased"], 2, (FAILURES.cause,))
    assert story.alert.severity is Severity.CRITICAL
    story.see(DOWN, FAILURES)
    assert (story.actions, story.alert.count) == (["repeated"], 3)


def test_the_first_of_the_most_severe_causes_gives_the_title() -> None:
    story = Story()
    story.see(SLOW, FAILURES)
    assert (story.alert.severity, story.alert.title) == (Severity.WARNING, FAILURES.title)


def test_a_rise_in_severity_is_told() -> None:
    story = Story()
    story.see(FAILURES)
    assert story.see(FAILURES, DOWN) == ["raised"]
    assert (story.actions, story.alert.count) == (["escalated", "announced"], 2)
    assert (story.alert.severity, story.alert.title) == (Severity.CRITICAL, DOWN.title)


@pytest.mark.parametrize(("after_s", "same"), [(0, True), (899.999, True), (900, False), (DAY_S, False)])
def test_soon_after_it_is_the_same_alert_and_later_another(after_s: float, same: bool) -> None:
    story = Story()
    story.see(DOWN)
    story.see()
    first = story.alert.id
    assert story.wait(after_s).see(DOWN) == ["raised"]
    assert (story.alert.id == first, story.alert.count) == (same, 2 if same else 1)
    assert story.alert.resolved_at is None
    assert story.alert.resolved_by is None
    if not same:
        assert story.alert.id == UUID(int=3)


# ---------------------------------------------------------------------------------------------------- acknowledgements


def test_the_first_who_takes_it_has_it() -> None:
    story = Story()
    story.see(DOWN)
    assert story.ack("ada", "Looking.") == ["acknowledged"]
    taken = story.alert
    assert (taken.state, taken.acknowledged_by, taken.note) == (AlertState.ACKNOWLEDGED, "ada", "Looking.")
    assert story.wait(5).ack("ben", "Me too.") == []
    assert story.alert is taken


def test_an_acknowledgement_lives_through_repeats() -> None:
    story = Story()
    story.see(DOWN)
    story.ack()
    assert story.see(DOWN, FAILURES) == []
    assert (story.alert.state, story.alert.count) == (AlertState.ACKNOWLEDGED, 2)


def test_an_acknowledgement_was_for_less_when_it_gets_worse() -> None:
    story = Story()
    story.see(FAILURES)
    story.ack(note="Known.", for_s=HOUR_S)
    acknowledged_at = story.alert.acknowledged_at
    assert story.wait(5).see(DOWN) == ["raised"]
    alert = story.alert
    assert (alert.state, alert.acknowledged_at, alert.acknowledged_by) == (AlertState.PENDING, None, None)
    assert (alert.ack_expires_at, alert.note) == (None, None)
    assert alert.first_acknowledged_at == acknowledged_at
    story.wait(5).ack("ben")
    assert story.alert.first_acknowledged_at == acknowledged_at


def test_an_acknowledgement_dies_when_it_is_resolved() -> None:
    story = Story()
    story.see(DOWN)
    story.ack()
    assert story.see() == ["resolved"]
    assert story.see(DOWN) == ["raised"]
    assert (story.alert.state, story.alert.acknowledged_by) == (AlertState.PENDING, None)


@pytest.mark.parametrize(("after_s", "state"), [(59, "acknowledged"), (60, "pending")])
def test_an_acknowledgement_lasts_as_long_as_was_said(after_s: float, state: str) -> None:
    story = Story()
    story.see(DOWN)
    story.ack(for_s=60)
    assert story.wait(after_s).see(DOWN) == ([] if state == "acknowledged" else ["raised"])
    assert story.alert.state == state


def test_after_it_expired_somebody_else_may_take_it_before_anybody_looked() -> None:
    story = Story()
    story.see(DOWN)
    story.ack("ada", for_s=60)
    assert story.wait(60).ack("ben") == ["acknowledged"]
    assert story.actions == ["ack_expired", "acknowledged", "announced"]
    assert (story.alert.acknowledged_by, story.alert.ack_expires_at) == ("ben", None)


def test_what_is_resolved_cannot_be_acknowledged() -> None:
    story = Story()
    with pytest.raises(Conflict, match="resolved"):
        story.ack()
    story.see(DOWN)
    story.resolve()
    resolved = story.alert
    with pytest.raises(Conflict, match="resolved"):
        story.ack()
    assert story.alert is resolved


# ------------------------------------------------------------------------------------------------- a person's last word


def test_resolving_twice_is_resolving_once() -> None:
    story = Story()
    story.see(DOWN)
    story.ack(note="Looking.")
    assert story.resolve("ada") == ["resolved"]
    resolved = story.alert
    assert (resolved.resolved_by, resolved.note) == ("ada", "Looking.")
    assert story.wait(5).resolve("ben", "No, me.") == []
    assert story.alert is resolved


def test_a_cause_that_holds_all_the_while_stays_quiet_for_a_day() -> None:
    story = Story()
    story.see(DOWN)
    story.resolve(note="We know.")
    first = story.alert
    for _ in range(23):
        assert story.wait(HOUR_S).see(DOWN) == []
    assert story.alert is first
    assert story.wait(HOUR_S - 1).see(DOWN) == []
    assert story.wait(1).see(DOWN) == ["raised"]
    assert story.alert.id != first.id


@pytest.mark.parametrize(("after_s", "same"), [(60, True), (HOUR_S, False)])
def test_a_new_cause_speaks_up_and_takes_the_overruled_one_with_it(after_s: float, same: bool) -> None:
    story = Story()
    story.see(DOWN)
    story.resolve()
    first = story.alert.id
    assert story.wait(after_s).see(DOWN, FAILURES) == ["raised"]
    assert (story.alert.id == first) is same
    assert (story.alert.severity, story.alert.causes) == (Severity.CRITICAL, (DOWN.cause, FAILURES.cause))
    assert story.wait(15).see(DOWN, FAILURES) == []


@pytest.mark.parametrize(("after_s", "same"), [(60, True), (HOUR_S, False)])
def test_a_cause_that_went_away_is_new_when_it_comes_back(after_s: float, same: bool) -> None:
    story = Story()
    story.see(DOWN, FAILURES)
    story.resolve()
    first = story.alert.id
    assert story.wait(after_s).see(FAILURES) == []
    assert (story.actions, story.alert.causes) == (["eased"], (FAILURES.cause,))
    assert story.see(DOWN, FAILURES) == ["raised"]
    assert (story.alert.id == first) is same


def test_what_was_overruled_and_ended_leaves_a_clean_alert() -> None:
    story = Story()
    story.see(DOWN)
    story.resolve()
    assert story.wait(2 * DAY_S).see() == []
    assert (story.actions, story.alert.causes) == (["eased"], ())
    story.see()
    assert story.actions == []


# ------------------------------------------------------------------------------------------------------------- flapping


def test_flapping_is_told_once_and_where_it_ends_when_it_steadies() -> None:
    story = Story()
    assert story.flap() == ["raised", "resolved", "raised", "resolved", "flapping"]
    assert story.alert.flapping
    assert story.wait(60).see() == []
    assert story.wait(60).see(FAILURES) == []
    assert story.see(DOWN) == []
    assert story.wait(60).see() == []
    assert story.wait(HOUR_S).see() == ["resolved"]
    assert (story.actions, story.alert.flapping) == (["steadied", "announced"], False)


def test_what_steadies_open_is_told_as_raised() -> None:
    story = Story()
    story.flap()
    assert story.wait(HOUR_S).see(DOWN) == ["raised"]
    assert not story.alert.flapping


def test_four_moves_an_hour_are_not_flapping() -> None:
    story = Story()
    assert story.flap(every_s=901) == ["raised", "resolved", "raised", "resolved", "raised"]
    assert not story.alert.flapping


def test_a_flapping_alert_goes_on_when_its_cause_holds_again_much_later() -> None:
    """A new one beside it would leave it flapping for ever, and its end untold."""
    story = Story()
    story.flap()
    story.see()
    first = story.alert.id
    assert story.wait(1_800).see(DOWN) == []
    assert (story.alert.id, story.alert.flapping) == (first, True)
    story.see()
    assert story.wait(DAY_S).see(DOWN) == ["raised"]
    assert (story.alert.id, story.alert.flapping) == (first, False)


def test_a_person_may_take_a_flapping_alert() -> None:
    story = Story()
    story.flap()
    assert story.ack() == ["acknowledged"]


def test_flapping_under_a_silence_is_told_when_the_silence_ends() -> None:
    story = Story()
    assert story.flap(quiet=True) == []
    assert not story.alert.flapping
    assert story.wait(60).see(DOWN) == ["flapping"]


def test_flapping_that_began_and_ended_under_a_silence_is_nobodys_news() -> None:
    story = Story()
    story.flap(quiet=True)
    story.see(quiet=True)
    assert story.wait(60).see() == []
    assert not story.alert.flapping


def test_what_steadies_under_a_silence_is_told_after_it() -> None:
    story = Story()
    story.flap()
    assert story.wait(HOUR_S).see(DOWN, quiet=True) == []
    assert story.actions == ["steadied"]
    assert story.wait(60).see(DOWN) == ["raised"]


# ------------------------------------------------------------------------------------------------------------- silences


def test_what_still_holds_when_the_silence_ends_is_told_then() -> None:
    story = Story()
    assert story.see(DOWN, quiet=True) == []
    assert story.wait(60).see(DOWN, quiet=True) == []
    assert story.wait(60).see(DOWN) == ["raised"]
    assert story.wait(60).see(DOWN) == []


def test_what_was_never_told_as_raised_is_never_told_as_resolved() -> None:
    story = Story()
    story.see(DOWN, quiet=True)
    assert story.wait(60).see() == []
    assert story.wait(60).see() == []
    assert story.wait(60).see(DOWN) == ["raised"]


def test_what_was_told_as_raised_is_told_as_resolved_after_the_silence() -> None:
    story = Story()
    story.see(DOWN)
    assert story.wait(60).see(quiet=True) == []
    assert story.wait(60).see() == ["resolved"]


def test_what_a_person_took_under_a_silence_is_told_as_raised_after_it() -> None:
    story = Story()
    story.see(DOWN, quiet=True)
    assert story.tell(Acknowledge("ada", quiet=True)) == []
    assert story.wait(60).see(DOWN) == ["raised"]
    assert story.alert.state is AlertState.ACKNOWLEDGED


def test_what_got_worse_and_was_taken_under_a_silence_is_told_as_taken_after_it() -> None:
    story = Story()
    story.see(FAILURES)
    story.see(DOWN, quiet=True)
    assert story.tell(Acknowledge("ada", quiet=True)) == []
    assert story.wait(60).see(DOWN) == ["acknowledged"]
