"""
Reminders: which webhooks get the event that an alert is still critical and not acknowledged.

A webhook chooses reminders by steps, in seconds since the subscribers were notified. Steps are whole five minutes, so
for any number of webhooks, an alert makes at most one event for each five minutes of its first day. An event stands for
all steps in a span, which its labels name: after an outage one event reports what several would have reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from monitor.domain.errors import FieldError
from monitor.domain.vocab import PAGERS

REMINDER = "monitor.alert.reminder"

STEP_S = 300
LAST_S = 86_400
MAX_STEPS = 10

DEFAULT_STEPS = (900, 3_600, 14_400)

AFTER_LABEL = "reminder_after_s"
UNTIL_LABEL = "reminder_s"

STEP_SCHEMA = {"minimum": STEP_S, "maximum": LAST_S, "multipleOf": STEP_S}
"""For the documentation only; :func:`step_errors` decides."""


def steps_of(reminders: Sequence[int] | None, body_format: str) -> tuple[int, ...]:
    """Return the steps of a webhook; without its own, those of its body format: pagers remind people by themselves."""
    if reminders is not None:
        return tuple(reminders)
    return () if body_format in PAGERS else DEFAULT_STEPS


def step_errors(pointer: str, reminders: Sequence[int] | None) -> Iterator[FieldError]:
    """Yield what is wrong with the steps that a user set."""
    steps = reminders or ()
    if len(steps) > MAX_STEPS:
        yield FieldError(pointer, f"Give at most {MAX_STEPS} reminders.")
    for i, step in enumerate(steps):
        if not STEP_S <= step <= LAST_S or step % STEP_S:
            yield FieldError(f"{pointer}/{i}", f"Give whole five minutes in seconds, from {STEP_S} to {LAST_S}.")
        elif i and step <= steps[i - 1]:
            yield FieldError(f"{pointer}/{i}", "Give each reminder once, in ascending order.")


def span_labels(after_s: int, until_s: int) -> dict[str, str]:
    """Return the labels of an event for all steps beyond *after_s*, up to *until_s*."""
    return {AFTER_LABEL: str(after_s), UNTIL_LABEL: str(until_s)}


def asks_for(steps: Collection[int], labels: Mapping[str, str]) -> bool:
    """Whether one of *steps* is in the span that :func:`span_labels` gave the event."""
    return any(int(labels[AFTER_LABEL]) < step <= int(labels[UNTIL_LABEL]) for step in steps)
