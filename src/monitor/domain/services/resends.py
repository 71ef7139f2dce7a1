"""Resends: one event delivered again, to the webhooks that match it or to some; a large one is a job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from monitor.domain.delivery.backfill import matching, numbered
from monitor.domain.delivery.fan_out import REQUEST_MAX, FanOut, FanOutEvent, NewDelivery
from monitor.domain.delivery.job import Chunk, Job, ResendParameters, new_job
from monitor.domain.errors import Conflict, FieldError, Invalid, NotFound
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.vocab import Actor

NAMED_MAX = 200
"""Webhooks that a request may name."""


class ResendSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which webhooks an event is delivered again: all that match it now, or some."""

    webhook_ids: (
        Annotated[
            list[UUID], Meta(min_length=1, max_length=NAMED_MAX, description="Only these; all that match if left out.")
        ]
        | None
    ) = None


class ResendView(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a resend did. ``requeued`` deliveries were finished and are sent again, ``created`` ones are new, and
    ``pending`` ones were waiting already and are left as they are. ``job`` does it all if it is too much for a request.
    """

    event_id: UUID
    requeued: int = 0
    created: int = 0
    pending: int = 0
    job: UUID | None = None


class ResendCommands:
    """Deliver events again."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def resend(
        self, event_id: UUID, spec: ResendSpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> ResendView:
        """
        Deliver an event again, or start a job that does so if more than :data:`REQUEST_MAX` webhooks match its type.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            NotFound: there is no such event.
            Conflict: it is past retention, or its fan-out is not done.
            Invalid: a named webhook is unknown, or neither matches the event nor has a delivery of it.
            IdempotencyMismatch: *key* came with another body.
        """
        scope = f"{actor.subject} resends {event_id}"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, ResendView):
                return done
            event = await uow.backfills.event(event_id)
            view = await self._send(uow, event, spec, actor)
            after = msgspec.to_builtins(spec) | msgspec.to_builtins(view)
            await uow.audit.add(actor, "event.resend", f"event:{event_id}", before=None, after=after)
            await store_response(uow, scope, key, view)
            await uow.commit()
        return view

    async def _send(self, uow: UnitOfWork, event: FanOutEvent, spec: ResendSpec, actor: Actor) -> ResendView:
        id_ = self._clock.new_id()
        if spec.webhook_ids is not None:
            return await _send_to_named(uow, event, list(dict.fromkeys(spec.webhook_ids)), id_)
        subscriptions = await uow.events.subscriptions({event.type}, limit=REQUEST_MAX)
        if subscriptions is None:
            job = new_job(id_, ResendParameters(event_id=event.id), created_by=actor.subject, now=uow.now)
            await uow.jobs.add(job)
            return ResendView(event_id=event.id, job=job.id)
        return await _send_again(uow, event, matching([event], subscriptions), id_)


async def resend_chunk(uow: UnitOfWork, job: Job, chosen: ResendParameters, *, limit: int) -> Chunk:
    """Deliver an event again to the next of the webhooks that match it, at most *limit*."""
    try:
        event = await uow.backfills.event(chosen.event_id)
    except (NotFound, Conflict):
        # Past retention by now.
        return Chunk(0, job.cursor, more=False)
    wanted = FanOut(id=event.id, events=(event,), accepted_at=uow.now, after=job.cursor)
    page = await uow.fan_outs.subscriptions(wanted, limit)
    sent = await _send_again(uow, event, matching([event], page.subscriptions), job.id, job.done)
    return Chunk(sent.requeued + sent.created, page.last or job.cursor, more=page.last is not None)


async def _send_to_named(uow: UnitOfWork, event: FanOutEvent, webhook_ids: Sequence[UUID], id_: UUID) -> ResendView:
    named = [NewDelivery(event.id, event.id, webhook_id, event.order_key) for webhook_id in webhook_ids]
    subscriptions = await uow.backfills.subscriptions(webhook_ids)
    known = {one.webhook_id for one in subscriptions}
    await uow.queue.lock_lanes(webhook_ids)
    allowed = {one.webhook_id for one in matching([event], subscriptions)}
    allowed |= {webhook_id for _, webhook_id in await uow.backfills.existing(named)}
    errors = [
        FieldError(f"/webhook_ids/{i}", UNMATCHED if one.webhook_id in known else "There is no webhook with this id.")
        for i, one in enumerate(named)
        if one.webhook_id not in allowed & known
    ]
    if errors:
        raise Invalid("The event cannot be sent to a webhook; see errors.", errors=tuple(errors[:20]))
    return await _send_again(uow, event, named, id_)


UNMATCHED = "Leave it out, or change it: it is disabled or does not match the event, and has no delivery of it."


async def _send_again(
    uow: UnitOfWork, event: FanOutEvent, wanted: Collection[NewDelivery], id_: UUID, done: int = 0
) -> ResendView:
    webhook_ids = [one.webhook_id for one in wanted]
    await uow.queue.lock_lanes(webhook_ids)
    now = await uow.queue.clock()
    requeued = await uow.backfills.requeue(event.id, webhook_ids)
    existing = await uow.backfills.existing(wanted)
    missing = [one for one in wanted if (one.event_id, one.webhook_id) not in existing]
    if missing:
        await uow.backfills.add(numbered(missing, id_, now, done), [0.0] * len(missing))
    return ResendView(
        event_id=event.id,
        requeued=len(requeued),
        created=len(missing),
        pending=len(wanted) - len(requeued) - len(missing),
    )
