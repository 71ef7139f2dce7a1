"""What destinations of alerts were told last is true."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.world.alert_machine import AlertMachine


def test_the_last_word_of_each_destination_is_true() -> None:
    """For any failures, mass failures, silences and people: nothing is told as resolved while it fails, and whatever no
    silence hides is known to each destination whose labels it has."""
    run_state_machine_as_test(AlertMachine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
