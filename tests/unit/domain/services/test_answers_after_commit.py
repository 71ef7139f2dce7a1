"""What is answered when the database is lost right after the commit, and when a call is repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.domain.alerts.silences import SilenceSpec
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.delivery.replay import ReplaySpec
from monitor.domain.delivery.reported import ReportedAttempt
from monitor.domain.errors import IdempotencyMismatch
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.alerts import Acknowledgement, AlertNote
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.webhooks import WebhookCommands
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.detection_harness import DetectionHarness
from tests.unit.domain.services.test_webhooks import SPEC, FakeSigning, any_version, as_spec, canonical

HOUR = timedelta(hours=1)

NOT_WRITTEN = dict.fromkeys(("signals", "normal", "backlog", "previous_secrets_expire_at"), msgspec.UNSET)
"""What the detector and the queue know of a webhook is no part of what a change of it wrote."""


@pytest.fixture
def registry(unit_of_work: UnitOfWorkFactory, queries: FakeQueries, clock: FakeClock) -> WebhookCommands:
    return WebhookCommands(unit_of_work, queries, clock, FakeSigning(), canonical)


@pytest.fixture
async def webhook_id(registry: WebhookCommands) -> UUID:
    return (await registry.create(SPEC, samples.ACTOR)).id


@pytest.fixture
async def delivery_id(webhook_id: UUID, unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> UUID:
    (id_,) = await samples.add_deliveries(unit_of_work, clock, webhook_id, 1)
    return id_


async def test_a_created_webhook_is_answered_with_its_secret_although_nothing_can_be_read(
    registry: WebhookCommands, database: FakeDatabase, queries: FakeQueries
) -> None:
    database.falls_after_commit = True
    view = await registry.create(SPEC, samples.ACTOR)
    database.down = database.falls_after_commit = False
    assert view.secret == "secret-v1-1"
    read = await queries.webhook(view.id)
    shown = msgspec.structs.replace(view, secret=msgspec.UNSET, signals=msgspec.UNSET, normal=msgspec.UNSET)
    assert shown == msgspec.structs.replace(read, **NOT_WRITTEN)


CHANGES: dict[str, Callable[[WebhookCommands, UUID, UUID], Awaitable[Any]]] = {
    "replace": lambda registry, id_, _: registry.replace(
        id_, msgspec.structs.replace(SPEC, name="New"), samples.ACTOR, require=any_version
    ),
    "patch": lambda registry, id_, _: registry.patch(
        id_, {"name": "New"}, samples.ACTOR, require=any_version, read=as_spec
    ),
    "pause": lambda registry, id_, _: registry.pause(id_, samples.ACTOR),
    "resume": lambda registry, id_, _: registry.resume(id_, samples.ACTOR),
    "retry": lambda registry, _, delivery_id: registry.retry_delivery(delivery_id, samples.ACTOR),
    "cancel": lambda registry, _, delivery_id: registry.cancel_delivery(delivery_id, samples.ACTOR),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_answered_as_it_was_written_although_nothing_can_be_read(
    name: str,
    registry: WebhookCommands,
    webhook_id: UUID,
    delivery_id: UUID,
    database: FakeDatabase,
    queries: FakeQueries,
) -> None:
    if name == "resume":
        await registry.pause(webhook_id, samples.ACTOR)
    database.falls_after_commit = True
    answered = await CHANGES[name](registry, webhook_id, delivery_id)
    assert database.down
    database.down = database.falls_after_commit = False
    if name in {"retry", "cancel"}:
        assert answered == await queries.delivery(delivery_id)
    else:
        read = await queries.webhook(webhook_id)
        assert answered == msgspec.structs.replace(read, **NOT_WRITTEN)


async def test_what_is_done_to_alerts_is_answered_as_it_was_written() -> None:
    harness = DetectionHarness()
    webhook_id = await harness.add(labels={"team": "blue"})
    harness.make_unavailable(webhook_id)
    await harness.evaluate_all()
    alert_id = harness.alert(webhook_id).id
    spec = SilenceSpec(reason="Maintenance.", ends_at=harness.clock.now() + HOUR, label="team=blue")
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: harness.commands.acknowledge(alert_id, Acknowledgement(), samples.ACTOR),
        lambda: harness.commands.resolve(alert_id, AlertNote("Fixed."), samples.ACTOR),
        lambda: harness.silencer.create(spec, samples.ACTOR),
    ]
    for call in calls:
        harness.database.falls_after_commit = True
        answered = await call()
        harness.database.down = harness.database.falls_after_commit = False
        if answered.id == alert_id:
            found = await harness.alert_queries.alert(alert_id)
            # What holds is known from the last evaluation, which the command does not read.
            read: Any = msgspec.structs.replace(found, history=msgspec.UNSET, conditions=[], conditions_at=None)
        else:
            read = await harness.alert_queries.silence(answered.id)
        assert answered == read


@pytest.fixture
def calls(
    registry: WebhookCommands,
    webhook_id: UUID,
    unit_of_work: UnitOfWorkFactory,
    queries: FakeQueries,
    clock: FakeClock,
) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Every call that takes an Idempotency-Key, without the key."""
    measurer = AttemptRecorder(unit_of_work, queries, FakeWebhookSender(), clock, lambda _k, _c: "", LanePolicy())
    attempts = [ReportedAttempt(delivered_at=START, latency_ms=1.0, status_code=200)]
    spec = ReplaySpec(from_at=START - HOUR, to_at=START + HOUR)
    replayer = ReplayCommands(unit_of_work, clock)
    return {
        "create": lambda **key: registry.create(SPEC, samples.ACTOR, **key),
        "rotate": lambda **key: registry.rotate_secret(webhook_id, samples.ACTOR, **key),
        "report": lambda **key: measurer.report(webhook_id, attempts, samples.ACTOR, **key),
        "replay": lambda **key: replayer.start(webhook_id, spec, samples.ACTOR, **key),
    }


@pytest.mark.parametrize("name", ["create", "rotate", "report", "replay"])
async def test_a_repeat_adds_nothing_and_gets_the_same_response(
    name: str, calls: dict[str, Callable[..., Awaitable[Any]]], database: FakeDatabase
) -> None:
    first = await calls[name](key="k", body=b"one")
    written = database.tables
    assert await calls[name](key="k", body=b"one") == first
    assert database.tables is written
    with pytest.raises(IdempotencyMismatch):
        await calls[name](key="k", body=b"two")
    await calls[name](key="other", body=b"two")
    await calls[name]()
    assert database.tables is not written


async def test_a_repeated_silence_is_answered_as_it_is_now() -> None:
    harness = DetectionHarness()
    spec = SilenceSpec(reason="Maintenance.", ends_at=harness.clock.now() + HOUR, label="team=blue")
    first, again = [await harness.silencer.create(spec, samples.ACTOR, key="k", body=b"{}") for _ in range(2)]
    assert again.id == first.id
