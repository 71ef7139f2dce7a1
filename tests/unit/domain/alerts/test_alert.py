"""The table of an alert's transitions, and the fold of its history."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from uuid import UUID

import msgspec
import pytest
from hypothesis import given

from monitor.domain.alerts import Action, Alert, AlertKind, AlertPolicy, AlertState, HistoryEntry, Identity, replay
from monitor.domain.alerts.alert import (
    COUNTED_TRANSITIONS,
    TRANSITIONS,
    IllegalTransition,
    apply_entry,
    recent_transitions,
)
from monitor.domain.vocab import Severity
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import NOW, POLICY

IDENTITY = Identity(UUID(int=1), UUID(int=2), AlertKind.FAILING)
INTO: dict[AlertState, tuple[Action, ...]] = {
    AlertState.PENDING: (Action.RAISED,),
    AlertState.ACKNOWLEDGED: (Action.RAISED, Action.ACKNOWLEDGED),
    AlertState.RESOLVED: (Action.RAISED, Action.RESOLVED),
}


def entry(action: Action, after_s: float = 0) -> HistoryEntry:
    return HistoryEntry(at=NOW + timedelta(seconds=after_s), action=action, actor="ada", severity=None)


def in_state(state: AlertState) -> Alert:
    return replay(IDENTITY, [entry(action) for action in INTO[state]], POLICY)


@pytest.mark.parametrize(("state", "action"), list(product(AlertState, Action)))
def test_only_the_transitions_of_the_table_are_allowed(state: AlertState, action: Action) -> None:
    """An action has the result of the table in the states it names, and raises in every other."""
    allowed, following = TRANSITIONS[action]
    alert = in_state(state)
    if state in allowed:
        after = apply_entry(alert, entry(action), IDENTITY, POLICY)
        assert after.state is (following or state)
        assert after.version == alert.version + 1
    else:
        with pytest.raises(IllegalTransition, match=f"{action} cannot follow {state}"):
            apply_entry(alert, entry(action), IDENTITY, POLICY)
        assert alert == in_state(state)


def test_the_table_covers_every_action() -> None:
    assert set(TRANSITIONS) == set(Action)
    assert COUNTED_TRANSITIONS.issubset(Action)


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.RAISED])
def test_only_raised_creates_an_alert(action: Action) -> None:
    with pytest.raises(IllegalTransition, match=f"{action} cannot begin"):
        apply_entry(None, entry(action), IDENTITY, POLICY)


def test_an_empty_history_is_no_alert() -> None:
    with pytest.raises(IllegalTransition, match="at least one entry"):
        replay(IDENTITY, [], POLICY)


def test_an_alert_raised_without_details_is_a_warning_without_title() -> None:
    alert = in_state(AlertState.PENDING)
    assert (alert.severity, alert.title, alert.count, alert.causes) == (Severity.WARNING, "", 1, ())
    assert (alert.id, alert.webhook_id, alert.kind) == (IDENTITY.id, IDENTITY.webhook_id, IDENTITY.kind)


def test_transitions_before_the_flapping_window_are_dropped() -> None:
    alert = apply_entry(in_state(AlertState.PENDING), entry(Action.RESOLVED, 3_599), IDENTITY, POLICY)
    assert len(alert.transitions) == 2
    assert len(recent_transitions(alert, NOW + timedelta(seconds=3_600), POLICY)) == 1
    again = apply_entry(alert, entry(Action.REOPENED, 3_600), IDENTITY, POLICY)
    assert again.transitions == (NOW + timedelta(seconds=3_599), NOW + timedelta(seconds=3_600))


@given(our.histories())
def test_a_history_gives_one_consistent_alert(history: tuple[Identity, list[HistoryEntry]]) -> None:
    """The fold is deterministic; it counts its entries, keeps its identity; resolved means resolved_at is set."""
    identity, entries = history
    alert = replay(identity, entries, POLICY)
    assert alert == replay(identity, iter(entries), POLICY)
    assert (alert.id, alert.webhook_id, alert.kind) == (identity.id, identity.webhook_id, identity.kind)
    assert alert.version == len(entries)
    assert alert.is_open == (alert.resolved_at is None) == (alert.resolved_by is None)
    assert (alert.acknowledged_at is None) == (alert.acknowledged_by is None)
    assert alert.count == 1 + sum(e.action in (Action.REPEATED, Action.ESCALATED, Action.REOPENED) for e in entries)
    assert alert.raised_at == entries[0].at
    assert alert.transitions


@given(our.alerts, our.entries, our.identities, our.alert_policies)
def test_alerts_entries_and_policies_survive_storage(
    alert: Alert, entry: HistoryEntry, identity: Identity, policy: AlertPolicy
) -> None:
    """decode(encode(x)) == x."""
    for value in (alert, entry, identity, policy):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value)) == value
