"""A house of webhooks that are watched: how they do is set by hand, and looks are taken when a test says so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import json
from msgspec.structs import replace

from monitor.domain.alerts import Alert, AlertKind, AlertPolicy, Silence, replay
from monitor.domain.alerts.evaluation import DetectionPolicy, Evaluation
from monitor.domain.alerts.model import Identity
from monitor.domain.anomaly import Baselines, observe_all, start_baselines
from monitor.domain.anomaly.tally import Tally, tally_of
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.monitoring.health import Health
from monitor.domain.services.alerts import AlertCommands
from monitor.domain.services.detection import Detector
from monitor.domain.services.notifications import AlertNotifier
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
    """What is known after two days of ten good attempts a minute, until a minute before the clock starts."""
    begin = START.timestamp() - 2 * DAY_S - MINUTE
    baselines = start_baselines(begin)
    for sample in stream(begin, 2 * DAY_S, per_tick=10):
        baselines, _ = observe_all(baselines, sample)
    return baselines


class House:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.database = FakeDatabase(self.clock)
        self.queries = FakeQueries(self.database)
        self.alert_queries = FakeAlertQueries(self.database)
        self.watcher = Detector(self.unit_of_work, self.clock, POLICY)
        self.triage = AlertCommands(self.unit_of_work, self.queries, self.alert_queries, self.clock, POLICY.alert)
        self.relay = AlertNotifier(self.unit_of_work, self.clock)

    def unit_of_work(self) -> FakeUnitOfWork:
        return FakeUnitOfWork(self.database)

    async def add(self, **changes: Any) -> UUID:
        return (await samples.add_webhook(self.unit_of_work, self.clock, **changes)).id

    def knows(self, webhook_id: UUID) -> None:
        """Let the detector know what is normal for a webhook."""
        look = Evaluation(webhook_id=webhook_id, baselines=learned(), verdicts=(), conditions={}, evaluate_at=None)
        self.database.tables.evaluations[webhook_id] = (self.clock.now() - timedelta(seconds=MINUTE), look)

    def set(self, webhook_id: UUID, **lane: Any) -> None:
        """Change the lane of a webhook; it is due for a look then."""
        lanes = self.database.tables.lanes
        lanes[webhook_id] = replace(lanes[webhook_id], **{"evaluate_at": self.clock.now()} | lane)

    def configure(self, webhook_id: UUID, **changes: Any) -> None:
        row = self.database.tables.webhooks[webhook_id]
        self.database.tables.webhooks[webhook_id] = replace(row, webhook=replace(row.webhook, **changes))
        self.set(webhook_id)

    def delete(self, webhook_id: UUID) -> None:
        row = self.database.tables.webhooks[webhook_id]
        self.database.tables.webhooks[webhook_id] = replace(row, deleted_at=self.clock.now())
        self.set(webhook_id)

    def fails(self, *webhook_ids: UUID, for_s: float = MINUTE) -> None:
        """Let webhooks be unavailable, for a minute already."""
        at = self.clock.now() - timedelta(seconds=for_s)
        health = Health(HealthStatus.UNAVAILABLE, "All of the last 5 attempts failed: 503.", 0.9, at)
        for webhook_id in webhook_ids:
            self.set(webhook_id, health=health, last_attempt_at=self.clock.now())

    def works(self, *webhook_ids: UUID) -> None:
        health = Health(HealthStatus.HEALTHY, "All of the last 20 attempts succeeded.", 0.02, self.clock.now())
        for webhook_id in webhook_ids:
            self.set(webhook_id, health=health, last_attempt_at=self.clock.now())

    def makes(self, webhook_id: UUID, attempts: Iterable[tuple[bool, float]]) -> None:
        """Let attempts be made that nobody has looked at."""
        self.made(webhook_id, tally_of(attempts))

    def made(self, webhook_id: UUID, tally: Tally) -> None:
        self.set(webhook_id, unevaluated=tally)

    async def look(self, after_s: float = 0.0) -> None:
        """Let time pass, then look at everything, due or not."""
        self.clock.advance(after_s)
        for webhook_id, lane in self.database.tables.lanes.items():
            if lane.evaluate_at is not None:
                self.set(webhook_id)
        await self.watcher.tick()

    async def survey(self, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        await self.watcher.check_mass_failure()

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
        return [entry.action.value for entry in self.database.tables.history[alert.id]]

    def heard(self) -> list[str]:
        """Take what waits to be told; return the last words of the types."""
        waiting, self.database.tables.notifications = self.database.tables.notifications, ()
        return [announced.type.rpartition(".")[2] for announced in waiting]

    def domain_events(self) -> list[str]:
        """Take what was recorded; return the names."""
        facts = [type(fact).__name__ for fact in self.database.domain_events]
        self.database.domain_events.clear()
        return facts

    def state(self) -> bytes:
        """Everything that a look may change, without the time of the look itself."""
        tables = self.database.tables
        return json.encode(
            [self.alerts, list(tables.anomalies.values()), list(tables.history.values()), tables.notifications]
        )

    def check_replay(self, policy: AlertPolicy = POLICY.alert) -> None:
        """Every alert is what its history tells."""
        for alert in self.alerts:
            identity = Identity(alert.id, alert.webhook_id, alert.kind)
            assert replay(identity, self.database.tables.history[alert.id], policy) == alert
