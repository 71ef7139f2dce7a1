"""Any course of failures, mass failures, silences and people, against what each destination was told last."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec import json

from monitor.domain.alerts import SYSTEM_ACTOR, Alert, AlertKind
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.services.alerts import Acknowledgement, AlertNote
from monitor.domain.vocab import HealthStatus
from tests import samples
from tests.unit.domain.services.detection_harness import POLICY, DetectionHarness

T = TypeVar("T")

DESTINATIONS = {
    "everything": {},
    "payments": {"team": "payments"},
    "search": {"team": "search", "severity": "critical"},
}
TEAMS = ("payments", "payments", "payments", "search", "search", "search", "other", "other")

webhooks = st.integers(0, len(TEAMS) - 1)
lapses_s = st.sampled_from([15.0, 15.0, 60.0, 300.0, 1_000.0, 3_600.0, 3 * 86_400.0])
lengths_s = st.sampled_from([300.0, 3_600.0, 5 * 86_400.0])
scopes = st.one_of(
    webhooks.map(lambda n: {"n": n}),
    st.sampled_from(TEAMS).map(lambda team: {"label": f"team={team}"}),
    st.sampled_from([AlertKind.FAILING, AlertKind.MASS_FAILURE]).map(lambda kind: {"kind": kind}),
)


class AlertMachine(RuleBasedStateMachine):
    """After each step the processes run; then the last word of every destination is true."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.harness = DetectionHarness()
        self.ids: list[UUID] = []
        self.destinations: dict[UUID, str] = {}
        self.last_word: dict[tuple[str, UUID], str] = {}
        """By destination and alert: the last segment of the type that it was told last."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.loop.close()

    @initialize()
    def begin(self) -> None:
        for name, labels in DESTINATIONS.items():
            added = self.run(self.harness.add(name=name, event_types=("monitor.alert.*",), labels=labels))
            self.destinations[added] = name
        self.ids = [self.run(self.harness.add(name=f"w{n}", labels={"team": t})) for n, t in enumerate(TEAMS)]
        self.harness.make_healthy(*self.ids)

    @rule(failing=st.sets(webhooks, min_size=1))
    def fail(self, failing: set[int]) -> None:
        self.harness.make_unavailable(*(self.ids[n] for n in failing if not self.fails(self.ids[n])))
        self.check()

    @rule(well=st.sets(webhooks, min_size=1))
    def recover(self, well: set[int]) -> None:
        self.harness.make_healthy(*(self.ids[n] for n in well))
        self.check()

    @rule(lapse_s=lapses_s)
    def wait(self, lapse_s: float) -> None:
        self.harness.clock.advance(lapse_s)
        for id_ in self.ids:  # They go on being used.
            self.harness.set_lane(id_, last_attempt_at=self.harness.clock.now())
        self.check()

    @rule(scope=scopes, length_s=lengths_s)
    def silence(self, scope: dict[str, Any], length_s: float) -> None:
        named = {"webhook_id": self.ids[scope["n"]]} if "n" in scope else scope
        self.run(self.harness.silence(length_s, **named))
        self.check()

    @rule()
    def end_silences(self) -> None:
        for id_ in list(self.harness.database.tables.silences):
            self.run(self.harness.silencer.end(id_, samples.ACTOR))
        self.check()

    @rule(nth=st.integers(0, 20))
    def acknowledge(self, nth: int) -> None:
        if is_open := [alert for alert in self.harness.alerts if alert.is_open]:
            self.run(
                self.harness.commands.acknowledge(is_open[nth % len(is_open)].id, Acknowledgement(), samples.ACTOR)
            )
        self.check()

    @rule(nth=st.integers(0, 20))
    def resolve(self, nth: int) -> None:
        if is_open := [alert for alert in self.harness.alerts if alert.is_open]:
            self.run(self.harness.commands.resolve(is_open[nth % len(is_open)].id, AlertNote(), samples.ACTOR))
        self.check()

    # ------------------------------------------------------------------------------------------------ oracle

    def check(self) -> None:
        """Run what processes run, and compare what destinations know with what holds."""
        self.evaluate()
        self.run(self.harness.check_mass_failure())
        self.evaluate()
        self.run(self.harness.detector.tell())
        self.hear()
        for name, labels in DESTINATIONS.items():
            for id_, team in zip(self.ids, TEAMS, strict=True):
                if labels.get("team", team) == team:
                    self.last_word_is_true(name, id_)
            self.mass_failure_is_true(name, labels)
        self.harness.check_replay()

    def evaluate(self) -> None:
        """Evaluate those that fail, and the others only after their health changed: as if they were idle for ever."""
        for id_ in self.ids:
            if self.fails(id_):
                self.harness.set_lane(id_)
        self.run(self.harness.detector.tick())
        for id_ in self.ids:
            self.harness.set_lane(id_, evaluate_at=self.harness.clock.now() + timedelta(days=1_000))

    def hear(self) -> None:
        tables = self.harness.database.tables
        known = set(tables.deliveries)
        self.run(self.harness.notifier.run())
        tables = self.harness.database.tables
        for delivery_id in sorted(tables.deliveries.keys() - known):
            delivery = tables.deliveries[delivery_id]
            event = tables.events[delivery.event_id].event
            alert = json.decode(event.payload)["data"]["alert"]
            verb = event.type.rpartition(".")[2]
            if verb == "resolved" and alert["resolved_by"] == SYSTEM_ACTOR and alert["webhook_id"]:
                assert not self.fails(UUID(alert["webhook_id"])), "told as resolved while it fails"
            self.last_word[self.destinations[delivery.webhook_id], UUID(alert["id"])] = verb

    def last_word_is_true(self, name: str, webhook_id: UUID) -> None:
        alerts = [alert for alert in self.harness.alerts if alert.webhook_id == webhook_id]
        if self.is_silenced(webhook_id, AlertKind.FAILING) or any(alert.flapping for alert in alerts):
            return
        open_ones = [alert for alert in alerts if self.knows_as_open(name, alert)]
        if not self.fails(webhook_id):
            assert not open_ones, "known as open while it is well"
            return
        if alerts and not alerts[-1].is_open and alerts[-1].resolved_by != SYSTEM_ACTOR:
            assert not open_ones, "known as open, though a user resolved it"
            return
        mass = self.mass_failure()
        if mass is not None and mass.is_open and self.is_hushed(mass):
            return
        is_told_of_all = mass is not None and mass.is_open and self.knows_as_open(name, mass)
        assert len(open_ones) <= 1
        assert open_ones or is_told_of_all, "nothing says that it fails"

    def mass_failure_is_true(self, name: str, labels: dict[str, str]) -> None:
        for mass in (alert for alert in self.harness.alerts if alert.webhook_id == SYSTEM_ID):
            if self.is_hushed(mass):
                continue
            if not mass.is_open:
                assert not self.knows_as_open(name, mass), "known as open, and it ended"
            elif "team" not in labels:
                assert self.knows_as_open(name, mass)

    def is_hushed(self, alert: Alert) -> bool:
        return alert.flapping or self.is_silenced(alert.webhook_id, alert.kind)

    def is_silenced(self, webhook_id: UUID, kind: AlertKind) -> bool:
        team = dict(zip(self.ids, TEAMS, strict=True)).get(webhook_id)
        now, silences = self.harness.clock.now(), self.harness.database.tables.silences.values()
        return any(s.matches(webhook_id, {"team": team} if team else {}, kind, now) for s in silences)

    def knows_as_open(self, name: str, alert: Alert) -> bool:
        return self.last_word.get((name, alert.id), "resolved") != "resolved"

    def mass_failure(self) -> Alert | None:
        found = [alert for alert in self.harness.alerts if alert.webhook_id == SYSTEM_ID]
        return found[-1] if found else None

    def fails(self, webhook_id: UUID) -> bool:
        health = self.harness.database.tables.lanes[webhook_id].health
        since = self.harness.clock.now() - timedelta(seconds=POLICY.alert.unavailable_s)
        return (
            health.status is HealthStatus.UNAVAILABLE and health.changed_at is not None and health.changed_at <= since
        )
