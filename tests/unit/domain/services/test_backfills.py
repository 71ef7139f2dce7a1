"""Backfills from the request to the last chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from monitor.domain.delivery.backfill import COMMITTED_S
from monitor.domain.delivery.fan_out import NewEvent
from monitor.domain.delivery.job import BackfillParameters, JobState, new_job
from monitor.domain.delivery.replay import ReplayCount, ReplaySource, ReplaySpec, ReplayView
from monitor.domain.errors import Invalid, NotFound
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import backfills as counting
from monitor.domain.services import jobs as service
from monitor.domain.services.fan_outs import FanOutCommands
from monitor.domain.services.jobs import REPLAY_PER_S, JobCommands
from monitor.domain.services.replays import ReplayCommands
from monitor.domain.services.webhooks import WebhookCommands
from monitor.domain.views.webhooks import WebhookView
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.missed import FAN_OUT_S, since_disabled
from monitor.domain.webhooks.registration import WebhookChangeSpec
from tests import samples
from tests.fakes.clock import START, FakeClock
from tests.fakes.postgres.database import FakeDatabase
from tests.fakes.postgres.queries.resources import FakeQueries
from tests.unit.domain.services.test_webhooks import FakeSigning, any_version, canonical

HOUR = timedelta(hours=1)


@pytest.fixture
def replays(unit_of_work: UnitOfWorkFactory, clock: FakeClock) -> ReplayCommands:
    return ReplayCommands(unit_of_work, clock)


@pytest.fixture
def jobs(unit_of_work: UnitOfWorkFactory) -> JobCommands:
    return JobCommands(unit_of_work)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHUNK", 2)
    monkeypatch.setattr(counting, "COUNT_CHUNK", 2)


def spec(**changes: Any) -> ReplaySpec:
    members: dict[str, Any] = {"from_at": START - HOUR, "to_at": START + HOUR, "source": ReplaySource.EVENTS}
    return ReplaySpec(**members | changes)


async def publish(unit_of_work: UnitOfWorkFactory, clock: FakeClock, count: int, **changes: Any) -> list[NewEvent]:
    """Store events that find no webhook, and let them become old enough."""
    events = [samples.event(clock, **changes) for _ in range(count)]
    async with unit_of_work() as uow:
        await uow.events.add(events, [])
        await uow.commit()
    clock.advance(COMMITTED_S + 1)
    return events


async def run(jobs: JobCommands, clock: FakeClock) -> None:
    """Do the jobs once all that is stored is old enough."""
    clock.advance(COMMITTED_S)
    for _ in range(50):
        if not await jobs.step():
            return
    raise AssertionError("the jobs do not end")


def delivered_to(database: FakeDatabase, webhook_id: UUID) -> list[UUID]:
    """Return the events of the deliveries of a webhook, in the order of the deliveries' ids."""
    return [one.event_id for _, one in sorted(database.tables.deliveries.items()) if one.webhook_id == webhook_id]


def ids(events: Sequence[NewEvent]) -> list[UUID]:
    return [event.id for event in events]


