"""Commands on silences, and the periodic job that keeps those that repeat ahead of the clock."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitor.domain.alerts.recurrence import Expand
from monitor.domain.alerts.silences import Silence, SilenceSpec, advance, end_occurrence, plan_silence
from monitor.domain.errors import Conflict
from monitor.domain.events import SilencesChanged
from monitor.domain.ids import SYSTEM_ID
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.alerts import AlertQueries
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.services.idempotency import read_back, store_response, stored_response
from monitor.domain.views.silences import SilencePreview, SilenceView, occurrences_of, silence_view
from monitor.domain.vocab import Actor

MAX_HOLDING = 100
"""Silences that hold deliveries and have not ended: a claim looks at every one for each lane."""

ADVANCED = 50
"""Silences that one transaction of the periodic job advances."""


class SilenceCommands:
    """Commands on silences. Each writes one audit row in its transaction."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        alert_queries: AlertQueries,
        clock: Clock,
        expand: Expand,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._alert_queries = alert_queries
        self._clock = clock
        self._expand = expand

    async def create(
        self, spec: SilenceSpec, actor: Actor, *, key: str | None = None, body: bytes = b""
    ) -> SilenceView:
        """
        Create a silence: alerts that *spec* matches cause no notifications while it is active.

        Args:
            key: the Idempotency-Key, bound to *body* for 24 hours.

        Raises:
            Invalid: *spec* breaks a rule.
            Conflict: too many silences hold deliveries.
            IdempotencyMismatch: *key* came with another body.
        """
        scope = f"{actor.subject} silences"
        async with self._unit_of_work() as uow:
            if done := await stored_response(uow, scope, key, body, SilenceView):
                return await read_back(self._alert_queries.silence(done.id), done)
            view = await self.create_within(uow, spec, actor)
            await store_response(uow, scope, key, view)
            await uow.commit()
        return await read_back(self._alert_queries.silence(view.id), view)

    async def create_within(self, uow: UnitOfWork, spec: SilenceSpec, actor: Actor) -> SilenceView:
        """Create a silence in the transaction of the caller, which commits. See :meth:`create`."""
        silence = plan_silence(spec, uow.now, self._expand, id_=self._clock.new_id(), created_by=actor.subject)
        if spec.hold_deliveries and await uow.silences.holding() >= MAX_HOLDING:
            raise Conflict(f"{MAX_HOLDING} silences hold deliveries already; end one of them first.")
        await uow.silences.add(silence)
        await uow.audit.add(
            actor, "silence.create", f"silence:{silence.id}", before=None, after=msgspec.to_builtins(silence)
        )
        uow.record(SilencesChanged())
        return silence_view(silence, uow.now)

    async def preview(self, spec: SilenceSpec) -> SilencePreview:
        """Return when a silence would be active and what it would match, without creating it. Raises ``Invalid``."""
        planned = plan_silence(spec, await self._queries.now(), self._expand, id_=SYSTEM_ID, created_by="")
        found = await self._alert_queries.preview(spec)
        return msgspec.structs.replace(found, occurrences=occurrences_of(planned, self._expand))

    async def end(self, silence_id: UUID, actor: Actor) -> None:
        """End a silence, all of its occurrences, now; it stays in the list. Safe to repeat. Raises ``NotFound``."""
        async with self._unit_of_work() as uow:
            if await uow.silences.end(silence_id):
                await uow.audit.add(actor, "silence.end", f"silence:{silence_id}", before=None, after=None)
                uow.record(SilencesChanged())
            await uow.commit()

    async def end_occurrence(self, silence_id: UUID, actor: Actor) -> SilenceView:
        """
        End the occurrence that is active now; the next ones stay. Of a silence that does not repeat, end it. Safe to
        repeat: nothing is changed while none is active.

        Raises:
            NotFound.
        """
        async with self._unit_of_work() as uow:
            silence = await uow.silences.lock(silence_id)
            ended = _ended(silence, uow, self._expand)
            if ended is not silence:
                await uow.silences.save(ended)
                await uow.audit.add(actor, "silence.end_occurrence", f"silence:{silence_id}", before=None, after=None)
                uow.record(SilencesChanged())
            view = silence_view(ended, uow.now)
            await uow.commit()
        return await read_back(self._alert_queries.silence(silence_id), view)

    async def advance_due(self) -> int:
        """Store the next occurrences of the silences whose state changed, of which lists and lanes show the change;
        return how many there were."""
        async with self._unit_of_work() as uow:
            due = await uow.silences.due(ADVANCED)
            for silence in due:
                await uow.silences.save(advance(silence, uow.now, self._expand))
            if due:
                uow.record(SilencesChanged())
                await uow.commit()
        return len(due)

    async def run(self) -> None:
        """Advance every silence that is due."""
        while await self.advance_due() == ADVANCED:
            pass


def _ended(silence: Silence, uow: UnitOfWork, expand: Expand) -> Silence:
    if silence.recurrence is not None:
        return end_occurrence(silence, uow.now, expand)
    if not silence.is_active(uow.now):
        return silence
    return msgspec.structs.replace(silence, ends_at=uow.now, advance_at=None)
