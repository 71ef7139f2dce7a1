"""When reminders of an alert are due, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.alerts import AlertKind, Condition, Remind, Unacknowledge
from monitor.domain.alerts.reminders import (
    ReminderSchedule,
    ReminderSpan,
    due_span,
    elapsed_s,
    following,
    needs_reminders,
    reminder_of,
    reminder_text,
    started,
)
from monitor.domain.delivery.reminders import DEFAULT_STEPS, LAST_S, STEP_S
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, SLOW, Story

ALERT = UUID(int=1)


def schedule(passed_s: int = 0) -> ReminderSchedule:
    return ReminderSchedule(ALERT, NOW, passed_s, NOW + timedelta(seconds=passed_s + STEP_S))


def begun(story: Story, do: Callable[[], object]) -> ReminderSchedule | None:
    """Return the schedule that *do* begins, which changes the alert of *story*."""
    before = story.latest
    do()
    return started(before, story.alert, story.entries)


def test_the_steps_count_from_the_notification_of_a_critical_alert() -> None:
    story = Story()
    first = begun(story, lambda: story.update(DOWN))
    assert first == ReminderSchedule(story.alert.id, NOW, 0, NOW + timedelta(seconds=300))
    assert begun(story.wait(60), lambda: story.update(DOWN, FAILURES)) is None


@pytest.mark.parametrize("condition", [FAILURES, SLOW])
def test_alerts_that_are_not_critical_have_no_reminders(condition: Condition) -> None:
    story = Story()
    assert begun(story, lambda: story.update(condition)) is None


def test_they_begin_when_it_becomes_critical() -> None:
    story = Story()
    story.update(FAILURES)
    first = begun(story.wait(600), lambda: story.update(DOWN))
    assert first is not None
    assert first.since == story.now


def test_an_acknowledgement_and_a_resolution_end_them() -> None:
    story = Story()
    story.update(DOWN)
    assert needs_reminders(story.alert)
    assert begun(story, story.ack) is None
    assert not needs_reminders(story.alert)
    assert begun(story, story.update) is None
    assert not needs_reminders(story.alert)


def test_they_begin_anew_when_nobody_works_on_it_any_more() -> None:
    story = Story()
    story.update(DOWN)
    story.wait(60).ack(for_s=60)
    expired = begun(story.wait(60), lambda: story.update(DOWN))
    assert expired is not None
    assert expired.since == story.now
    story.wait(60).ack()
    taken_back = begun(story.wait(60), lambda: story.apply(Unacknowledge("ada")))
    assert taken_back is not None
    assert taken_back.since == story.now
    story.update()
    reopened = begun(story.wait(60), lambda: story.update(DOWN))
    assert reopened is not None
    assert reopened.since == story.now


def test_an_acknowledgement_that_expired_while_it_was_looked_at_begins_them_anew() -> None:
    """One evaluation expires the acknowledgement and notifies: the alert needed reminders before it, and after it."""
    story = Story()
    story.update(DOWN)
    first = story.alert
    story.ack(for_s=60)
    story.wait(60).update(DOWN)
    assert started(first, story.alert, story.entries) is not None


def test_they_begin_at_the_end_of_a_silence() -> None:
    story = Story()
    assert begun(story, lambda: story.update(DOWN, silenced=True)) is None
    first = begun(story.wait(3_600), lambda: story.update(DOWN))
    assert first is not None
    assert first.since == story.now


def test_a_flapping_alert_has_none_until_it_calms_down() -> None:
    story = Story()
    assert begun(story, story.flap) is None
    assert story.alert.flapping
    assert not needs_reminders(story.alert)
    assert begun(story.wait(4_000), lambda: story.update(DOWN)) is not None


def test_a_reminder_is_an_entry_of_the_history_and_changes_nothing_else() -> None:
    story = Story()
    story.update(DOWN)
    before = story.alert
    assert begun(story.wait(900), lambda: story.apply(Remind("After 15 min."))) is None
    assert story.actions == ["reminded"]
    assert story.entries[0].note == "After 15 min."
    assert replace(story.alert, version=before.version) == before


@pytest.mark.parametrize("silenced", [True, False])
def test_a_silence_and_an_acknowledgement_leave_the_entry_out(silenced: bool) -> None:
    story = Story()
    story.update(DOWN)
    if not silenced:
        story.ack()
    assert story.apply(Remind("After 15 min.", silenced)) == []
    assert story.actions == []


def test_nothing_is_reminded_of_without_an_alert() -> None:
    story = Story()
    assert story.apply(Remind("After 15 min.")) == []
    assert story.latest is None


@pytest.mark.parametrize(
    ("passed_s", "after_s", "span"),
    [
        (0, 899, None),
        (600, 900, (600, 900)),
        (900, 1_200, None),
        (3_300, 3_600.5, (3_300, 3_600)),
        (0, 5 * 3_600, (0, 18_000)),
        (14_400, 50_000, None),
    ],
)
def test_a_step_is_due_once_and_steps_that_passed_together_are_one(
    passed_s: int, after_s: float, span: tuple[int, int] | None
) -> None:
    found = due_span(schedule(passed_s), NOW + timedelta(seconds=after_s), DEFAULT_STEPS)
    assert found == (None if span is None else ReminderSpan(*span))


@given(
    st.sets(st.integers(1, LAST_S // STEP_S).map(lambda n: n * STEP_S), max_size=30),
    st.lists(st.floats(0, 200_000, allow_nan=False), max_size=40),
)
def test_whenever_it_is_looked_at_each_step_is_told_at_most_once(steps: set[int], looks: list[float]) -> None:
    """
    For looks at any times, also backwards: the spans that are told do not overlap; a look after the last step leaves no
    step untold; the next look is never in the past of a look, and there is none after a day.
    """
    current: ReminderSchedule | None = schedule()
    told: list[ReminderSpan] = []
    for after_s in [*looks, float(LAST_S)]:
        now = NOW + timedelta(seconds=after_s)
        if current is None:
            break
        if (span := due_span(current, now, steps)) is not None:
            told.append(span)
        current = following(current, now)
        if current is not None:
            assert current.next_at >= now
    assert current is None
    spans = [set(range(span.after_s + STEP_S, span.until_s + STEP_S, STEP_S)) for span in told]
    assert sum(map(len, spans)) == len(set().union(*spans))
    assert steps <= set().union(*spans)


def test_a_clock_that_goes_back_takes_nothing_back() -> None:
    assert elapsed_s(schedule(900), NOW) == 900


def test_the_last_look_is_after_a_day() -> None:
    assert following(schedule(LAST_S - STEP_S), NOW + timedelta(seconds=LAST_S)) is None
    assert following(schedule(LAST_S - STEP_S), NOW + timedelta(seconds=LAST_S - 1)) is not None


@pytest.mark.parametrize(
    ("kind", "until_s", "begins"),
    [
        (AlertKind.FAILING, 900, "Still failing after 15 min, "),
        (AlertKind.FAILING, 3_600, "Still failing after 1 h, "),
        (AlertKind.MASS_FAILURE, 18_300, "Still failing after 5 h 5 min, "),
        (AlertKind.LATENCY, 86_400, "Still open after 24 h, "),
    ],
)
def test_it_says_for_how_long_nobody_acknowledged_it(kind: AlertKind, until_s: int, begins: str) -> None:
    story = Story()
    story.update(DOWN)
    text = reminder_text(replace(story.alert, kind=kind), ReminderSpan(0, until_s))
    assert text == f"{begins}nobody acknowledged it: Orders is unavailable."


def test_the_event_holds_the_alert_as_others_do_and_the_sentence() -> None:
    story = Story()
    story.update(DOWN)
    made = reminder_of(story.alert, ReminderSpan(600, 900), "Orders", {"team": "blue", "reminder_s": "7"})
    assert (made.type, made.version, made.alert_id) == ("monitor.alert.reminder", story.alert.version, story.alert.id)
    assert made.labels == {
        "team": "blue",
        "severity": "critical",
        "kind": "failing",
        "reminder_after_s": "600",
        "reminder_s": "900",
    }
    data = msgspec.json.decode(made.payload)["data"]
    assert data["alert"]["id"] == str(story.alert.id)
    assert data["webhook"]["name"] == "Orders"
    assert data["reminder"] == {
        "elapsed_s": 900,
        "text": "Still failing after 15 min, nobody acknowledged it: Orders is unavailable.",
    }
