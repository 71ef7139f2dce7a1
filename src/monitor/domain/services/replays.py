"""Replays: started by a request, worked off in steps by a background task."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.delivery.replay import Replay, ReplayCount, ReplaySpec, ReplayView, advance, check_replay, shown
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.idempotency import store_response, stored_response
from monitor.domain.vocab import Actor

STEP = 1_000
"""Deliveries that one step makes due again, in one transaction."""

PER_S = 50.0
"""Deliveries a second that a replay makes due for its webhook."""


class ReplayCommands:
    """Any number of processes may run :meth:`step`; each replay is locked by one at a time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def start(
        self, webhook_id: UUID, spec: ReplaySpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> ReplayView | ReplayCount:
        """
        Count the deliveries that *spec* chooses and, unless it is a dry run, store a replay of them.

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
            total = await uow.queue.count_finished(webhook_id, spec)
            if spec.dry_run:
                return ReplayCount(total)
            replay = Replay(
                id=self._clock.new_id(),
                webhook_id=webhook_id,
                from_at=spec.from_at,
                to_at=spec.to_at,
                states=tuple(spec.states),
                created_by=actor.subject,
                created_at=uow.now,
                total=total,
            )
            await uow.replays.add(replay)
            after = msgspec.to_builtins(spec) | {"total": total}
            await uow.audit.add(actor, "webhook.replay", f"webhook:{webhook_id}", before=None, after=after)
            await store_response(uow, scope, key, shown(replay))
            await uow.commit()
        return shown(replay)

    async def show(self, replay_id: UUID) -> ReplayView:
        """Return a replay with its progress. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            return shown(await uow.replays.get(replay_id))

    async def step(self) -> bool:
        """Make the next deliveries of one replay due; ``False`` if no replay is unfinished."""
        async with self._unit_of_work() as uow:
            replay = await uow.replays.take()
            if replay is None:
                return False
            # Each step follows the one before at the same pace, however fast the steps are made.
            ahead_s = max(replay.queued / PER_S - (uow.now - replay.created_at).total_seconds(), 0.0)
            moved, last = await uow.queue.requeue_finished(replay, limit=STEP, per_s=PER_S, after_s=ahead_s)
            await uow.replays.save(advance(replay, moved, last, full=moved == STEP, now=uow.now))
            await uow.commit()
        return True

    async def run(self) -> None:
        """Run steps until no replay is unfinished."""
        while await self.step():
            pass
