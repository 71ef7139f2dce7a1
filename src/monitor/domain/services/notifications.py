"""Tells subscribers about alerts: turns what the outbox holds into events with their deliveries."""

from __future__ import annotations

from monitor.domain.delivery.fan_out import NewEvent, fan_out
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory

BATCH = 100


class AlertNotifier:
    """Any number of processes may run it. Taking and publishing is one transaction, so each is told exactly once."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def run(self) -> None:
        """Publish all that waits."""
        while await self.publish() == BATCH:
            pass

    async def publish(self) -> int:
        """Publish up to :data:`BATCH` announcements, the oldest first; return how many that were."""
        async with self._unit_of_work() as uow:
            waiting = await uow.notifications.take(BATCH)
            if not waiting:
                return 0
            told = [
                (NewEvent(self._clock.new_id(), a.type, a.payload, a.labels, uow.now), a.except_webhook)
                for a in waiting
            ]
            subscriptions = await uow.events.subscriptions({event.type for event, _ in told})
            deliveries = [
                delivery
                for event, excepted in told
                for delivery in fan_out([event], subscriptions, self._clock)
                if delivery.webhook_id != excepted
            ]
            await uow.events.add([event for event, _ in told], deliveries)
            await uow.commit()
        return len(waiting)
