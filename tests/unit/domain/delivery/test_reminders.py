"""Which webhooks get a reminder, and the steps that a user may set."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.delivery.fan_out import FanOutEvent, Subscription, fan_out
from monitor.domain.delivery.reminders import (
    DEFAULT_STEPS,
    LAST_S,
    MAX_STEPS,
    REMINDER,
    STEP_S,
    asks_for,
    span_labels,
    step_errors,
    steps_of,
)
from monitor.domain.vocab import PAGERS, BodyFormat

steps = st.lists(st.integers(1, LAST_S // STEP_S).map(lambda n: n * STEP_S), unique=True, max_size=MAX_STEPS).map(
    sorted
)


@pytest.mark.parametrize("body_format", list(BodyFormat))
def test_without_steps_of_its_own_a_webhook_has_those_of_its_format(body_format: BodyFormat) -> None:
    assert steps_of(None, body_format) == (() if body_format in PAGERS else DEFAULT_STEPS)
    assert steps_of([], body_format) == ()
    assert steps_of([300], body_format) == (300,)


def test_pagers_remind_by_themselves() -> None:
    assert [steps_of(None, pager) for pager in sorted(PAGERS)] == [(), (), ()]
    assert steps_of([600], BodyFormat.PAGERDUTY) == (600,)


@given(steps)
def test_ascending_steps_of_whole_five_minutes_are_valid(given_steps: list[int]) -> None:
    """Up to ten steps within a day are taken."""
    assert list(step_errors("/reminders", given_steps)) == []
    assert list(step_errors("/reminders", None)) == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ([0], "/reminders/0"),
        ([-300], "/reminders/0"),
        ([301], "/reminders/0"),
        ([LAST_S + STEP_S], "/reminders/0"),
        ([600, 600], "/reminders/1"),
        ([900, 600], "/reminders/1"),
        ([STEP_S * n for n in range(1, MAX_STEPS + 2)], "/reminders"),
    ],
)
def test_other_steps_are_refused(wrong: list[int], pointer: str) -> None:
    assert [error.pointer for error in step_errors("/reminders", wrong)] == [pointer]


@pytest.mark.parametrize(
    ("after_s", "until_s", "asked"), [(0, 600, False), (600, 900, True), (900, 3_300, False), (0, 86_400, True)]
)
def test_an_event_is_for_the_steps_of_its_span(after_s: int, until_s: int, asked: bool) -> None:
    assert asks_for(DEFAULT_STEPS, span_labels(after_s, until_s)) is asked
    assert not asks_for((), span_labels(after_s, until_s))


def test_a_fan_out_makes_reminders_for_those_who_asked_for_one() -> None:
    alerts = frozenset({"monitor.alert.*"})
    event = FanOutEvent(id=UUID(int=1), type=REMINDER, labels={"severity": "critical", **span_labels(600, 900)})
    subscriptions = [
        Subscription(UUID(int=10), alerts, {}, (900, 3_600)),
        Subscription(UUID(int=11), alerts, {}, (3_600,)),
        Subscription(UUID(int=12), alerts, {}),
        Subscription(UUID(int=13), alerts, {"severity": "warning"}, (900,)),
    ]
    reached = [made.webhook_id for made in fan_out([event], subscriptions, 100).deliveries]
    assert reached == [UUID(int=10)]
