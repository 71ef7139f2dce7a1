"""Bulk work on deliveries: counted and started by a request, and the chunks of its job."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.delivery.bulk import (
    BulkAction,
    BulkCount,
    BulkLook,
    BulkSpec,
    bulk_action,
    bulk_parameters,
    check_bulk,
)
from monitor.domain.delivery.job import BulkParameters, Chunk, JobView, new_job, shown_job
from monitor.domain.delivery.lane import probe_now
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.vocab import Actor


class BulkCommands:
    """Start retries, cancellations and resending of all deliveries that match a filter."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def start(
        self, spec: BulkSpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> JobView | BulkCount:
        """
        Count the deliveries that *spec* chooses and, unless it is a dry run, store a job that changes these.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            Invalid: *spec* breaks a rule, or its filter is empty.
            IdempotencyMismatch: *key* came with another body.
        """
        check_bulk(spec)
        scope = f"{actor.subject} changes deliveries"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, JobView):
                return done
            parameters = bulk_parameters(spec, uow.now)
            counted = await uow.bulk.count(spec.action, parameters.chosen)
            if spec.dry_run:
                return counted
            total = counted.count if counted.complete else None
            job = new_job(self._clock.new_id(), parameters, created_by=actor.subject, now=uow.now, total=total)
            await uow.jobs.add(job)
            after = {"filter": msgspec.to_builtins(parameters.chosen), "total": total}
            await uow.audit.add(actor, f"deliveries.{spec.action}", f"job:{job.id}", before=None, after=after)
            view = shown_job(job, uow.now)
            await store_response(uow, scope, key, view)
            await uow.commit()
        return view


async def bulk_chunk(
    uow: UnitOfWork,
    parameters: BulkParameters,
    *,
    after: UUID | None,
    skipped: tuple[UUID, ...],
    limit: int,
    per_s: float,
) -> Chunk:
    """
    Do the next chunk of bulk work: what was *skipped* before, then up to *limit* rows in all behind *after*.

    What another transaction has is skipped and waited for by later chunks, which go on with the rest meanwhile.
    """
    action, chosen = bulk_action(parameters), parameters.chosen
    again = await uow.bulk.look_again(action, chosen, skipped)
    room = limit - len(again)
    look = await uow.bulk.look(action, chosen, after=after, limit=room) if room > 0 else BulkLook((), after, more=True)
    found = dict((*again, *look.found))
    locked = await uow.queue.locked_elsewhere(set(found.values()))
    free = [id_ for id_, webhook_id in found.items() if webhook_id not in locked]
    change = await uow.bulk.change(action, chosen, free, per_s=per_s)
    if action is not BulkAction.CANCEL:
        # Attempts are requested: an open breaker admits its probe, once for what is spread over time.
        lanes = await uow.queue.lock_lanes(change.paced & set(change.changed), wait=False)
        await uow.queue.save_lanes([probe_now(lane, uow.now) for lane in lanes.values()])
    await uow.queue.wake(set(change.changed))
    left = [id_ for id_, webhook_id in found.items() if webhook_id in locked]
    rest = (*left, *change.skipped)
    return Chunk(len(change.changed), look.cursor, look.more or bool(rest), rest)
