"""Resends within a request, and as a job."""

from __future__ import annotations

from uuid import UUID

import pytest

from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.job import JobState
from monitor.domain.errors import Conflict, Invalid, NotFound
from monitor.domain.ports.queue import Finish
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services import jobs as job_service
from monitor.domain.services import resends as service
from monitor.domain.services.jobs import JobCommands
from monitor.domain.services.resends import ResendCommands, ResendSpec, ResendView
from monitor.domain.vocab import DeliveryState
from monitor.domain.webhooks.webhook import Webhook
from tests import samples
from tests.fakes.clock import FakeClock
from tests.fakes.postgres.database import FakeDatabase

UNKNOWN = UUID(int=7)
ALL = ResendSpec()


class Resends:
    """An event with a finished, a waiting and a missing delivery, and a webhook that it does not match."""

    event_id: UUID
    finished: Webhook
    waiting: Webhook
    missing: Webhook
    other: Webhook

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase) -> None:
        self.unit_of_work = unit_of_work
        self.clock = clock
        self.database = database
        self.commands = ResendCommands(unit_of_work, clock)

    async def prepare(self) -> None:
        self.finished, self.waiting, self.missing = [
            await samples.add_webhook(self.unit_of_work, self.clock) for _ in range(3)
        ]
        self.other = await samples.add_webhook(self.unit_of_work, self.clock, event_types=("stock.low",))
        event = samples.event(self.clock, order_key="7")
        made = [NewDelivery(self.clock.new_id(), event.id, one.id, "7") for one in (self.finished, self.waiting)]
        async with self.unit_of_work() as uow:
            await uow.events.add([event], made)
            await uow.queue.finish([Finish(made[0].id, DeliveryState.DELIVERED, 200, None, 1)])
            await uow.commit()
        self.event_id, self.made_ids = event.id, [one.id for one in made]

    async def resend(self, *webhook_ids: UUID, key: str | None = None) -> ResendView:
        spec = ResendSpec(list(webhook_ids)) if webhook_ids else ALL
        return await self.commands.resend(self.event_id, spec, samples.ACTOR, key=key, body=b"")

    def webhooks(self) -> list[UUID]:
        """Return the webhooks that a delivery waits for."""
        return sorted(one.webhook_id for one in self.database.tables.deliveries.values())


@pytest.fixture
async def resends(unit_of_work: UnitOfWorkFactory, clock: FakeClock, database: FakeDatabase) -> Resends:
    made = Resends(unit_of_work, clock, database)
    await made.prepare()
    return made


async def test_finished_ones_are_sent_again_waiting_ones_left_and_missing_ones_made(resends: Resends) -> None:
    assert await resends.resend() == ResendView(event_id=resends.event_id, requeued=1, created=1, pending=1)
    assert resends.webhooks() == sorted([resends.finished.id, resends.waiting.id, resends.missing.id])
    tables = resends.database.tables
    again, waiting = [tables.deliveries[id_] for id_ in resends.made_ids]
    assert (again.attempts, again.schedule_from, again.replayed) == (1, 1, True)
    assert not waiting.replayed
    [new] = [one for one in tables.deliveries.values() if one.webhook_id == resends.missing.id]
    assert (new.event_id, new.order_key, new.replayed) == (resends.event_id, "7", True)
    [audit] = tables.audit.values()
    assert (audit.action, audit.target) == ("event.resend", f"event:{resends.event_id}")


async def test_repeating_it_leaves_what_waits(resends: Resends) -> None:
    first = await resends.resend(key="k")
    assert await resends.resend(key="k") == first
    assert await resends.resend() == ResendView(event_id=resends.event_id, pending=3)


async def test_only_named_webhooks_get_it(resends: Resends) -> None:
    view = await resends.resend(resends.finished.id, resends.missing.id, resends.finished.id)
    assert view == ResendView(event_id=resends.event_id, requeued=1, created=1)


async def test_a_named_webhook_that_has_a_delivery_need_not_match_any_more(
    resends: Resends, unit_of_work: UnitOfWorkFactory
) -> None:
    async with unit_of_work() as uow:
        await uow.webhooks.disable(resends.finished.id, "Gone.")
        await uow.commit()
    assert await resends.resend(resends.finished.id) == ResendView(event_id=resends.event_id, requeued=1)
    assert await resends.resend() == ResendView(event_id=resends.event_id, created=1, pending=1)


async def test_a_named_webhook_that_is_unknown_or_does_not_match_is_refused(resends: Resends) -> None:
    with pytest.raises(Invalid) as refused:
        await resends.resend(resends.finished.id, UNKNOWN, resends.other.id)
    found = [(error.pointer, error.detail) for error in refused.value.errors]
    assert found == [
        ("/webhook_ids/1", "There is no webhook with this id."),
        ("/webhook_ids/2", service.UNMATCHED),
    ]
    assert resends.webhooks() == [resends.waiting.id]


async def test_an_event_that_cannot_be_sent_is_refused(resends: Resends, unit_of_work: UnitOfWorkFactory) -> None:
    with pytest.raises(NotFound):
        await resends.commands.resend(UNKNOWN, ALL, samples.ACTOR)
    del resends.database.tables.events[resends.event_id]
    with pytest.raises(Conflict, match="retention"):
        await resends.resend()


async def test_many_webhooks_are_left_to_a_job(
    resends: Resends, unit_of_work: UnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REQUEST_MAX", 2)
    monkeypatch.setattr(job_service, "RESEND_CHUNK", 1)
    view = await resends.resend()
    assert view.job is not None
    assert view == ResendView(event_id=resends.event_id, job=view.job)
    jobs, steps = JobCommands(unit_of_work), 0
    while steps < 50 and await jobs.step():
        steps += 1
    shown = await jobs.show(view.job)
    assert (shown.state, shown.done, shown.total, steps) == (JobState.DONE, 2, None, 4)
    assert resends.webhooks() == sorted([resends.finished.id, resends.waiting.id, resends.missing.id])


async def test_a_job_ends_when_its_event_is_past_retention(
    resends: Resends, unit_of_work: UnitOfWorkFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REQUEST_MAX", 2)
    view = await resends.resend()
    del resends.database.tables.events[resends.event_id]
    jobs = JobCommands(unit_of_work)
    assert await jobs.step()
    assert view.job is not None
    assert (await jobs.show(view.job)).state is JobState.DONE
