"""Probes of what Monitor disabled: when they go out, and what a 2xx changes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.lane import LanePolicy
from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.ping import PING_TYPE
from monitor.domain.errors import Unavailable
from monitor.domain.events import WebhookUpdated
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.attempts import AttemptRecorder
from monitor.domain.services.reenable import BATCH, ReenableProbes
from monitor.domain.vocab import ErrorKind, Reenable
from monitor.domain.webhooks.webhook import Webhook
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.egress.sender import FakeWebhookSender
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries

GONE = "The receiver answered 410 Gone."
TEN_MINUTES = timedelta(minutes=10)
REFUSED = Outcome(latency_ms=5.0, status_code=410, error=ErrorKind.STATUS)


@pytest.fixture
def enabled() -> list[UUID]:
    return []


@pytest.fixture
def probes(
    unit_of_work: UnitOfWorkFactory,
    queries: FakeQueries,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> ReenableProbes:
    recorder = AttemptRecorder(unit_of_work, queries, sender, clock, lambda _key, _content: "v1a,x", LanePolicy())
    return ReenableProbes(unit_of_work, recorder, enabled.append)


async def disabled(unit_of_work: UnitOfWorkFactory, clock: FakeClock, reenable: Reenable = Reenable.PROBE) -> Webhook:
    made = await samples.add_webhook(unit_of_work, clock, reenable=reenable)
    async with unit_of_work() as uow:
        await uow.webhooks.disable(made.id, GONE)
        await uow.commit()
    return made


async def test_a_good_probe_enables_the_webhook_for_the_system(
    probes: ReenableProbes,
    database: FakeDatabase,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> None:
    made = await disabled(unit_of_work, clock)
    lane = database.tables.lanes[made.id]
    opened = Breaker(BreakerState.OPEN, clock.now() + timedelta(hours=1), 1)
    database.tables.lanes[made.id] = replace(lane, breaker=opened, failing_since=clock.now(), evaluate_at=None)
    await probes.run()
    assert sender.requests == []
    clock.advance(TEN_MINUTES.total_seconds())
    await probes.run()
    assert len(sender.requests) == 1
    webhook = database.tables.webhooks[made.id].webhook
    assert (webhook.enabled, webhook.disabled_reason, webhook.disabled_at) == (True, None, None)
    # What waited meanwhile is released at a bounded rate.
    assert database.tables.lanes[made.id].resumed_at == database.tables.lanes[made.id].release_at == clock.now()
    assert webhook.probe_at is None
    lane = database.tables.lanes[made.id]
    assert (lane.breaker, lane.failing_since, lane.evaluate_at) == (Breaker(), None, clock.now())
    assert enabled == [made.id]
    assert database.domain_events == [WebhookUpdated(made.id)]
    (attempt,) = database.tables.attempts.values()
    assert (attempt.kind, attempt.event_type) == ("test", PING_TYPE)
    (row,) = database.tables.audit.values()
    assert (row.subject, row.action, row.target) == ("system", "webhook.enable", f"webhook:{made.id}")


async def test_a_failed_probe_changes_nothing_but_its_next_time(
    probes: ReenableProbes,
    database: FakeDatabase,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> None:
    made = await disabled(unit_of_work, clock)
    sender.receiver = lambda _: REFUSED
    version = database.tables.webhooks[made.id].webhook.version
    for number, wait in enumerate((1, 2, 4), start=1):
        clock.advance(wait * TEN_MINUTES.total_seconds())
        await probes.run()
        await probes.run()
        assert len(sender.requests) == number
    webhook = database.tables.webhooks[made.id].webhook
    assert (webhook.enabled, webhook.version, webhook.probes) == (False, version, 3)
    assert webhook.probe_at == clock.now() + 8 * TEN_MINUTES
    assert (enabled, database.tables.audit) == ([], {})


async def test_nothing_is_sent_without_the_choice(
    probes: ReenableProbes, unit_of_work: UnitOfWorkFactory, sender: FakeWebhookSender, clock: FakeClock
) -> None:
    await disabled(unit_of_work, clock, Reenable.NEVER)
    await samples.add_webhook(unit_of_work, clock, reenable=Reenable.PROBE, enabled=False)
    clock.advance(1e6)
    await probes.run()
    assert sender.requests == []


@pytest.mark.parametrize(
    "change", [{"disabled_reason": None, "version": 9}, {"reenable": Reenable.NEVER}, {"version": 9}]
)
async def test_a_change_during_a_probe_is_stronger(
    probes: ReenableProbes,
    database: FakeDatabase,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
    change: dict[str, object],
) -> None:
    """Such as of a user who enabled and disabled it meanwhile."""
    made = await disabled(unit_of_work, clock)

    def receive(_: object) -> Outcome:
        row = database.tables.webhooks[made.id]
        database.tables.webhooks[made.id] = replace(row, webhook=replace(row.webhook, **change))
        return Outcome(latency_ms=5.0, status_code=200)

    sender.receiver = receive
    clock.advance(TEN_MINUTES.total_seconds())
    await probes.run()
    assert len(sender.requests) == 1
    assert not database.tables.webhooks[made.id].webhook.enabled
    assert enabled == []


async def test_an_outage_postpones_the_probes_that_were_taken(
    probes: ReenableProbes,
    database: FakeDatabase,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> None:
    made = await disabled(unit_of_work, clock)

    def receive(_: object) -> Outcome:
        database.down = True
        return Outcome(latency_ms=5.0, status_code=200)

    sender.receiver = receive
    clock.advance(TEN_MINUTES.total_seconds())
    with pytest.raises(Unavailable):
        await probes.run()
    database.down = False
    assert database.tables.webhooks[made.id].webhook.probe_at == clock.now() + 2 * TEN_MINUTES
    assert enabled == []


async def test_a_webhook_that_is_deleted_during_its_probe_is_left_out(
    probes: ReenableProbes,
    database: FakeDatabase,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> None:
    made = await disabled(unit_of_work, clock)

    def receive(_: object) -> Outcome:
        row = database.tables.webhooks[made.id]
        database.tables.webhooks[made.id] = replace(row, deleted_at=clock.now())
        return Outcome(latency_ms=5.0, status_code=200)

    sender.receiver = receive
    clock.advance(TEN_MINUTES.total_seconds())
    await probes.run()
    assert (len(sender.requests), enabled) == (1, [])


async def test_many_are_probed_in_batches_and_one_that_raises_stops_none(
    probes: ReenableProbes,
    unit_of_work: UnitOfWorkFactory,
    sender: FakeWebhookSender,
    clock: FakeClock,
    enabled: list[UUID],
) -> None:
    made = [await disabled(unit_of_work, clock) for _ in range(BATCH + 3)]

    def receive(request: object) -> Outcome:
        if len(sender.requests) == 1:
            raise RuntimeError("a defect")
        return Outcome(latency_ms=5.0, status_code=200)

    sender.receiver = receive
    clock.advance(TEN_MINUTES.total_seconds())
    with pytest.raises(ExceptionGroup):
        await probes.run()
    await probes.run()
    assert len(sender.requests) == len(made)
    assert len(enabled) == len(made) - 1
