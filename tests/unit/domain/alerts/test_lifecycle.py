"""Lifecycle of alerts by example; ``test_laws`` holds the laws for any sequence of triggers."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from monitor.domain.alerts import Acknowledge, AlertState, Comment, Unacknowledge
from monitor.domain.alerts.alert import SYSTEM_ACTOR, Action
from monitor.domain.alerts.lifecycle import NOTE_BACK_TO_NORMAL
from monitor.domain.errors import Conflict
from monitor.domain.vocab import Severity
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, SLOW, Story

HOUR_S, DAY_S = 3_600, 86_400

# ------------------------------------------------------------------------------------------------------ raise, resolve


def test_a_cause_raises_an_alert_and_its_end_resolves_it() -> None:
    story = Story()
    assert story.update(DOWN) == ["raised"]
    assert story.actions == ["raised", "notified"]
    assert (story.alert.severity, story.alert.title) == (Severity.CRITICAL, DOWN.title)
    assert story.alert.evidence == {"health": {"reason": "503"}}
    assert story.wait(60).update() == ["resolved"]
    assert (story.alert.resolved_by, story.alert.note) == (SYSTEM_ACTOR, NOTE_BACK_TO_NORMAL)
    assert story.alert.resolved_at == NOW + timedelta(seconds=60)


def test_without_conditions_there_is_no_alert() -> None:
    story = Story()
    assert story.update() == []
    assert story.resolve() == []
    assert story.latest is None


def test_a_second_cause_raises_the_count_and_its_end_does_not() -> None:
    story = Story()
    story.update(DOWN)
    assert story.update(DOWN, FAILURES) == []
    assert (story.actions, story.alert.count) == (["repeated"], 2)
    assert (story.alert.title, set(story.alert.evidence)) == (DOWN.title, {"health", "failures"})
    story.update(FAILURES)
    assert (story.actions, story.alert.count, story.alert.causes) == (["cause_cleared"], 2, (FAILURES.cause,))
    assert story.alert.severity is Severity.CRITICAL
    story.update(DOWN, FAILURES)
    assert (story.actions, story.alert.count) == (["repeated"], 3)


def test_the_first_of_the_most_severe_causes_gives_the_title() -> None:
    story = Story()
    story.update(SLOW, FAILURES)
    assert (story.alert.severity, story.alert.title) == (Severity.WARNING, FAILURES.title)


def test_a_rise_in_severity_is_published() -> None:
    story = Story()
    story.update(FAILURES)
    assert story.update(FAILURES, DOWN) == ["raised"]
    assert (story.actions, story.alert.count) == (["escalated", "notified"], 2)
    assert (story.alert.severity, story.alert.title) == (Severity.CRITICAL, DOWN.title)


@pytest.mark.parametrize(("after_s", "same"), [(0, True), (899.999, True), (900, False), (DAY_S, False)])
def test_soon_after_it_is_the_same_alert_and_later_another(after_s: float, same: bool) -> None:
    story = Story()
    story.update(DOWN)
    story.update()
    first = story.alert.id
    assert story.wait(after_s).update(DOWN) == ["raised"]
    assert (story.alert.id == first, story.alert.count) == (same, 2 if same else 1)
    assert story.alert.resolved_at is None
    assert story.alert.resolved_by is None
    if not same:
        assert story.alert.id == UUID(int=3)


# ---------------------------------------------------------------------------------------------------- acknowledgements


def test_the_first_acknowledgement_counts() -> None:
    story = Story()
    story.update(DOWN)
    assert story.ack("ada", "Looking.") == ["acknowledged"]
    acknowledged = story.alert
    assert (acknowledged.state, acknowledged.acknowledged_by, acknowledged.note) == (
        AlertState.ACKNOWLEDGED,
        "ada",
        "Looking.",
    )
    assert story.wait(5).ack("ben", "Me too.") == []
    assert story.alert is acknowledged


def test_an_acknowledgement_survives_repeats() -> None:
    story = Story()
    story.update(DOWN)
    story.ack()
    assert story.update(DOWN, FAILURES) == []
    assert (story.alert.state, story.alert.count) == (AlertState.ACKNOWLEDGED, 2)


def test_a_rise_in_severity_ends_the_acknowledgement() -> None:
    story = Story()
    story.update(FAILURES)
    story.ack(note="Known.", for_s=HOUR_S)
    acknowledged_at = story.alert.acknowledged_at
    assert story.wait(5).update(DOWN) == ["raised"]
    alert = story.alert
    assert (alert.state, alert.acknowledged_at, alert.acknowledged_by) == (AlertState.PENDING, None, None)
    assert (alert.ack_expires_at, alert.note) == (None, None)
    assert alert.first_acknowledged_at == acknowledged_at
    story.wait(5).ack("ben")
    assert story.alert.first_acknowledged_at == acknowledged_at


def test_resolving_ends_the_acknowledgement() -> None:
    story = Story()
    story.update(DOWN)
    story.ack()
    assert story.update() == ["resolved"]
    assert story.update(DOWN) == ["raised"]
    assert (story.alert.state, story.alert.acknowledged_by) == (AlertState.PENDING, None)


@pytest.mark.parametrize(("after_s", "state"), [(59, "acknowledged"), (60, "pending")])
def test_an_acknowledgement_lasts_until_it_expires(after_s: float, state: str) -> None:
    story = Story()
    story.update(DOWN)
    story.ack(for_s=60)
    assert story.wait(after_s).update(DOWN) == ([] if state == "acknowledged" else ["raised"])
    assert story.alert.state == state


def test_an_expired_acknowledgement_may_be_replaced_before_the_next_evaluation() -> None:
    story = Story()
    story.update(DOWN)
    story.ack("ada", for_s=60)
    assert story.wait(60).ack("ben") == ["acknowledged"]
    assert story.actions == ["ack_expired", "acknowledged", "notified"]
    assert (story.alert.acknowledged_by, story.alert.ack_expires_at) == ("ben", None)


def test_a_resolved_alert_cannot_be_acknowledged() -> None:
    story = Story()
    with pytest.raises(Conflict, match="resolved"):
        story.ack()
    story.update(DOWN)
    story.resolve()
    resolved = story.alert
    with pytest.raises(Conflict, match="resolved"):
        story.ack()
    assert story.alert is resolved


# ------------------------------------------------------------------------------------------------- resolved by a user


def test_resolving_is_idempotent() -> None:
    story = Story()
    story.update(DOWN)
    story.ack(note="Looking.")
    assert story.resolve("ada") == ["resolved"]
    resolved = story.alert
    assert (resolved.resolved_by, resolved.note) == ("ada", "Looking.")
    assert story.wait(5).resolve("ben", "No, me.") == []
    assert story.alert is resolved


def test_a_cause_that_still_holds_is_suppressed_for_a_day() -> None:
    story = Story()
    story.update(DOWN)
    story.resolve(note="We know.")
    first = story.alert
    for _ in range(23):
        assert story.wait(HOUR_S).update(DOWN) == []
    assert story.alert is first
    assert story.wait(HOUR_S - 1).update(DOWN) == []
    assert story.wait(1).update(DOWN) == ["raised"]
    assert story.alert.id != first.id


@pytest.mark.parametrize(("after_s", "same"), [(60, True), (HOUR_S, False)])
def test_a_new_cause_reopens_together_with_the_suppressed_one(after_s: float, same: bool) -> None:
    story = Story()
    story.update(DOWN)
    story.resolve()
    first = story.alert.id
    assert story.wait(after_s).update(DOWN, FAILURES) == ["raised"]
    assert (story.alert.id == first) is same
    assert (story.alert.severity, story.alert.causes) == (Severity.CRITICAL, (DOWN.cause, FAILURES.cause))
    assert story.wait(15).update(DOWN, FAILURES) == []


@pytest.mark.parametrize(("after_s", "same"), [(60, True), (HOUR_S, False)])
def test_a_suppressed_cause_that_cleared_is_new_when_it_comes_back(after_s: float, same: bool) -> None:
    story = Story()
    story.update(DOWN, FAILURES)
    story.resolve()
    first = story.alert.id
    assert story.wait(after_s).update(FAILURES) == []
    assert (story.actions, story.alert.causes) == (["cause_cleared"], (FAILURES.cause,))
    assert story.update(DOWN, FAILURES) == ["raised"]
    assert (story.alert.id == first) is same


def test_a_suppressed_cause_that_ended_leaves_no_cause() -> None:
    story = Story()
    story.update(DOWN)
    story.resolve()
    assert story.wait(2 * DAY_S).update() == []
    assert (story.actions, story.alert.causes) == (["cause_cleared"], ())
    story.update()
    assert story.actions == []


# ------------------------------------------------------------------------------------------------------------- flapping


def test_flapping_is_published_once_and_the_final_state_when_it_ends() -> None:
    story = Story()
    assert story.flap() == ["raised", "resolved", "raised", "resolved", "flapping"]
    assert story.alert.flapping
    assert story.wait(60).update() == []
    assert story.wait(60).update(FAILURES) == []
    assert story.update(DOWN) == []
    assert story.wait(60).update() == []
    assert story.wait(HOUR_S).update() == ["resolved"]
    assert (story.actions, story.alert.flapping) == (["flapping_ended", "notified"], False)


def test_flapping_that_ends_open_is_published_as_raised() -> None:
    story = Story()
    story.flap()
    assert story.wait(HOUR_S).update(DOWN) == ["raised"]
    assert not story.alert.flapping


def test_four_transitions_an_hour_are_not_flapping() -> None:
    story = Story()
    assert story.flap(every_s=901) == ["raised", "resolved", "raised", "resolved", "raised"]
    assert not story.alert.flapping


def test_a_flapping_alert_is_reopened_even_much_later() -> None:
    """A new alert would leave this one flapping for ever, and its end unpublished."""
    story = Story()
    story.flap()
    story.update()
    first = story.alert.id
    assert story.wait(1_800).update(DOWN) == []
    assert (story.alert.id, story.alert.flapping) == (first, True)
    story.update()
    assert story.wait(DAY_S).update(DOWN) == ["raised"]
    assert (story.alert.id, story.alert.flapping) == (first, False)


def test_a_flapping_alert_may_be_acknowledged() -> None:
    story = Story()
    story.flap()
    assert story.ack() == ["acknowledged"]


def test_flapping_under_a_silence_is_published_when_the_silence_ends() -> None:
    story = Story()
    assert story.flap(silenced=True) == []
    assert not story.alert.flapping
    assert story.wait(60).update(DOWN) == ["flapping"]


def test_flapping_that_began_and_ended_under_a_silence_is_not_published() -> None:
    story = Story()
    story.flap(silenced=True)
    story.update(silenced=True)
    assert story.wait(60).update() == []
    assert not story.alert.flapping


def test_flapping_that_ends_under_a_silence_is_published_after_it() -> None:
    story = Story()
    story.flap()
    assert story.wait(HOUR_S).update(DOWN, silenced=True) == []
    assert story.actions == ["flapping_ended"]
    assert story.wait(60).update(DOWN) == ["raised"]


# ------------------------------------------------------------------------------------------------------------- silences


def test_an_alert_still_open_when_the_silence_ends_is_published_then() -> None:
    story = Story()
    assert story.update(DOWN, silenced=True) == []
    assert story.wait(60).update(DOWN, silenced=True) == []
    assert story.wait(60).update(DOWN) == ["raised"]
    assert story.wait(60).update(DOWN) == []


def test_resolving_is_not_published_unless_raising_was() -> None:
    story = Story()
    story.update(DOWN, silenced=True)
    assert story.wait(60).update() == []
    assert story.wait(60).update() == []
    assert story.wait(60).update(DOWN) == ["raised"]


def test_resolving_under_a_silence_is_published_after_it() -> None:
    story = Story()
    story.update(DOWN)
    assert story.wait(60).update(silenced=True) == []
    assert story.wait(60).update() == ["resolved"]


def test_an_alert_acknowledged_under_a_silence_is_published_as_raised_after_it() -> None:
    story = Story()
    story.update(DOWN, silenced=True)
    assert story.apply(Acknowledge("ada", silenced=True)) == []
    assert story.wait(60).update(DOWN) == ["raised"]
    assert story.alert.state is AlertState.ACKNOWLEDGED


def test_an_escalation_acknowledged_under_a_silence_is_published_as_acknowledged_after_it() -> None:
    story = Story()
    story.update(FAILURES)
    story.update(DOWN, silenced=True)
    assert story.apply(Acknowledge("ada", silenced=True)) == []
    assert story.wait(60).update(DOWN) == ["acknowledged"]


# ------------------------------------------------------------------------------------------- unacknowledge and comment


def test_taking_an_acknowledgement_back_opens_the_alert_and_notifies_again() -> None:
    story = Story()
    assert story.update(DOWN) == ["raised"]
    assert story.ack(note="Mine.") == ["acknowledged"]
    first = story.alert.first_acknowledged_at
    assert story.wait(60).apply(Unacknowledge("ben", "Not mine.")) == ["raised"]
    assert story.actions == ["unacknowledged", "notified"]
    assert (story.entries[0].actor, story.entries[0].note) == ("ben", "Not mine.")
    assert (story.alert.state, story.alert.acknowledged_by, story.alert.note) == (AlertState.PENDING, None, None)
    assert story.alert.first_acknowledged_at == first
    assert story.apply(Unacknowledge("ben")) == []
    assert story.actions == []


def test_an_expired_acknowledgement_is_not_taken_back_once_more() -> None:
    story = Story()
    story.update(DOWN)
    story.ack(for_s=60)
    assert story.wait(60).apply(Unacknowledge("ben")) == ["raised"]
    assert story.actions == ["ack_expired", "notified"]


def test_a_resolved_alert_has_no_acknowledgement_to_take_back() -> None:
    story = Story()
    with pytest.raises(Conflict, match="resolved"):
        story.apply(Unacknowledge("ada"))
    story.update(DOWN)
    story.resolve()
    with pytest.raises(Conflict, match="resolved"):
        story.apply(Unacknowledge("ada"))


def test_a_comment_is_a_line_of_the_history_in_any_state() -> None:
    story = Story()
    with pytest.raises(Conflict):
        story.apply(Comment("ada", "About what?"))
    story.update(DOWN)
    for _ in range(2):
        assert story.apply(Comment("ada", "Looking.")) == []
        assert [(entry.action, entry.note) for entry in story.entries] == [(Action.COMMENTED, "Looking.")]
    story.resolve(note="Fixed.")
    assert story.apply(Comment("ben", "It was the proxy.")) == []
    assert (story.alert.state, story.alert.note) == (AlertState.RESOLVED, "Fixed.")
