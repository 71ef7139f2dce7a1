"""Laws of alerts and their notifications, for any triggers in any order."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.alerts import (
    Acknowledge,
    Alert,
    AlertKind,
    AlertPolicy,
    AlertState,
    Comment,
    Identity,
    Remind,
    Resolve,
    Tell,
    Unacknowledge,
    UpdateConditions,
    apply_trigger,
    replay,
)
from monitor.domain.alerts.alert import TRANSITIONS, Action
from monitor.domain.alerts.lifecycle import Trigger
from monitor.domain.errors import Conflict
from monitor.domain.vocab import SEVERITIES
from tests import strategies as our
from tests.unit.domain.alerts.alert_stories import DOWN, FAILURES, NOW, POLICY, SLOW, WEBHOOK, Story

HOUR_S, DAY_S = 3_600, 86_400

LATER = NOW + timedelta(days=10)

waits_s = st.sampled_from([0, 0, 1, *[60] * 12, 300, 300, 899, 900, 2_000, HOUR_S, DAY_S, 3 * DAY_S])
conditions = st.sampled_from([(), (), (), (DOWN,), (DOWN,), (FAILURES,), (SLOW,), (SLOW, FAILURES), (FAILURES, DOWN)])
silenced = st.sampled_from([False, False, False, True])
updates = st.one_of(
    st.builds(UpdateConditions, conditions, silenced),
    st.builds(UpdateConditions, conditions, silenced, superseded_note=st.sampled_from([None, "Replaced."])),
    st.builds(Tell, silenced),
    st.builds(Remind, st.just("Still failing."), silenced),
)
commands: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(Acknowledge, st.sampled_from(["ada", "ben"]), silenced=st.booleans()),
    st.builds(Acknowledge, st.just("ada"), expires_at=st.sampled_from([NOW + timedelta(hours=3), LATER])),
    st.builds(Unacknowledge, st.sampled_from(["ada", "ben"]), silenced=st.booleans()),
    st.builds(Comment, st.just("ada"), st.just("Looking."), silenced=st.booleans()),
    st.builds(Resolve, st.sampled_from(["ada", "ben"]), silenced=st.booleans()),
)
timed_triggers = st.tuples(waits_s, st.one_of(updates, updates, updates, commands))


class Checked(Story):
    """A story that checks the laws of this module at every step. ``announced`` holds the alerts published as open."""

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        super().__init__(policy)
        self.announced: set[UUID] = set()

    def step(self, trigger: Trigger) -> None:
        before = self.latest
        if isinstance(trigger, Acknowledge) and trigger.expires_at is not None and trigger.expires_at <= self.now:
            return
        needs_open = isinstance(trigger, Acknowledge | Unacknowledge) and (before is None or not before.is_open)
        if needs_open or (isinstance(trigger, Comment) and before is None):
            with pytest.raises(Conflict):
                self.apply(trigger)
            assert self.latest is before
            return
        published = self.apply(trigger)
        self._changes_are_in_the_table(before)
        self._only_an_acknowledgement_is_taken_back(trigger, before)
        if isinstance(trigger, Comment):
            assert self.entries[0].action is Action.COMMENTED
            self._no_member_changes(before)
        elif isinstance(trigger, Remind):
            needs_it = before is not None and before.state is AlertState.PENDING and not trigger.silenced
            assert needs_it == (Action.REMINDED in {entry.action for entry in self.entries})
            self._no_member_changes(before)
        else:
            self._a_repeat_changes_nothing(trigger)
        if self.latest is None:
            return
        self._the_alert_is_its_history(before)
        self._notifications_match_the_state(trigger, before, published)

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
            assert _as_history(self.latest) == _as_history(before)

    def _only_an_acknowledgement_is_taken_back(self, trigger: Trigger, before: Alert | None) -> None:
        if not isinstance(trigger, Unacknowledge):
            return
        assert before is not None
        taken_back = Action.UNACKNOWLEDGED in {entry.action for entry in self.entries}
        assert taken_back <= (before.state is AlertState.ACKNOWLEDGED)
        assert self.alert.state is AlertState.PENDING
        assert self.alert.first_acknowledged_at == before.first_acknowledged_at

    def _no_member_changes(self, before: Alert | None) -> None:
        members = ("state", "severity", "title", "causes", "count", "note", "acknowledged_by", "resolved_at")
        latest, former = ([getattr(alert, name, None) for name in members] for alert in (self.latest, before))
        assert latest == former

    def _a_repeat_changes_nothing(self, trigger: Trigger) -> None:
        identity = Identity(UUID(int=0), WEBHOOK, AlertKind.FAILING)
        again, entries = apply_trigger(self.latest, trigger, self.now, identity=identity, policy=self.policy)
        assert (again, entries) == (self.latest, ())

    def _the_alert_is_its_history(self, before: Alert | None) -> None:
        alert = self.alert
        assert _as_history(alert) == replay(
            Identity(alert.id, WEBHOOK, alert.kind), self.histories[alert.id], self.policy
        )
        assert (alert.state is AlertState.ACKNOWLEDGED) <= (alert.acknowledged_by is not None)
        assert (alert.state is AlertState.PENDING) <= (alert.acknowledged_by is None)
        if before is None or before.id != alert.id:
            assert before is None or not before.is_open
            assert alert.count == 1
            return
        assert alert.count >= before.count
        assert SEVERITIES.index(alert.worst) == max(map(SEVERITIES.index, (before.worst, alert.severity)))
        eased = before.is_open and SEVERITIES.index(alert.severity) < SEVERITIES.index(before.severity)
        assert eased == (Action.EASED in {entry.action for entry in self.entries})
        if eased:
            assert before.lower_since is not None
            assert (self.now - before.lower_since).total_seconds() >= self.policy.ease_s
            assert alert.acknowledged_by == before.acknowledged_by or Action.ACK_EXPIRED in self.actions

    def _notifications_match_the_state(self, trigger: Trigger, before: Alert | None, published: list[str]) -> None:
        alert = self.alert
        assert not (published and trigger.silenced)
        assert len(published) <= 1 or published == ["acknowledged", "flapping"]
        if alert.flapping and before is not None and before.flapping:
            assert published in ([], ["acknowledged"])
        for kind in published:
            if kind in ("acknowledged", "resolved"):
                assert alert.id in self.announced
            if kind == "resolved":
                self.announced.discard(alert.id)
            else:
                self.announced.add(alert.id)
            assert (kind == "resolved") <= (not alert.is_open and not alert.is_replaced)
        if not trigger.silenced and not alert.flapping:
            assert not alert.pending_notification
            assert alert.notified == (alert.id in self.announced)
            assert alert.is_replaced or alert.notified == alert.is_open


def _as_history(alert: Alert | None) -> Alert | None:
    """Return *alert* without the member that its history does not tell."""
    return None if alert is None else replace(alert, lower_since=None)


# A story of a hundred steps takes minutes to shrink; the law below finds the short one.
@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(timed_triggers, min_size=100, max_size=100))
def test_ten_thousand_triggers_keep_the_laws(steps: list[tuple[float, Trigger]]) -> None:
    """
    For any triggers in any order: only transitions of the table happen; acknowledging a resolved alert raises and
    changes nothing; only an acknowledgement is taken back; any trigger may be repeated, but for a comment and a
    reminder, which change no member; only pending alerts are reminded of, under no silence; at most one alert is open;
    the count never falls, and the severity of an open alert only after what holds was less severe for a while;
    replaying the history gives the same alert; nothing is published under a silence or while flapping; resolving is
    published only after raising, and not of an alert that another one replaces while its causes hold; otherwise the
    last notification is the present state.
    """
    story = Checked()
    for wait_s, trigger in steps:
        story.wait(wait_s)
        story.step(trigger)


@given(our.alert_policies, st.lists(st.tuples(waits_s, our.triggers), max_size=15))
def test_the_laws_hold_under_any_policy(policy: AlertPolicy, steps: list[tuple[float, Trigger]]) -> None:
    """As above, for other numbers and any conditions."""
    story = Checked(policy)
    for wait_s, trigger in steps:
        story.wait(wait_s)
        story.step(trigger)
