"""Reminders: looks at unacknowledged critical alerts, and queues the notifications that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import msgspec

from monitor.domain.alerts import Alert, AlertPolicy, Identity, Remind
from monitor.domain.alerts.reminders import (
    ReminderSchedule,
    due_span,
    following,
    needs_reminders,
    reminder_of,
    reminder_text,
)
from monitor.domain.alerts.silences import Silence
from monitor.domain.delivery.reminders import STEP_S
from monitor.domain.errors import NotFound, UnreadableRow
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.alerts import WebhookRef, is_silenced, transition_alert

BATCH = 25


class AlertReminders:
    """
    Any number of processes may run it. A look moves its schedule on in the transaction that queues the reminder, so
    each step is sent at most once; steps that passed while no process ran are sent together.
    """

    def __init__(self, unit_of_work: UnitOfWorkFactory, policy: AlertPolicy) -> None:
        self._unit_of_work = unit_of_work
        self._policy = policy

    async def run(self) -> None:
        """Look at all alerts that are due."""
        while await self.look() == BATCH:
            pass

    async def look(self) -> int:
        """Look at up to :data:`BATCH` alerts; return how many that were."""
        async with self._unit_of_work() as uow:
            due = await uow.reminders.due(BATCH)
            if not due:
                return 0
            steps, silences = await uow.reminders.steps(), await uow.silences.active()
            for schedule in due:
                await self._look_at(uow, schedule, steps, silences)
            await uow.commit()
        return len(due)

    async def _look_at(
        self, uow: UnitOfWork, schedule: ReminderSchedule, steps: Collection[int], silences: Sequence[Silence]
    ) -> None:
        try:
            alert = await uow.alerts.get(schedule.alert_id)
        except UnreadableRow:
            # For a process that can read it; what is due then is sent late.
            later = uow.now + timedelta(seconds=STEP_S)
            await uow.reminders.save(msgspec.structs.replace(schedule, next_at=later))
            return
        after = following(schedule, uow.now)
        if after is None or not needs_reminders(alert):
            await uow.reminders.remove(alert.id)
        else:
            await uow.reminders.save(after)
        if needs_reminders(alert):
            await self._remind(uow, alert, schedule, steps, silences)

    async def _remind(
        self,
        uow: UnitOfWork,
        alert: Alert,
        schedule: ReminderSchedule,
        steps: Collection[int],
        silences: Sequence[Silence],
    ) -> None:
        span = due_span(schedule, uow.now, steps)
        webhook = None if span is None else await _webhook_of(uow, alert)
        if span is None or webhook is None:
            return
        silenced = is_silenced(silences, alert.webhook_id, webhook, alert.kind, uow.now)
        identity = Identity(alert.id, alert.webhook_id, alert.kind)
        trigger = Remind(reminder_text(alert, span), silenced)
        reminded = await transition_alert(uow, alert, trigger, identity=identity, webhook=webhook, policy=self._policy)
        if reminded is not None and reminded is not alert:
            await uow.notifications.add([reminder_of(reminded, span, webhook.name, webhook.labels)])


async def _webhook_of(uow: UnitOfWork, alert: Alert) -> WebhookRef | None:
    """Return the webhook of *alert*; ``None`` if it is deleted, so that the alert is about to be resolved."""
    if alert.webhook_id == SYSTEM_ID:
        return WebhookRef()
    try:
        webhook = await uow.webhooks.read(alert.webhook_id)
    except NotFound:
        return None
    except UnreadableRow:
        return WebhookRef("a webhook of another version")
    return WebhookRef(webhook.name, webhook.labels)
