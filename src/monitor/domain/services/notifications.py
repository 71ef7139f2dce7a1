"""Alert notifications: turns the queued ones into events with deliveries to subscribers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from uuid import UUID

from monitor.domain.alerts.links import with_links
from monitor.domain.alerts.notification import AlertNotification, NotificationRef
from monitor.domain.delivery.fan_out import NewEvent
from monitor.domain.delivery.order import alert_key
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.fan_outs import add_events

BATCH = 100


class AlertNotifier:
    """Any number of processes may run it. Taking and publishing is one transaction, so each is published once."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock, page: str | None = None) -> None:
        """*page* is the URL of the page, to which notifications link; without it there are no links."""
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._page = page

    async def run(self) -> None:
        """Publish all queued notifications."""
        while await self.publish() == BATCH:
            pass

    async def publish(self) -> int:
        """Publish up to :data:`BATCH` notifications, the oldest first; return how many that were."""
        async with self._unit_of_work() as uow:
            notifications = in_order(await uow.notifications.take(BATCH))
            if not notifications:
                return 0
            events = [
                NewEvent(
                    id=self._clock.new_id(),
                    type=notification.type,
                    payload=with_links(notification.payload, self._page),
                    labels=notification.labels,
                    occurred_at=uow.now,
                    except_webhook=notification.except_webhook,
                    reach=notification.reach,
                    told=notification.told,
                    # One that an older version of Monitor queued may not name its alert.
                    order_key=None if notification.alert_id == SYSTEM_ID else alert_key(notification.alert_id),
                )
                for notification in notifications
            ]
            await add_events(uow, events)
            await uow.queue.replace_older([event.id for event in events])
            await uow.alerts.link_events(
                [
                    NotificationRef(notification.alert_id, notification.version, event.id)
                    for notification, event in zip(notifications, events, strict=True)
                ]
            )
            await uow.commit()
        return len(notifications)


def in_order(notifications: Sequence[AlertNotification]) -> list[AlertNotification]:
    """
    Return *notifications* with those of each alert in the order of its history, in the places of these.

    Clocks of the queuing processes may differ by a second, and the last notification replaces those before.
    """
    of_alert: dict[UUID, deque[AlertNotification]] = {}
    for one in sorted(notifications, key=lambda one: one.version):
        of_alert.setdefault(one.alert_id, deque()).append(one)
    return [of_alert[one.alert_id].popleft() for one in notifications]
