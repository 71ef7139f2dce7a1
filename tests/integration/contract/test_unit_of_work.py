"""What every ``UnitOfWork`` must do."""

from __future__ import annotations

import pytest

from monitor.domain.delivery.fan_out import NewDelivery, NewEvent
from monitor.domain.delivery.selection import DeliveryFilter
from monitor.domain.errors import NotFound, UnknownOutcome
from monitor.domain.ports.queries.resources import AuditFilter, WebhookFilter
from monitor.domain.ports.repositories.attempts import AttemptRecord, MinuteRollup
from monitor.domain.views.webhooks import LastHour
from monitor.domain.vocab import DeliveryState
from tests import samples
from tests.integration.contract.world import World
from tests.samples import rollup_of


class Interrupted(Exception):
    """What a test throws out of a unit of work."""


async def write_everywhere(world: World, *, commit: bool, fail: bool) -> NewEvent:
    """Use every repository in one unit of work; return the event that it stored."""
    made, event = samples.webhook(world.clock), samples.event(world.clock)
    async with world.unit_of_work() as uow:
        await uow.webhooks.add(made, {}, samples.KEY)
        await uow.events.add([event], [NewDelivery(world.clock.new_id(), event.id, made.id)])
        await uow.attempts.add([AttemptRecord(id=world.clock.new_id(), webhook_id=made.id, outcome=samples.OK)])
        await uow.attempts.add_minutes(
            [MinuteRollup(made.id, uow.now.replace(second=0, microsecond=0), rollup_of([("ok", 1.0)]))]
        )
        await uow.audit.add(samples.ACTOR, "webhook.create", f"webhook:{made.id}", before=None, after=None)
        if fail:
            raise Interrupted
        if commit:
            await uow.commit()
    return event


async def test_a_commit_makes_everything_visible_together(world: World) -> None:
    event = await write_everywhere(world, commit=True, fail=False)
    assert await stored(world) == (1, 1, 1)
    assert len((await world.queries.audit_log(AuditFilter(), after=None, limit=10)).rows) == 1
    assert (await world.queries.event(event.id)).id == event.id


async def test_without_a_commit_nothing_happened(world: World) -> None:
    event = await write_everywhere(world, commit=False, fail=False)
    with pytest.raises(NotFound):
        await world.queries.event(event.id)
    await assert_empty(world)


async def test_an_error_in_the_block_undoes_it_and_passes_through(world: World) -> None:
    with pytest.raises(Interrupted):
        await write_everywhere(world, commit=True, fail=True)
    await assert_empty(world)


async def test_a_commit_whose_answer_is_lost_holds_and_its_outcome_is_unknown(world: World) -> None:
    world.lose_answers()
    with pytest.raises(UnknownOutcome):
        await write_everywhere(world, commit=True, fail=False)
    assert await stored(world) == (1, 1, 1)


async def assert_empty(world: World) -> None:
    assert await stored(world) == (0, 0, 0)
    assert (await world.queries.audit_log(AuditFilter(), after=None, limit=10)).rows == []


async def test_the_time_of_a_unit_of_work_stands_still(world: World) -> None:
    async with world.unit_of_work() as uow:
        await uow.audit.add(samples.ACTOR, "first", "-", before=None, after=None)
        await uow.audit.add(samples.ACTOR, "second", "-", before=None, after=None)
        now = uow.now
        await uow.commit()
    assert {row.at for row in (await world.queries.audit_log(AuditFilter(), after=None, limit=10)).rows} == {now}
    assert (await world.queries.now()) >= now


async def stored(world: World) -> tuple[int, int, int]:
    """Return how many deliveries wait, how many attempts the last hour counted, and how many webhooks there are."""
    waiting = (await world.queries.deliveries(DeliveryFilter(state=DeliveryState.PENDING), after=None, limit=10)).rows
    webhooks = await world.queries.webhooks(WebhookFilter(), after=None, limit=10)
    attempts = sum(webhook.last_hour.attempts for webhook in webhooks if isinstance(webhook.last_hour, LastHour))
    return len(waiting), attempts, len(webhooks)
