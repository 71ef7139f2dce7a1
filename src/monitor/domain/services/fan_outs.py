"""Fan-out of accepted events: the small ones within the request, the rest in chunks by workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from monitor.domain.delivery.fan_out import CHUNK, REQUEST_MAX, NewEvent, fan_out, next_chunk, page_size
from monitor.domain.delivery.job import FanOutParameters, described, fail, new_job
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.vocab import SYSTEM


async def add_events(uow: UnitOfWork, events: Sequence[NewEvent]) -> Counter[UUID] | None:
    """
    Store *events*, 1 to 1,000, with their deliveries, or with a fan-out if those may be more than
    :data:`REQUEST_MAX`: pairs with a matching type count.

    The cost is bounded, however many webhooks subscribe.

    Returns:
        how many deliveries each event has; ``None`` if workers are to make all of them.
    """
    subscriptions = await uow.events.subscriptions({event.type for event in events}, limit=REQUEST_MAX)
    chunk = None if subscriptions is None else fan_out(events, subscriptions, REQUEST_MAX)
    if subscriptions is None or chunk is None or chunk.subscriptions < len(subscriptions):
        await uow.events.add(events, [])
        await uow.fan_outs.add(events)
        return None
    await uow.events.add(events, chunk.deliveries)
    return Counter(delivery.event_id for delivery in chunk.deliveries)


class FanOutResult(msgspec.Struct, frozen=True):
    """One chunk: how many deliveries it made, and whether it finished its fan-out. With an ``error`` it made none, and
    a job carries its fan-out on."""

    fan_out_id: UUID
    events: int
    deliveries: int
    is_finished: bool
    error: Exception | None = None


async def fan_out_chunk(uow: UnitOfWork, fan_out_id: UUID) -> FanOutResult:
    """
    Make the next deliveries of a fan-out, at most :data:`CHUNK`.

    Raises:
        NotFound: it is finished.
        UnreadableRow.
    """
    unfinished = await uow.fan_outs.get(fan_out_id)
    page = await uow.fan_outs.subscriptions(unfinished, page_size(unfinished.events, CHUNK))
    deliveries, rest = next_chunk(unfinished, page, CHUNK)
    if deliveries:
        await uow.events.add([], deliveries)
    if rest is None:
        await uow.fan_outs.remove(unfinished.id)
    else:
        await uow.fan_outs.save(rest)
    return FanOutResult(unfinished.id, len(unfinished.events), len(deliveries), rest is None)


class FanOutCommands:
    """Any number of processes may run :meth:`step`; each fan-out is locked by one at a time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work

    async def step(self) -> FanOutResult | None:
        """
        Make the next deliveries of one fan-out, at most :data:`CHUNK`, with its progress in one transaction.

        One whose chunk fails, or takes too long, is left to a job: it must not be first in line for ever. The job
        makes its chunks later, and ends it after some errors.

        Returns:
            ``None`` if no fan-out is unfinished, or others have them.

        Raises:
            Unavailable: nothing was done.
        """
        taken: UUID | None = None
        try:
            async with self._unit_of_work() as uow:
                taken = await uow.fan_outs.take()
                if taken is None:
                    return None
                result = await fan_out_chunk(uow, taken)
                await uow.commit()
                return result
        except Unavailable as error:
            if taken is not None and error.took_too_long:
                await self._leave_to_job(taken, error)
            raise
        except Exception as error:
            if taken is None:
                raise
            await self._leave_to_job(taken, error)
            return FanOutResult(taken, 0, 0, False, error)

    async def _leave_to_job(self, fan_out_id: UUID, error: Exception) -> None:
        async with self._unit_of_work() as uow:
            try:
                await uow.jobs.get(fan_out_id)
            except NotFound:
                parameters = FanOutParameters(event_id=fan_out_id)
                job = new_job(fan_out_id, parameters, created_by=SYSTEM.subject, now=uow.now)
                await uow.jobs.add(fail(job, described(error), uow.now))
                await uow.commit()
