"""What triggers do to alerts: the stories that matter. The laws of any story stand in ``test_alerts_laws``."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.alerts import Acknowledge, AlertState
from monitor.domain.alerts.lifecycle import BACK_TO_NORMAL
from monitor.domain.alerts.model import SYSTEM_ACTOR
from monitor.domain.errors import Conflict
from monitor.domain.vocab import Severity
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, SLOW, Story

HOUR_S, DAY_S = 3_600, 86_400

# ------------------------------------------------------------------------------------------------------ raise, resolve


def test_a_cause_raises_an_alert_and_its_end_resolves_it() -> None:
    story = Story()
    assert story.see(DOWN) == ["raised"]
    assert story.actions == ["raised", "notified"]
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
    assert (story.actions, story.alert.count, story.alert.causes) == (["cause_cleared"], 2, (FAILURES.cause,))
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
    assert (story.actions, story.alert.count) == (["escalated", "notified"], 2)
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
    assert story.actions == ["ack_expired", "acknowledged", "notified"]
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
    assert (story.actions, story.alert.causes) == (["cause_cleared"], (FAILURES.cause,))
    assert story.see(DOWN, FAILURES) == ["raised"]
    assert (story.alert.id == first) is same


def test_what_was_overruled_and_ended_leaves_a_clean_alert() -> None:
    story = Story()
    story.see(DOWN)
    story.resolve()
    assert story.wait(2 * DAY_S).see() == []
    assert (story.actions, story.alert.causes) == (["cause_cleared"], ())
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
    assert (story.actions, story.alert.flapping) == (["flapping_ended", "notified"], False)


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
    assert story.flap(silenced=True) == []
    assert not story.alert.flapping
    assert story.wait(60).see(DOWN) == ["flapping"]


def test_flapping_that_began_and_ended_under_a_silence_is_nobodys_news() -> None:
    story = Story()
    story.flap(silenced=True)
    story.see(silenced=True)
    assert story.wait(60).see() == []
    assert not story.alert.flapping


def test_what_steadies_under_a_silence_is_told_after_it() -> None:
    story = Story()
    story.flap()
    assert story.wait(HOUR_S).see(DOWN, silenced=True) == []
    assert story.actions == ["flapping_ended"]
    assert story.wait(60).see(DOWN) == ["raised"]


# ------------------------------------------------------------------------------------------------------------- silences


def test_what_still_holds_when_the_silence_ends_is_told_then() -> None:
    story = Story()
    assert story.see(DOWN, silenced=True) == []
    assert story.wait(60).see(DOWN, silenced=True) == []
    assert story.wait(60).see(DOWN) == ["raised"]
    assert story.wait(60).see(DOWN) == []


def test_what_was_never_told_as_raised_is_never_told_as_resolved() -> None:
    story = Story()
    story.see(DOWN, silenced=True)
    assert story.wait(60).see() == []
    assert story.wait(60).see() == []
    assert story.wait(60).see(DOWN) == ["raised"]


def test_what_was_told_as_raised_is_told_as_resolved_after_the_silence() -> None:
    story = Story()
    story.see(DOWN)
    assert story.wait(60).see(silenced=True) == []
    assert story.wait(60).see() == ["resolved"]


def test_what_a_person_took_under_a_silence_is_told_as_raised_after_it() -> None:
    story = Story()
    story.see(DOWN, silenced=True)
    assert story.tell(Acknowledge("ada", silenced=True)) == []
    assert story.wait(60).see(DOWN) == ["raised"]
    assert story.alert.state is AlertState.ACKNOWLEDGED


def test_what_got_worse_and_was_taken_under_a_silence_is_told_as_taken_after_it() -> None:
    story = Story()
    story.see(FAILURES)
    story.see(DOWN, silenced=True)
    assert story.tell(Acknowledge("ada", silenced=True)) == []
    assert story.wait(60).see(DOWN) == ["acknowledged"]
