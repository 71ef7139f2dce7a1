"""Fan-out of accepted events: the small ones within the request, the rest in chunks by workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from monitor.domain.delivery.event_types import patterns_for
from monitor.domain.delivery.fan_out import (
    CHUNK,
    REQUEST_MAX,
    NewDelivery,
    NewEvent,
    Subscription,
    fan_out,
    next_chunk,
    page_size,
)
from monitor.domain.delivery.job import FanOutParameters, described, fail, new_job
from monitor.domain.errors import NotFound, Unavailable
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.vocab import SYSTEM


class RequestFanOut(msgspec.Struct, frozen=True):
    """The events of one request, 1 to 1,000, with their deliveries; ``None`` if workers are to make all."""

    events: Sequence[NewEvent]
    deliveries: list[NewDelivery] | None

    def counts(self) -> Counter[UUID] | None:
        """Return how many deliveries each event has; ``None`` if workers are to make all."""
        return None if self.deliveries is None else Counter(delivery.event_id for delivery in self.deliveries)


async def add_events(uow: UnitOfWork, events: Sequence[NewEvent]) -> Counter[UUID] | None:
    """
    Store *events*, 1 to 1,000, with their deliveries or a fan-out. The cost is bounded, however many webhooks
    subscribe.

    Returns:
        how many deliveries each event has; ``None`` if workers are to make all.
    """
    (request,) = await request_fan_outs(uow, [events])
    await add_requests(uow, [request])
    return request.counts()


async def request_fan_outs(uow: UnitOfWork, requests: Sequence[Sequence[NewEvent]]) -> list[RequestFanOut]:
    """
    Return the first of *requests*, at least one, with what :func:`add_requests` stores. Each is left to workers if its
    deliveries may be more than :data:`REQUEST_MAX`: pairs with a matching type count.

    A transaction makes at most :data:`REQUEST_MAX` deliveries, so those of the other requests may be too many for it.
    """
    subscriptions = await _subscriptions_of(uow, [frozenset(event.type for event in events) for events in requests])
    found: list[RequestFanOut] = []
    count = 0
    for events, matching in zip(requests, subscriptions, strict=True):
        chunk = None if matching is None else fan_out(events, matching, REQUEST_MAX)
        if matching is None or chunk is None or chunk.subscriptions < len(matching):
            found.append(RequestFanOut(events, None))
            continue
        count += len(chunk.deliveries)
        if found and count > REQUEST_MAX:
            break
        found.append(RequestFanOut(events, chunk.deliveries))
    return found


async def add_requests(uow: UnitOfWork, requests: Sequence[RequestFanOut]) -> None:
    """Store the events of *requests*, with their deliveries or a fan-out each."""
    events = [event for one in requests for event in one.events]
    await uow.events.add(events, [delivery for one in requests for delivery in one.deliveries or ()])
    for one in requests:
        if one.deliveries is None:
            await uow.fan_outs.add(one.events)


async def _subscriptions_of(uow: UnitOfWork, requests: Sequence[frozenset[str]]) -> list[list[Subscription] | None]:
    """Return the subscriptions of the types of each request; ``None`` for one with more than :data:`REQUEST_MAX`."""
    types = frozenset[str]().union(*requests)
    found: dict[frozenset[str], list[Subscription] | None] = {}
    of_all = found[types] = await uow.events.subscriptions(types, limit=REQUEST_MAX)
    for one in set(requests) - {types}:
        if of_all is None:
            # Too many together, which need not hold for each.
            found[one] = await uow.events.subscriptions(one, limit=REQUEST_MAX)
        else:
            patterns = {pattern for type_ in one for pattern in patterns_for(type_)}
            found[one] = [each for each in of_all if not patterns.isdisjoint(each.event_types)]
    return [found[one] for one in requests]


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

        One with a chunk that fails, or takes too long, is left to a job: it must not be first in line for ever. The job
        makes its chunks later, and ends it after some errors.

        Returns:
            ``None`` if no fan-out is unfinished, or others have all.

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
