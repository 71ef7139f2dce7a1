"""Replays and backfills: counted and started by a request. Each is a job."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.delivery.backfill import DELIVERIES_KEPT_S
from monitor.domain.delivery.job import BackfillParameters, ReplayParameters, new_job
from monitor.domain.delivery.replay import ReplayCount, ReplaySpec, ReplayView, check_replay, parameters_of, shown
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.backfills import count_missing
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.vocab import Actor


class ReplayCommands:
    """Start replays, and read their progress."""

    def __init__(
        self, unit_of_work: UnitOfWorkFactory, clock: Clock, *, deliveries_kept_s: float = DELIVERIES_KEPT_S
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._deliveries_kept_s = deliveries_kept_s

    async def start(
        self, webhook_id: UUID, spec: ReplaySpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> ReplayView | ReplayCount:
        """
        Count the deliveries that *spec* chooses and, unless it is a dry run, store a replay of these.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            NotFound: there is no such webhook.
            Invalid: *spec* breaks a rule.
            IdempotencyMismatch: *key* came with another body.
        """
        check_replay(spec)
        scope = f"{actor.subject} replays {webhook_id}"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, ReplayView):
                return done
            # Not locked: counting may take seconds, and claims and settles of the webhook go on meanwhile.
            await uow.webhooks.read(webhook_id)
            chosen = parameters_of(webhook_id, spec, uow.now)
            total = await self._count(uow, chosen)
            if spec.dry_run:
                return ReplayCount(total)
            replay = new_job(self._clock.new_id(), chosen, created_by=actor.subject, now=uow.now, total=total)
            await uow.jobs.add(replay)
            after = msgspec.to_builtins(spec) | {"total": total}
            await uow.audit.add(actor, "webhook.replay", f"webhook:{webhook_id}", before=None, after=after)
            await store_response(uow, scope, key, shown(replay))
            await uow.commit()
        return shown(replay)

    async def show(self, replay_id: UUID) -> ReplayView:
        """Return a replay with its progress. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            return shown(await uow.jobs.get(replay_id))

    async def _count(self, uow: UnitOfWork, chosen: ReplayParameters | BackfillParameters) -> int:
        if isinstance(chosen, BackfillParameters):
            return await count_missing(uow, chosen, deliveries_kept_s=self._deliveries_kept_s)
        return await uow.queue.count_finished(chosen)