async def test_what_was_published_before_a_webhook_existed_is_delivered_in_its_order(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    events = await publish(unit_of_work, clock, 5)
    webhook = await samples.add_webhook(unit_of_work, clock)
    assert await replays.start(webhook.id, spec(dry_run=True), samples.ACTOR) == ReplayCount(5)
    to_at = clock.now() - timedelta(seconds=COMMITTED_S)
    started = await replays.start(webhook.id, spec(to_at=to_at), samples.ACTOR)
    assert isinstance(started, ReplayView)
    assert (started.source, started.total, started.queued) == (ReplaySource.EVENTS, 5, 0)
    assert [await jobs.step() for _ in range(4)] == [True, True, True, False]
    assert delivered_to(database, webhook.id) == ids(events)
    made = [one for _, one in sorted(database.tables.deliveries.items())]
    assert all(one.replayed for one in made)
    first = made[0].due_at
    assert [round((one.due_at - first).total_seconds() * REPLAY_PER_S) for one in made] == [0, 1, 2, 3, 4]
    shown = await replays.show(started.id)
    assert (shown.state, shown.queued) == (JobState.DONE, 5)
    assert [row.action for row in database.tables.audit.values()] == ["webhook.replay"]


async def test_an_event_with_a_delivery_is_left_out_whether_it_waits_or_is_finished(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock)
    waiting, finished = await samples.add_deliveries(unit_of_work, clock, webhook.id, 2)
    async with unit_of_work() as uow:
        await uow.queue.finish([Finish(finished, DeliveryState.DELIVERED)])
        await uow.commit()
    [missing] = await publish(unit_of_work, clock, 1)
    for _ in range(2):
        await replays.start(webhook.id, spec(), samples.ACTOR)
    await asyncio.gather(run(jobs, clock), run(jobs, clock))
    [made] = [one for one in database.tables.deliveries.values() if one.id != waiting]
    assert made.event_id == missing.id
    assert finished in database.tables.finished


async def test_only_events_that_match_now_are_delivered(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    blue = {"team": "blue"}
    await publish(unit_of_work, clock, 3, type="stock.low", labels=blue)
    await publish(unit_of_work, clock, 3, type="order.paid")
    [match] = await publish(unit_of_work, clock, 1, type="order.paid", labels=blue | {"region": "eu"})
    changes = {"event_types": ("order.*",), "labels": blue}
    webhook = await samples.add_webhook(unit_of_work, clock, **changes)
    await replays.start(webhook.id, spec(), samples.ACTOR)
    await run(jobs, clock)
    assert delivered_to(database, webhook.id) == [match.id]


async def test_what_is_too_young_is_waited_for_and_what_comes_later_left_out(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    [old] = await publish(unit_of_work, clock, 1)
    webhook = await samples.add_webhook(unit_of_work, clock)
    clock.advance(1.0)
    late = samples.event(clock)
    clock.advance(0.001)
    started = await replays.start(webhook.id, spec(), samples.ACTOR)
    assert isinstance(started, ReplayView)
    assert await jobs.step()
    assert delivered_to(database, webhook.id) == [old.id]
    # Its request began before, and is committed behind the cursor's time.
    async with unit_of_work() as uow:
        await uow.events.add([late], [])
        await uow.commit()
    clock.advance(0.01)
    await publish(unit_of_work, clock, 1)
    await run(jobs, clock)
    assert delivered_to(database, webhook.id) == [old.id, late.id]
    assert (await jobs.show(started.id)).state is JobState.DONE


async def test_a_fan_out_under_way_makes_its_delivery_itself(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock)
    before, *_ = await publish(unit_of_work, clock, 1)
    event = samples.event(clock)
    async with unit_of_work() as uow:
        await uow.events.add([event], [])
        await uow.fan_outs.add([event])
        await uow.commit()
    [behind] = await publish(unit_of_work, clock, 1)
    await replays.start(webhook.id, spec(), samples.ACTOR)
    for _ in range(5):
        assert await jobs.step()
    assert delivered_to(database, webhook.id) == [before.id]
    await FanOutCommands(unit_of_work).step()
    await run(jobs, clock)
    assert sorted(delivered_to(database, webhook.id)) == [before.id, event.id, behind.id]


async def test_a_cancelled_backfill_makes_no_more_and_a_deleted_webhook_gets_nothing(
    replays: ReplayCommands,
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    events = await publish(unit_of_work, clock, 5)
    webhook = await samples.add_webhook(unit_of_work, clock)
    started = await replays.start(webhook.id, spec(), samples.ACTOR)
    assert isinstance(started, ReplayView)
    await jobs.step()
    await jobs.cancel(started.id, samples.ACTOR)
    assert not await jobs.step()
    assert delivered_to(database, webhook.id) == ids(events)[:2]
    await replays.start(webhook.id, spec(), samples.ACTOR)
    async with unit_of_work() as uow:
        await uow.webhooks.remove(webhook.id)
        await uow.commit()
    await run(jobs, clock)
    assert delivered_to(database, webhook.id) == ids(events)[:2]
    with pytest.raises(NotFound):
        await replays.start(webhook.id, spec(), samples.ACTOR)


async def test_what_may_have_been_delivered_and_forgotten_is_left_out(
    unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase
) -> None:
    await publish(unit_of_work, clock, 1)
    clock.advance(HOUR.total_seconds())
    [kept] = await publish(unit_of_work, clock, 1)
    webhook = await samples.add_webhook(unit_of_work, clock)
    chosen = BackfillParameters(webhook_id=webhook.id, from_at=START - HOUR, to_at=clock.now())
    async with unit_of_work() as uow:
        await uow.jobs.add(new_job(clock.new_id(), chosen, created_by="ada", now=clock.now()))
        await uow.commit()
    await run(JobCommands(unit_of_work, deliveries_kept_s=HOUR.total_seconds()), clock)
    assert delivered_to(database, webhook.id) == [kept.id]


async def test_states_go_with_deliveries_alone(replays: ReplayCommands) -> None:
    with pytest.raises(Invalid) as refused:
        await replays.start(UUID(int=7), spec(states=[DeliveryState.FAILED]), samples.ACTOR)
    assert [error.pointer for error in refused.value.errors] == ["/states"]


def enabling(patched: object) -> WebhookChangeSpec:
    return msgspec.convert(patched, WebhookChangeSpec)


async def test_enabling_a_webhook_starts_a_backfill_of_what_found_it_disabled(
    jobs: JobCommands,
    unit_of_work: UnitOfWorkFactory,
    queries: FakeQueries,
    clock: FakeClock,
    database: FakeDatabase,
) -> None:
    registry = WebhookCommands(unit_of_work, queries, clock, FakeSigning(), canonical)
    webhook = await samples.add_webhook(unit_of_work, clock)
    clock.advance(HOUR.total_seconds())

    async def change(**changes: object) -> WebhookView:
        return await registry.patch(webhook.id, changes, samples.ACTOR, require=any_version, read=enabling)

    disabled = await change(enabled=False)
    assert disabled.disabled_at == clock.now()
    missed = await publish(unit_of_work, clock, 3)
    # A change while it is disabled does not hide since when it is.
    changed = await change(description="Soon back.")
    assert changed.disabled_at == disabled.disabled_at
    with pytest.raises(Invalid) as refused:
        await change(description="Still disabled.", backfill=True)
    assert [error.pointer for error in refused.value.errors] == ["/backfill"]
    enabled = await change(enabled=True, backfill=True)
    assert isinstance(enabled.backfill_job, UUID)
    assert enabled.disabled_at is None
    with pytest.raises(Invalid):
        await change(enabled=True, backfill=True)
    clock.advance(COMMITTED_S)
    await run(jobs, clock)
    assert delivered_to(database, webhook.id) == ids(missed)
    assert (await jobs.show(enabled.backfill_job)).state is JobState.DONE
    assert (await change(description="Back.")).backfill_job is msgspec.UNSET


def test_a_backfill_begins_at_the_last_known_change_if_the_time_of_disabling_is_not_known(clock: FakeClock) -> None:
    webhook = samples.webhook(clock, enabled=False)
    later = msgspec.structs.replace(webhook, updated_at=START + HOUR)
    assert since_disabled(webhook, START + HOUR).from_at == webhook.created_at
    assert since_disabled(later, START + HOUR).from_at == START + HOUR - timedelta(seconds=FAN_OUT_S)


async def test_a_count_holds_what_a_chunk_will_only_look_at_later(
    replays: ReplayCommands, unit_of_work: UnitOfWorkFactory, clock: FakeClock
) -> None:
    webhook = await samples.add_webhook(unit_of_work, clock, enabled=False)
    async with unit_of_work() as uow:
        await uow.events.add([samples.event(clock)], [])
        await uow.commit()
    # Younger than what is sure to be committed, and the page asks now.
    clock.advance(1.0)
    assert await replays.start(webhook.id, spec(dry_run=True), samples.ACTOR) == ReplayCount(1)


async def test_a_count_looks_at_a_bounded_number_of_events(
    unit_of_work: UnitOfWorkFactory, clock: FakeClock, replays: ReplayCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(unit_of_work, clock, 5)
    webhook = await samples.add_webhook(unit_of_work, clock)
    monkeypatch.setattr(counting, "EXAMINED_MAX", 4)
    assert await replays.start(webhook.id, spec(dry_run=True), samples.ACTOR) == ReplayCount(4)
