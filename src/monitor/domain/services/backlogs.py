"""Send now: what waits for a webhook is attempted as soon as its limits allow."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from monitor.domain.delivery.held import Held, held_webhook
from monitor.domain.delivery.job import SendNowParameters, new_job
from monitor.domain.delivery.lane import probe_now
from monitor.domain.errors import Conflict
from monitor.domain.events import LaneChanged
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.jobs import CHUNK, REPLAY_PER_S
from monitor.domain.vocab import Actor


class SendNowView(msgspec.Struct, frozen=True, kw_only=True):
    """
    What sending now did. ``hastened`` deliveries waited for a later attempt and fall due, 50 a second; ``job`` hastens
    the others, if there are more than a request changes. ``held`` is what still keeps the webhook's deliveries from
    being sent; null if the next one is sent at once.
    """

    hastened: int
    job: UUID | None
    held: Held | None


class BacklogCommands:
    """Commands on what waits for a webhook."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def send_now(self, webhook_id: UUID, actor: Actor) -> SendNowView:
        """
        Make what waits for a webhook due, and the probe of an open breaker. Limits, order and a 429 hold as before.
        Safe to repeat: what is due already is left alone.

        Raises:
            NotFound.
            Conflict: the webhook is disabled or paused, so nothing would be sent.
        """
        async with self._unit_of_work() as uow:
            webhook = await uow.webhooks.get(webhook_id)
            if not webhook.enabled:
                raise Conflict("The webhook is disabled; enable it, and what waits is sent.")
            if webhook.paused_at is not None:
                raise Conflict("The webhook is paused; resume it, and what waits is sent.")
            lanes = await uow.queue.lock_lanes([webhook_id])
            changed = [probe_now(lane, uow.now) for lane in lanes.values()]
            await uow.queue.save_lanes(changed)
            first = await uow.bulk.hasten(webhook_id, after=None, limit=CHUNK, per_s=REPLAY_PER_S)
            job_id = None
            if first.more:
                parameters = SendNowParameters(webhook_id=webhook_id)
                job = new_job(self._clock.new_id(), parameters, created_by=actor.subject, now=uow.now, first=first)
                await uow.jobs.add(job)
                job_id = job.id
            after: dict[str, Any] = {"hastened": first.rows}
            if job_id is not None:
                after["job"] = str(job_id)
            await uow.audit.add(actor, "webhook.send_now", f"webhook:{webhook_id}", before=None, after=after)
            uow.record(LaneChanged(webhook_id))
            await uow.commit()
        held = [held_webhook(lane, enabled=True, paused=False, now=uow.now) for lane in changed]
        return SendNowView(hastened=first.rows, job=job_id, held=held[0] if held else None)
