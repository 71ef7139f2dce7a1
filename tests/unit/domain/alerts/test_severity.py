"""The severity of an open alert follows what holds; what another alert replaces is not resolved."""

from __future__ import annotations

import pytest

from monitor.domain.alerts import AlertState, Condition, UpdateConditions
from monitor.domain.alerts.alert import SYSTEM_ACTOR
from monitor.domain.vocab import Severity
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, SLOW, Story

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
EASE_S = 300


def replaced(*conditions: Condition, silenced: bool = False) -> UpdateConditions:
    return UpdateConditions(conditions, silenced, superseded_note="Replaced.")


# ------------------------------------------------------------------------------------------------------------- severity


def test_the_severity_falls_once_what_holds_was_less_severe_for_a_while() -> None:
    story = Story()
    story.update(DOWN, FAILURES)
    story.ack()
    assert story.wait(10).update(FAILURES) == []
    assert (story.actions, story.alert.severity, story.alert.title) == (["cause_cleared"], CRITICAL, FAILURES.title)
    assert story.wait(EASE_S - 1).update(FAILURES) == []
    assert (story.actions, story.alert.severity) == ([], CRITICAL)
    assert story.wait(1).update(FAILURES) == []
    assert (story.actions, story.alert.severity, story.alert.worst_severity) == (["eased"], WARNING, CRITICAL)
    assert (story.alert.state, story.alert.acknowledged_by) == (AlertState.ACKNOWLEDGED, "ada")
    assert (story.entries[0].severity, story.entries[0].title) == (WARNING, FAILURES.title)
    assert story.wait(EASE_S).update(FAILURES) == []
    assert story.actions == []


def test_a_severity_that_comes_and_goes_does_not_flap() -> None:
    story = Story()
    story.update(DOWN, FAILURES)
    for _ in range(20):
        story.wait(EASE_S - 1).update(FAILURES)
        story.wait(EASE_S - 1).update(FAILURES, DOWN)
        assert story.alert.severity is CRITICAL
    assert story.alert.lower_since is None


def test_a_severity_that_rises_again_ends_the_acknowledgement_and_is_published() -> None:
    story = Story()
    story.update(DOWN, FAILURES)
    story.update(FAILURES)
    story.wait(EASE_S).update(FAILURES)
    story.ack()
    assert story.wait(10).update(FAILURES, DOWN) == ["raised"]
    assert (story.alert.severity, story.alert.acknowledged_by) == (CRITICAL, None)
    assert story.alert.told_severities == (CRITICAL,)


def test_the_severities_that_were_told_are_kept_until_it_begins_again() -> None:
    story = Story()
    story.update(SLOW)
    story.update(SLOW, FAILURES)
    story.update(SLOW, FAILURES, DOWN)
    assert story.alert.told_severities == tuple(Severity)
    story.update()
    assert story.alert.told_severities == tuple(Severity)
    story.wait(60).update(FAILURES)
    assert story.alert.told_severities == (WARNING,)
    assert story.alert.worst is CRITICAL


# ------------------------------------------------------------------------------------------------------------- replaced


def test_what_another_alert_replaces_is_not_resolved_and_published_when_it_is_well() -> None:
    story = Story()
    story.update(DOWN)
    assert story.wait(60).apply(replaced(DOWN)) == []
    assert (story.actions, story.alert.state, story.alert.note) == (["superseded"], AlertState.RESOLVED, "Replaced.")
    assert story.wait(60).apply(replaced(DOWN, FAILURES)) == []
    assert story.actions == []
    assert story.wait(60).apply(replaced()) == ["resolved"]
    assert (story.actions, story.alert.superseded) == (["recovered", "notified"], True)
    assert (story.alert.resolved_at, story.alert.resolved_by) == (story.now, SYSTEM_ACTOR)
    assert story.wait(60).apply(replaced(DOWN)) == []
    assert story.actions == []
    first = story.alert.id
    assert story.wait(3_600).update(DOWN) == ["raised"]
    assert story.alert.id != first


@pytest.mark.parametrize("after_s", [60, 10 * 86_400])
def test_what_still_holds_without_the_other_alert_is_published_again(after_s: float) -> None:
    story = Story()
    story.update(DOWN)
    story.apply(replaced(DOWN))
    first = story.alert.id
    assert story.wait(after_s).update(DOWN) == ["raised"]
    assert (story.actions, story.alert.id, story.alert.superseded) == (["reopened", "notified"], first, False)


def test_what_was_never_published_is_not_published_as_resolved() -> None:
    story = Story()
    story.update(DOWN, silenced=True)
    story.apply(replaced(DOWN))
    assert story.update() == []
    assert story.actions == ["recovered"]


def test_flapping_that_ends_while_it_is_replaced_is_not_published_as_resolved() -> None:
    story = Story()
    story.flap()
    story.apply(replaced(DOWN))
    assert story.wait(3_600).apply(replaced(DOWN)) == []
    assert story.actions == ["flapping_ended"]
    assert story.apply(replaced()) == ["resolved"]


def test_nothing_is_raised_that_another_alert_stands_for() -> None:
    story = Story()
    assert story.apply(replaced(DOWN)) == []
    assert story.latest is None
    assert story.update(DOWN) == ["raised"]


def test_what_a_user_resolved_stays_suppressed_while_it_is_replaced() -> None:
    story = Story()
    story.update(DOWN)
    story.resolve()
    assert story.apply(replaced(DOWN)) == []
    assert story.update(DOWN) == []
