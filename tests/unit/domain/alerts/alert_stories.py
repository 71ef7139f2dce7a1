"""Sequences of triggers on one alert for the tests, and the notifications that result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from monitor.domain.alerts import (
    Alert,
    AlertKind,
    AlertPolicy,
    Cause,
    Condition,
    HistoryEntry,
    Identity,
    UpdateConditions,
    apply_trigger,
)
from monitor.domain.alerts.lifecycle import Acknowledge, Resolve, Trigger
from monitor.domain.alerts.notification import event_types
from monitor.domain.vocab import Severity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = AlertPolicy()
WEBHOOK = UUID(int=7)

DOWN = Condition(Cause.HEALTH, Severity.CRITICAL, "Orders is unavailable.", {"reason": "503"})
FAILURES = Condition(Cause.FAILURES, Severity.WARNING, "Orders: 3 of 20 attempts failed.", {"n": 20})
SLOW = Condition(Cause.LATENCY_TAIL, Severity.INFO, "Orders: some answers are slow.", {"n": 9})


class Story:
    """
    The alerts of one webhook and kind under a sequence of triggers.

    ``histories`` holds the entries by alert. Each call returns the last segments of the published event types.
    """

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        self.policy = policy
        self.now = NOW
        self.latest: Alert | None = None
        self.entries: tuple[HistoryEntry, ...] = ()
        self.histories: dict[UUID, list[HistoryEntry]] = {}
        self._ids = 0

    @property
    def alert(self) -> Alert:
        assert self.latest is not None
        return self.latest

    @property
    def actions(self) -> list[str]:
        """The entries that the last trigger added to the history."""
        return [entry.action.value for entry in self.entries]

    def apply(self, trigger: Trigger) -> list[str]:
        self._ids += 1
        identity = Identity(UUID(int=self._ids), WEBHOOK, AlertKind.FAILING)
        self.entries = ()
        before = self.latest
        self.latest, self.entries = apply_trigger(before, trigger, self.now, identity=identity, policy=self.policy)
        if self.latest is None:
            return []
        self.histories.setdefault(self.latest.id, []).extend(self.entries)
        published = event_types(before, self.latest, self.entries, silenced=trigger.silenced)
        return [event_type.rpartition(".")[2] for event_type in published]

    def wait(self, seconds: float) -> Story:
        self.now += timedelta(seconds=seconds)
        return self

    def update(self, *conditions: Condition, silenced: bool = False) -> list[str]:
        return self.apply(UpdateConditions(conditions, silenced))

    def ack(self, by: str = "ada", note: str | None = None, for_s: float | None = None) -> list[str]:
        expires_at = None if for_s is None else self.now + timedelta(seconds=for_s)
        return self.apply(Acknowledge(by, note, expires_at))

    def resolve(self, by: str = "ada", note: str | None = None) -> list[str]:
        return self.apply(Resolve(by, note))

    def flap(self, every_s: float = 60, *, silenced: bool = False) -> list[str]:
        """Raise and resolve it for five transitions in all; it is open in the end."""
        published = []
        for _ in range(2):
            published += self.update(DOWN, silenced=silenced)
            self.wait(every_s)
            published += self.update(silenced=silenced)
            self.wait(every_s)
        return published + self.update(DOWN, silenced=silenced)
