"""Detection over fakes: tests set the health of webhooks directly and run evaluations explicitly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import json
from msgspec.structs import replace

from monitor.adapters.recurrences import expand
from monitor.domain.alerts import Alert, AlertKind, AlertPolicy, Silence, replay
from monitor.domain.alerts.alert import Identity
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation
from monitor.domain.anomaly import Baselines, observe_all, start_baselines
from monitor.domain.anomaly.tally import Tally, tally_of
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.health import Health
from monitor.domain.services.alerts import AlertCommands
from monitor.domain.services.detection import Detector
from monitor.domain.services.notifications import AlertNotifier
from monitor.domain.services.silences import SilenceCommands
from monitor.domain.vocab import HealthStatus
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.unit.domain.anomaly.anomaly_streams import DAY_S, stream

POLICY = DetectionPolicy()
MINUTE = 60.0
OUTAGE: tuple[tuple[bool, float], ...] = ((False, 5.0),) * 50
CALM: tuple[tuple[bool, float], ...] = ((True, 100.0),) * 10


@cache
def learned() -> Baselines:
    """Return the baselines after two days of ten good attempts a minute, ending a minute before the clock starts."""
    begin = START.timestamp() - 2 * DAY_S - MINUTE
    baselines = start_baselines(begin)
    for sample in stream(begin, 2 * DAY_S, per_tick=10):
        baselines, _ = observe_all(baselines, sample)
    return baselines


class DetectionHarness:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.queries = FakeQueries(self.database)
        self.alert_queries = FakeAlertQueries(self.database)
        self.detector = Detector(self.unit_of_work, self.clock, POLICY)
        self.commands = AlertCommands(self.unit_of_work, self.queries, self.alert_queries, POLICY.alert)
        self.silencer = SilenceCommands(self.unit_of_work, self.queries, self.alert_queries, self.clock, expand)
        self.notifier = AlertNotifier(self.unit_of_work, self.clock)

    def unit_of_work(self) -> FakeUnitOfWork:
        return FakeUnitOfWork(self.database)

    async def add(self, **changes: Any) -> UUID:
        return (await samples.add_webhook(self.unit_of_work, self.clock, **changes)).id

    def learn_normal(self, webhook_id: UUID) -> None:
        """Give a webhook learned baselines."""
        evaluation = Evaluation(
            webhook_id=webhook_id, baselines=learned(), verdicts=(), conditions={}, evaluate_at=None
        )
        self.database.tables.evaluations[webhook_id] = (self.clock.now() - timedelta(seconds=MINUTE), evaluation)

    def set_lane(self, webhook_id: UUID, **lane: Any) -> None:
        """Change the lane of a webhook and make it due for evaluation."""
        lanes = self.database.tables.lanes
        lanes[webhook_id] = replace(lanes[webhook_id], **{"evaluate_at": self.clock.now()} | lane)

    def configure(self, webhook_id: UUID, **changes: Any) -> None:
        row = self.database.tables.webhooks[webhook_id]
        self.database.tables.webhooks[webhook_id] = replace(row, webhook=replace(row.webhook, **changes))
        self.set_lane(webhook_id)

    def delete(self, webhook_id: UUID) -> None:
        row = self.database.tables.webhooks[webhook_id]
        self.database.tables.webhooks[webhook_id] = replace(row, deleted_at=self.clock.now())
        self.set_lane(webhook_id)

    def make_unavailable(self, *webhook_ids: UUID, for_s: float = MINUTE) -> None:
        """Make webhooks unavailable since *for_s* ago."""
        at = self.clock.now() - timedelta(seconds=for_s)
        health = Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: HTTP 503.", 0.9, at)
        for webhook_id in webhook_ids:
            self.set_lane(webhook_id, health=health, last_attempt_at=self.clock.now())

    def make_healthy(self, *webhook_ids: UUID) -> None:
        health = Health(HealthStatus.HEALTHY, "All of the last 20 attempts succeeded.", 0.02, self.clock.now())
        for webhook_id in webhook_ids:
            self.set_lane(webhook_id, health=health, last_attempt_at=self.clock.now())

    def add_attempts(self, webhook_id: UUID, attempts: Iterable[tuple[bool, float]]) -> None:
        """Add attempts that are not evaluated yet."""
        self.add_tally(webhook_id, tally_of(attempts))

    def add_tally(self, webhook_id: UUID, tally: Tally) -> None:
        self.set_lane(webhook_id, unevaluated=tally)

    async def evaluate_all(self, after_s: float = 0.0) -> None:
        """Advance the clock, then evaluate every webhook, due or not."""
        self.clock.advance(after_s)
        for webhook_id, lane in self.database.tables.lanes.items():
            if lane.evaluate_at is not None:
                self.set_lane(webhook_id)
        await self.detector.tick()

    async def check_mass_failure(self, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        await self.detector.check_mass_failure()

    async def silence(self, for_s: float, **scope: Any) -> None:
        now = self.clock.now()
        silence = Silence(
            id=self.clock.new_id(),
            created_by="ada",
            created_at=now,
            reason="Maintenance.",
            ends_at=now + timedelta(seconds=for_s),
            **scope,
        )
        async with self.unit_of_work() as uow:
            await uow.silences.add(silence)
            await uow.commit()

    @property
    def alerts(self) -> list[Alert]:
        """Oldest first."""
        return [alert for _, alert in sorted(self.database.tables.alerts.items())]

    def alert(self, webhook_id: UUID = SYSTEM_ID, kind: AlertKind = AlertKind.FAILING) -> Alert:
        """The only one of this webhook and kind."""
        [found] = [a for a in self.alerts if (a.webhook_id, a.kind) == (webhook_id, kind)]
        return found

    def actions(self, alert: Alert) -> list[str]:
        return [entry.action.value for entry in self.database.tables.history_of(alert.id)]

    def take_notifications(self) -> list[str]:
        """Remove the queued notifications; return the last segments of their types."""
        queued, self.database.tables.notifications = self.database.tables.notifications, ()
        return [notification.type.rpartition(".")[2] for notification in queued]

    def take_domain_events(self) -> list[str]:
        """Remove the recorded domain events; return their names."""
        names = [type(event).__name__ for event in self.database.domain_events]
        self.database.domain_events.clear()
        return names

    def stored_state(self) -> bytes:
        """Everything that an evaluation may change, without its time."""
        tables = self.database.tables
        return json.encode(
            [self.alerts, list(tables.anomalies.values()), list(tables.history.values()), tables.notifications]
        )

    def check_replay(self, policy: AlertPolicy = POLICY.alert) -> None:
        """Check that replaying each history gives the stored alert."""
        for alert in self.alerts:
            identity = Identity(alert.id, alert.webhook_id, alert.kind)
            assert replay(identity, self.database.tables.history_of(alert.id), policy) == alert
