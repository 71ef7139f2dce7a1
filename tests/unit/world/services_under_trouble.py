"""Every operation of the services, in worlds that are alike, for trouble in any method that it calls."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.alerts.silences import SilenceSpec
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.delivery.replay import ReplaySource, ReplaySpec
from monitor.domain.delivery.reported import ReportedAttempt
from monitor.domain.delivery.retry import RetryPolicy
from monitor.domain.ports.unit_of_work import UnitOfWork
from monitor.domain.services.alerts import Acknowledgement, AlertComment, AlertNote, BulkAcknowledgement
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.backlogs import BacklogCommands
from monitor.domain.services.publish import EventIn, Publisher
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.resends import ResendCommands, ResendSpec
from monitor.domain.services.tokens import TokenCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.webhooks.registration import NewWebhookSpec, WebhookSpec
from tests import samples
from tests.fakes.clock import START
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.queries.alerts import FakeAlertQueries
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.fakes.postgres.unit_of_work import FakeUnitOfWork
from tests.fakes.trouble import methods
from tests.unit.domain.services.detection_harness import DetectionHarness
from tests.unit.world.site import Keys

HOUR = timedelta(hours=1)
SPEC = NewWebhookSpec(name="Invoices", url="https://invoices.example/hook")
RANGE = ReplaySpec(from_at=START - HOUR, to_at=START + HOUR)
BACKFILL = ReplaySpec(from_at=START - HOUR, to_at=START + HOUR, source=ReplaySource.EVENTS)


class ServiceWorld(DetectionHarness):
    """Webhooks with a waiting, a failed and a silent past, and an open alert about one of them."""

    webhook_id: UUID
    event_id: UUID
    waiting_id: UUID
    failed_id: UUID
    alert_id: UUID
    silence_id: UUID

    async def prepare(self) -> None:
        self.webhooks = WebhookCommands(self.unit_of_work, self.queries, self.clock, Keys(), lambda url: url)
        self.publisher = Publisher(self.unit_of_work, self.clock)
        self.replays = ReplayCommands(self.unit_of_work, self.clock)
        self.resends = ResendCommands(self.unit_of_work, self.clock)
        self.backlogs = BacklogCommands(self.unit_of_work, self.clock)
        self.tokens = TokenCommands(self.unit_of_work, kept_s=3_600.0)
        self.sender = FakeWebhookSender()
        self.attempts = AttemptRecorder(
            self.unit_of_work, self.queries, self.sender, self.clock, lambda _k, _c: "", LanePolicy()
        )
        self.webhook_id = await self.add(retry=RetryPolicy((0.0,)))
        cancelled = await samples.add_deliveries(self.unit_of_work, self.clock, self.webhook_id, 2)
        self.waiting_id, self.failed_id = cancelled
        self.event_id = self.database.tables.deliveries[self.failed_id].event_id
        await self.webhooks.cancel_delivery(self.failed_id, samples.ACTOR)
        self.make_unavailable(self.webhook_id)
        await self.evaluate_all()
        self.alert_id = self.alert(self.webhook_id).id
        spec = SilenceSpec(reason="Maintenance.", ends_at=self.clock.now() + HOUR, label="team=red")
        self.silence_id = (await self.silencer.create(spec, samples.ACTOR)).id
        # What is evaluated next resolves the alert.
        self.make_healthy(self.webhook_id)

    def dump(self, *, repeated: bool = False) -> Any:
        """
        Return all rows, with each id replaced by its place among them.

        Args:
            repeated: leave out what a second change of the same kind adds: its audit row and version.
        """
        tables = {column.name: getattr(self.database.tables, column.name) for column in fields(self.database.tables)}
        # An answer holds ids; whether there is one is enough.
        tables["idempotency_keys"] = {key: bool(row.answer) for key, row in tables["idempotency_keys"].items()}
        recorded = [type(event).__name__ for event in self.database.domain_events]
        if repeated:
            tables["audit"], recorded = None, []
        return _placed([tables, recorded], {}, {"version", "updated_at"} if repeated else set())


_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def _placed(value: Any, places: dict[str, int], left_out: set[str]) -> Any:
    match value:
        case msgspec.Struct():
            return _placed(msgspec.structs.asdict(value), places, left_out)
        case dict():
            pairs = [(k, v) for k, v in value.items() if k not in left_out]
            return [[_placed(k, places, left_out), _placed(v, places, left_out)] for k, v in pairs]
        case list() | tuple():
            return [_placed(one, places, left_out) for one in value]
        case bytes():
            return _placed(value.decode(errors="replace"), places, left_out)
        case UUID() | str():
            return _ID.sub(lambda found: f"#{places.setdefault(found[0], len(places))}", str(value))
        case _:
            return value


def _patch(world: ServiceWorld, changes: dict[str, Any]) -> Awaitable[Any]:
    return world.webhooks.patch(
        world.webhook_id,
        changes,
        samples.ACTOR,
        require=lambda _version: None,
        read=lambda patched: msgspec.convert(patched, WebhookSpec),
    )


def _replace(world: ServiceWorld) -> Awaitable[Any]:
    spec = WebhookSpec(name="New", url="https://new.example/hook")
    return world.webhooks.replace(world.webhook_id, spec, samples.ACTOR, require=lambda _version: None)


KEY: dict[str, Any] = {"key": "k", "body": b"{}"}

OPERATIONS: dict[str, Callable[[ServiceWorld], Awaitable[Any]]] = {
    "publish": lambda w: w.publisher.publish(
        [EventIn(type="order.paid", payload=msgspec.Raw(b"1")) for _ in range(2)], samples.ACTOR, **KEY
    ),
    "create": lambda w: w.webhooks.create(SPEC, samples.ACTOR, **KEY),
    "replace": _replace,
    "patch": lambda w: _patch(w, {"name": "New"}),
    "disable": lambda w: _patch(w, {"enabled": False}),
    "change_url": lambda w: _patch(w, {"url": "https://new.example/hook", "headers": {"X-Team": "red"}}),
    "rotate_secret": lambda w: w.webhooks.rotate_secret(w.webhook_id, samples.ACTOR, **KEY),
    "pause": lambda w: w.webhooks.pause(w.webhook_id, samples.ACTOR),
    "retry": lambda w: w.webhooks.retry_delivery(w.failed_id, samples.ACTOR),
    "send_now": lambda w: w.backlogs.send_now(w.webhook_id, samples.ACTOR),
    "cancel": lambda w: w.webhooks.cancel_delivery(w.waiting_id, samples.ACTOR),
    "acknowledge": lambda w: w.commands.acknowledge(w.alert_id, Acknowledgement("Seen."), samples.ACTOR),
    "acknowledge_many": lambda w: w.commands.acknowledge_many(BulkAcknowledgement(ids=[w.alert_id]), samples.ACTOR),
    "comment": lambda w: w.commands.comment(w.alert_id, AlertComment("Looking."), samples.ACTOR, **KEY),
    "resolve": lambda w: w.commands.resolve(w.alert_id, AlertNote("Fixed."), samples.ACTOR),
    "silence": lambda w: w.silencer.create(
        SilenceSpec(reason="Deployment.", ends_at=START + HOUR, label="team=blue"), samples.ACTOR, **KEY
    ),
    "end_silence": lambda w: w.silencer.end(w.silence_id, samples.ACTOR),
    "backfill": lambda w: w.replays.start(w.webhook_id, BACKFILL, samples.ACTOR, **KEY),
    "resend": lambda w: w.resends.resend(w.event_id, ResendSpec(), samples.ACTOR, **KEY),
    "replay": lambda w: w.replays.start(w.webhook_id, RANGE, samples.ACTOR, **KEY),
    "report": lambda w: w.attempts.report(
        w.webhook_id, [ReportedAttempt(delivered_at=START, latency_ms=1.0, status_code=500)], samples.ACTOR, **KEY
    ),
    "revoke": lambda w: w.tokens.revoke("jti-1", samples.ACTOR),
    "evaluate": lambda w: w.detector.tick(),
    "notify": lambda w: w.notifier.run(),
}
"""Each is safe to repeat, by its key or by what it means."""


async def _paused(world: ServiceWorld) -> None:
    await world.webhooks.pause(world.webhook_id, samples.ACTOR)


async def _acknowledged(world: ServiceWorld) -> None:
    await world.commands.acknowledge(world.alert_id, Acknowledgement(), samples.ACTOR)


async def _all_fail(world: ServiceWorld) -> None:
    others = [await world.add() for _ in range(10)]
    world.make_unavailable(world.webhook_id, *others)


async def _untold(world: ServiceWorld) -> None:
    alerts = world.database.tables.alerts
    alerts[world.alert_id] = msgspec.structs.replace(alerts[world.alert_id], pending_notification=True)


AFTER: dict[str, tuple[Callable[[ServiceWorld], Awaitable[None]], Callable[[ServiceWorld], Awaitable[Any]]]] = {
    "resume": (_paused, lambda w: w.webhooks.resume(w.webhook_id, samples.ACTOR)),
    "unacknowledge": (
        _acknowledged,
        lambda w: w.commands.unacknowledge(w.alert_id, AlertNote("Not mine."), samples.ACTOR),
    ),
    "mass_failure": (_all_fail, lambda w: w.detector.check_mass_failure()),
    "tell": (_untold, lambda w: w.detector.tell()),
    "evaluate_many": (_all_fail, lambda w: w.detector.tick()),
}
"""Those that need more than the world has: what is done before, and the operation."""


async def _nothing(_world: ServiceWorld) -> None:
    """Nothing more is needed."""


CASES = {name: (_nothing, operation) for name, operation in OPERATIONS.items()} | AFTER


def fakes() -> dict[type, type]:
    """Return the fake of each port that a unit of work has, and those beside it, by port."""
    annotations = {name: port for name, port in UnitOfWork.__annotations__.items() if name != "now"}
    harness = DetectionHarness()

    async def opened() -> FakeUnitOfWork:
        return await FakeUnitOfWork(harness.database).__aenter__()

    try:
        opened().send(None)
    except StopIteration as stop:
        uow = stop.value
    return {type(getattr(uow, name)): type(getattr(uow, name)) for name in annotations}


TROUBLED = [
    *((fake, name) for fake, name in methods(*fakes(), FakeQueries, FakeAlertQueries)),
    (FakeUnitOfWork, "__aenter__"),
    (FakeUnitOfWork, "commit"),
    (FakeWebhookSender, "send"),
]
