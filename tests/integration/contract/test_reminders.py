"""What every ``ReminderStore`` must do."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from monitor.domain.alerts.alert import Alert
from monitor.domain.alerts.reminders import ReminderSchedule
from monitor.domain.delivery.reminders import DEFAULT_STEPS
from monitor.domain.vocab import Severity
from tests.integration.contract.alerts_made import make
from tests.integration.contract.world import World


async def critical(world: World) -> Alert:
    webhook = await world.add_webhook()
    return await make(world, webhook_id=webhook.id, at=world.clock.now(), severity=Severity.CRITICAL)


def schedule(alert: Alert, next_s: float, passed_s: int = 0) -> ReminderSchedule:
    return ReminderSchedule(alert.id, alert.raised_at, passed_s, alert.raised_at + timedelta(seconds=next_s))


async def save(world: World, *schedules: ReminderSchedule) -> None:
    async with world.unit_of_work() as uow:
        for one in schedules:
            await uow.reminders.save(one)
        await uow.commit()


async def due(world: World, limit: int = 10) -> list[ReminderSchedule]:
    async with world.unit_of_work() as uow:
        return await uow.reminders.due(limit)


async def test_schedules_come_when_they_are_due_the_earliest_first(world: World) -> None:
    later, earlier, future = [await critical(world) for _ in range(3)]
    schedules = [schedule(later, -10), schedule(earlier, -20, passed_s=300), schedule(future, 10_000)]
    await save(world, *schedules)
    assert await due(world) == [schedules[1], schedules[0]]
    assert await due(world, 1) == [schedules[1]]


async def test_an_alert_has_one_schedule(world: World) -> None:
    alert = await critical(world)
    await save(world, schedule(alert, -20))
    moved = replace(schedule(alert, -10), passed_s=900, since=alert.raised_at + timedelta(seconds=1))
    await save(world, moved)
    assert await due(world) == [moved]


async def test_a_removed_schedule_is_gone(world: World) -> None:
    alert, other = await critical(world), await critical(world)
    await save(world, schedule(alert, -20), schedule(other, -10))
    for _ in range(2):
        async with world.unit_of_work() as uow:
            await uow.reminders.remove(alert.id)
            await uow.commit()
    assert await due(world) == [schedule(other, -10)]


async def test_the_steps_are_those_of_destinations_that_get_critical_alerts(world: World) -> None:
    async def steps() -> set[int]:
        async with world.unit_of_work() as uow:
            return await uow.reminders.steps()

    await world.add_webhook(event_types=("*", "order.paid"), reminders=(86_400,))
    await world.add_webhook(event_types=("monitor.alert.raised",), reminders=(86_100,))
    await world.add_webhook(event_types=("monitor.alert.*",), reminders=(85_800,), enabled=False)
    await world.add_webhook(event_types=("monitor.alert.*",), reminders=(85_500,), labels={"severity": "warning"})
    await world.add_webhook(event_types=("monitor.alert.*",), reminders=())
    assert await steps() == set()
    await world.add_webhook(event_types=("monitor.alert.*",), labels={"severity": "critical", "team": "blue"})
    assert await steps() == set(DEFAULT_STEPS)
    await world.add_webhook(event_types=("monitor.alert.reminder",), labels={}, reminders=(300, 900))
    assert await steps() == {300, *DEFAULT_STEPS}


async def test_fan_outs_know_the_steps_of_a_subscription(world: World) -> None:
    own = await world.add_webhook(event_types=("monitor.alert.*",), labels={}, reminders=(300,))
    without = await world.add_webhook(event_types=("monitor.alert.*",), labels={})
    async with world.unit_of_work() as uow:
        found = await uow.events.subscriptions(["monitor.alert.reminder"], limit=10)
    assert {one.webhook_id: one.reminders for one in found or ()} == {own.id: (300,), without.id: DEFAULT_STEPS}
