"""Stories of alerts for the tests: triggers one after the other, and what subscribers hear of them."""

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
    Observe,
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
    One webhook's alerts of one kind, as the triggers make them.

    ``histories`` holds the entries by alert; each call returns the last words of the event types that subscribers hear.
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
        """What the last trigger added to the history."""
        return [entry.action.value for entry in self.entries]

    def tell(self, trigger: Trigger) -> list[str]:
        self._ids += 1
        identity = Identity(UUID(int=self._ids), WEBHOOK, AlertKind.FAILING)
        self.entries = ()
        before = self.latest
        self.latest, self.entries = apply_trigger(before, trigger, self.now, identity=identity, policy=self.policy)
        if self.latest is None:
            return []
        self.histories.setdefault(self.latest.id, []).extend(self.entries)
        heard = event_types(before, self.latest, self.entries, silenced=trigger.silenced)
        return [event_type.rpartition(".")[2] for event_type in heard]

    def wait(self, seconds: float) -> Story:
        self.now += timedelta(seconds=seconds)
        return self

    def see(self, *conditions: Condition, silenced: bool = False) -> list[str]:
        return self.tell(Observe(conditions, silenced))

    def ack(self, by: str = "ada", note: str | None = None, for_s: float | None = None) -> list[str]:
        expires_at = None if for_s is None else self.now + timedelta(seconds=for_s)
        return self.tell(Acknowledge(by, note, expires_at))

    def resolve(self, by: str = "ada", note: str | None = None) -> list[str]:
        return self.tell(Resolve(by, note))

    def flap(self, every_s: float = 60, *, silenced: bool = False) -> list[str]:
        """Raise it and let it go until it moved five times; it is open in the end."""
        heard = []
        for _ in range(2):
            heard += self.see(DOWN, silenced=silenced)
            self.wait(every_s)
            heard += self.see(silenced=silenced)
            self.wait(every_s)
        return heard + self.see(DOWN, silenced=silenced)
