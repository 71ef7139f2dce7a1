"""Fan-out of accepted events: the small ones within the request, the rest in chunks by workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from monitor.domain.delivery.fan_out import CHUNK, REQUEST_MAX, NewEvent, fan_out, next_chunk, page_size
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory


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
    """One chunk: how many deliveries it made, and whether it finished its fan-out."""

    fan_out_id: UUID
    events: int
    deliveries: int
    is_finished: bool


class FanOutCommands:
    """Any number of processes may run :meth:`step`; each fan-out is locked by one at a time."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work

    async def step(self) -> FanOutResult | None:
        """
        Make the next deliveries of one fan-out, at most :data:`CHUNK`, with its progress in one transaction.

        Returns:
            ``None`` if no fan-out is unfinished, or others have them.
        """
        async with self._unit_of_work() as uow:
            unfinished = await uow.fan_outs.take()
            if unfinished is None:
                return None
            page = await uow.fan_outs.subscriptions(unfinished, page_size(unfinished.events, CHUNK))
            deliveries, rest = next_chunk(unfinished, page, CHUNK)
            if deliveries:
                await uow.events.add([], deliveries)
            if rest is None:
                await uow.fan_outs.remove(unfinished.id)
            else:
                await uow.fan_outs.save(rest)
            await uow.commit()
        return FanOutResult(unfinished.id, len(unfinished.events), len(deliveries), rest is None)
