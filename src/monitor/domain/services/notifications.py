"""Alert notifications: turns the queued ones into events with deliveries to subscribers."""

from __future__ import annotations

from monitor.domain.alerts.notification import NotificationRef
from monitor.domain.delivery.fan_out import NewEvent
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.fan_outs import add_events

BATCH = 100


class AlertNotifier:
    """Any number of processes may run it. Taking and publishing is one transaction, so each is published once."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def run(self) -> None:
        """Publish all queued notifications."""
        while await self.publish() == BATCH:
            pass

    async def publish(self) -> int:
        """Publish up to :data:`BATCH` notifications, the oldest first; return how many that were."""
        async with self._unit_of_work() as uow:
            notifications = await uow.notifications.take(BATCH)
            if not notifications:
                return 0
            events = [
                NewEvent(
                    id=self._clock.new_id(),
                    type=notification.type,
                    payload=notification.payload,
                    labels=notification.labels,
                    occurred_at=uow.now,
                    except_webhook=notification.except_webhook,
                )
                for notification in notifications
            ]
            await add_events(uow, events)
            await uow.alerts.link_events(
                [
                    NotificationRef(notification.alert_id, notification.version, event.id)
                    for notification, event in zip(notifications, events, strict=True)
                ]
            )
            await uow.commit()
        return len(notifications)
