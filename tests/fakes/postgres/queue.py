"""``FakeDeliveryQueue``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from types import MappingProxyType
from uuid import UUID

from msgspec.structs import replace

from monitor.domain.delivery.job import Chunk, ReplayParameters
from monitor.domain.delivery.lane import Lane
from monitor.domain.delivery.order import (
    BY_KEY,
    Order,
    QueuedDelivery,
    head_of,
    next_due_at,
    next_of,
    steps_aside,
)
from monitor.domain.delivery.quarantine import end_without_attempt
from monitor.domain.delivery.ready import is_ready
from monitor.domain.delivery.replay import COUNTED_MAX
from monitor.domain.errors import NotFound
from monitor.domain.ids import id_floor
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import ClaimedDelivery, Finish, LeaseState, Postpone
from monitor.domain.vocab import DeliveryState
from tests.fakes.postgres.database import FinishedDelivery, StoredDelivery, Tables, with_hold
from tests.fakes.postgres.turns import FakeTurns, move_to_finished

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class FakeDeliveryQueue(FakeTurns):
    """Locks nothing, since transactions take turns; only the lanes in ``FakeDatabase.locked`` are skipped as locked,
    and those in ``locked_once`` at the first look."""

    def __init__(
        self,
        tables: Tables,
        clock: Clock,
        woken: set[UUID],
        locked: Collection[UUID] = frozenset(),
        locked_once: set[UUID] | None = None,
    ) -> None:
        super().__init__(tables, clock, woken, locked)
        self._locked_once = set() if locked_once is None else locked_once

    async def clock(self) -> datetime:
        return self._clock.now()

    async def lock_lanes(self, webhook_ids: Collection[UUID], *, wait: bool = True) -> dict[UUID, Lane]:
        wanted = sorted(set(webhook_ids) if wait else set(webhook_ids) - set(self._locked) - self._locked_once)
        self._locked_once.clear()
        return {id_: self._lane(id_) for id_ in wanted if id_ in self._tables.lanes}

    async def locked_elsewhere(self, webhook_ids: Collection[UUID]) -> set[UUID]:
        return set(webhook_ids) & set(self._locked)

    async def lock_ready_lanes(
        self, hints: Collection[UUID] | None, limit: int, *, without: Collection[UUID] = ()
    ) -> dict[UUID, Lane]:
        unlocked = self._tables.lanes.keys() - set(self._locked) - set(without)
        wanted = [id_ for id_ in self._tables.lanes if id_ in unlocked and (hints is None or id_ in hints)]
        lanes = (replace(self._lane(id_), in_flight=self._in_flight(id_)) for id_ in wanted)
        ready = sorted(
            filter(self._is_ready, lanes), key=lambda lane: (lane.in_flight > 0, lane.last_attempt_at or _LONG_AGO)
        )
        return {lane.webhook_id: lane for lane in ready[:limit]}

    async def lease(
        self,
        capacities: Mapping[UUID, int],
        ordered: Mapping[UUID, Order],
        *,
        worker: str,
        lease_s: float,
        held: Collection[UUID] = (),
        since: Mapping[UUID, datetime] = MappingProxyType({}),
    ) -> list[ClaimedDelivery]:
        taken: list[UUID] = []
        for webhook_id, capacity in capacities.items():
            rows = [one.queued(self._now) for one in self._of(webhook_id)]
            order = ordered.get(webhook_id, False)
            # PostgreSQL marks what a claim walks over; here it walks over all that is due.
            for one in rows if order is BY_KEY else []:
                is_behind = one.due_at <= self._now and head_of(one, rows, order) not in (None, one)
                self._put(replace(self._tables.deliveries[one.id], behind=one.behind or is_behind))
            preceded = self._preceded(rows, webhook_id)
            rows = [one for one in rows if one.due_at > since.get(webhook_id, _LONG_AGO)]
            for chosen in next_of(rows, order, capacity, self._now, held, preceded):
                delivery = self._tables.deliveries[chosen.id]
                leased = replace(
                    delivery,
                    due_at=self._now + timedelta(seconds=lease_s),
                    fencing_token=delivery.fencing_token + 1,
                    leased_by=worker,
                    crashes=delivery.crashes + (delivery.leased_by is not None),
                )
                self._put(leased)
                taken.append(leased.id)
        sendable = []
        for leased in await self._take_turns(taken):
            end = end_without_attempt(leased.crashes, event_stored=leased.event_id in self._tables.events)
            if end is not None:
                await self.finish([Finish(leased.id, end[0], error=end[1])])
            else:
                sendable.append(self._claimed(leased))
        return sendable

    async def save_lanes(self, lanes: Sequence[Lane]) -> None:
        self._tables.lanes |= {lane.webhook_id: lane for lane in lanes if lane.webhook_id in self._tables.lanes}

    async def fence(self, leases: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
        return {delivery.id: delivery.schedule_from for delivery in self._held(leases)}

    async def renew(self, leases: Sequence[tuple[UUID, int]], *, lease_s: float) -> dict[tuple[UUID, int], LeaseState]:
        states = {}
        for delivery in self._held(leases):
            self._put(replace(delivery, due_at=self._now + timedelta(seconds=lease_s)))
            row = self._tables.webhooks[delivery.webhook_id]
            allowed = row.webhook.enabled and row.webhook.paused_at is None and row.deleted_at is None
            allowed = allowed and self._lane(delivery.webhook_id).held_until is None
            states[delivery.id, delivery.fencing_token] = LeaseState(True, allowed)
        return states

    async def release(self, leases: Sequence[tuple[UUID, int]], *, after_s: float = 0.0) -> None:
        for delivery in self._held(leases):
            self._put(replace(delivery, due_at=self._now + timedelta(seconds=after_s), leased_by=None))
            if not after_s:
                self._woken.add(delivery.webhook_id)

    async def finish(self, finished: Sequence[Finish]) -> None:
        gone = []
        for f in finished:
            if delivery := self._tables.deliveries.get(f.delivery_id):
                if f.new_attempts or f.error is not None:
                    delivery = replace(delivery, last_status_code=f.status_code, last_error=f.error)
                delivery = replace(delivery, attempts=delivery.attempts + f.new_attempts)
                move_to_finished(self._tables, delivery, f.state, self._now)
                self._advance(delivery)
                gone.append(delivery)
        await self._end_turns(gone)

    async def postpone(self, postponed: Sequence[Postpone]) -> None:
        settled = []
        for p in postponed:
            delivery = self._tables.deliveries.get(p.delivery_id)
            if delivery is None:
                continue
            self._put(
                replace(
                    delivery,
                    due_at=p.due_at,
                    leased_by=None,
                    attempts=delivery.attempts + 1,
                    schedule_from=delivery.schedule_from + p.uncounted,
                    crashes=0,
                    last_status_code=p.status_code,
                    last_error=p.error,
                    aside=delivery.aside or p.aside,
                    behind=delivery.behind and not p.aside,
                )
            )
            self._advance(delivery)
            settled.append(delivery)
        await self._end_turns(settled, replace_older=True)

    async def get(self, delivery_id: UUID) -> tuple[DeliveryState, UUID]:
        if delivery := self._tables.deliveries.get(delivery_id):
            return DeliveryState.PENDING, delivery.webhook_id
        if done := self._tables.finished.get(delivery_id):
            return done.state, done.webhook_id
        raise NotFound("There is no delivery with this id.")

    async def has_event(self, delivery_id: UUID) -> bool:
        row = self._tables.deliveries.get(delivery_id) or self._tables.finished.get(delivery_id)
        return row is not None and row.event_id in self._tables.events

    async def requeue(self, delivery_id: UUID) -> None:
        if done := self._tables.finished.get(delivery_id):
            self._move_back(done, self._now)
        delivery = self._tables.deliveries.get(delivery_id)
        if delivery is None:
            return
        due_at = delivery.due_at
        if delivery.leased_by is None or delivery.due_at <= self._now:
            rows = self._tables.deliveries.values()
            others = [d.due_at for d in rows if d.webhook_id == delivery.webhook_id and d.id != delivery_id]
            first = min(others, default=self._now) - timedelta(microseconds=1)
            due_at = min(self._now, first) if others else self._now
        self._put(replace(delivery, due_at=due_at, schedule_from=delivery.attempts))
        self._woken.add(delivery.webhook_id)

    async def wake(self, webhook_ids: Collection[UUID]) -> None:
        self._woken.update(webhook_ids)

    async def step_aside(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        webhook = self._tables.webhooks[webhook_id].webhook
        waiting = (one for one in sorted(self._of(webhook_id), key=attrgetter("id")) if after is None or one.id > after)
        examined, gone = [*waiting][:limit], 0
        for delivery in examined:
            waits = delivery.leased_by is None or delivery.due_at <= self._now
            attempts = delivery.attempts - delivery.schedule_from
            if waits and not delivery.aside and steps_aside(webhook.ordered, webhook.skip_after, attempts):
                self._put(replace(delivery, aside=True, behind=False))
                self._advance(delivery)
                self._woken.add(webhook_id)
                gone += 1
        return Chunk(gone, examined[-1].id if examined else after, len(examined) == limit)

    async def released(self, lanes: Collection[Lane]) -> set[UUID]:
        return {
            lane.webhook_id
            for lane in lanes
            if lane.resumed_at is not None
            and not any(
                d.webhook_id == lane.webhook_id and d.due_at <= lane.resumed_at
                for d in self._tables.deliveries.values()
            )
        }

    async def cancel_waiting(self, webhook_id: UUID, *, after: UUID | None, limit: int) -> Chunk:
        waiting = (d for _, d in sorted(self._tables.deliveries.items()) if d.webhook_id == webhook_id)
        chosen = [d for d in waiting if after is None or d.id > after][:limit]
        for delivery in chosen:
            move_to_finished(self._tables, delivery, DeliveryState.CANCELLED, self._now)
        return Chunk(len(chosen), chosen[-1].id if chosen else None, len(chosen) == limit)

    async def left_behind(self, limit: int) -> list[UUID]:
        waited_for = {d.webhook_id for d in self._tables.deliveries.values()}
        deleted = (id_ for id_, row in self._tables.webhooks.items() if row.deleted_at is not None)
        return [id_ for id_ in deleted if id_ in waited_for][:limit]

    async def count_finished(self, chosen: ReplayParameters) -> int:
        return sum(done.state in chosen.states for done in self._range(chosen)[:COUNTED_MAX])

    async def requeue_finished(
        self, chosen: ReplayParameters, *, after: UUID | None, limit: int, per_s: float, after_s: float
    ) -> Chunk:
        row = self._tables.webhooks.get(chosen.webhook_id)
        if row is None or row.deleted_at is not None:
            return Chunk(0, after, more=False)
        examined = [done for done in self._range(chosen) if after is None or done.id > after][:limit]
        back = [done for done in examined if done.state in chosen.states]
        for position, done in enumerate(back):
            self._move_back(done, self._now + timedelta(seconds=after_s + position / per_s), replayed=True)
        self._woken.add(chosen.webhook_id)
        return Chunk(len(back), examined[-1].id if examined else after, len(examined) == limit)

    def _range(self, chosen: ReplayParameters) -> list[FinishedDelivery]:
        lower, upper = id_floor(chosen.from_at), id_floor(chosen.to_at)
        finished = (done for _, done in sorted(self._tables.finished.items()))
        found = [done for done in finished if done.webhook_id == chosen.webhook_id and lower <= done.id < upper]
        if DeliveryState.DELIVERED in chosen.states:
            return found
        return [done for done in found if done.state is not DeliveryState.DELIVERED]

    def _move_back(self, done: FinishedDelivery, due_at: datetime, *, replayed: bool = False) -> None:
        del self._tables.finished[done.id]
        self._put(
            StoredDelivery(
                id=done.id,
                event_id=done.event_id,
                webhook_id=done.webhook_id,
                due_at=due_at,
                fencing_token=done.fencing_token,
                attempts=done.attempts,
                schedule_from=done.attempts,
                last_status_code=done.last_status_code,
                last_error=done.last_error,
                order_key=done.order_key,
                replayed=replayed,
            )
        )

    def _advance(self, gone: StoredDelivery) -> None:
        """Remove the mark of the head of the line that *gone* was in."""
        line = (gone.webhook_id, gone.order_key, gone.replayed)
        rest = [d for d in self._of(gone.webhook_id) if (d.webhook_id, d.order_key, d.replayed) == line and not d.aside]
        if gone.order_key is not None and rest:
            self._put(replace(min(rest, key=lambda one: one.id), behind=False))

    def _lane(self, webhook_id: UUID) -> Lane:
        row = self._tables.webhooks[webhook_id]
        return replace(
            with_hold(self._tables, self._tables.lanes[webhook_id], self._now),
            version=row.webhook.version,
            max_concurrency=row.webhook.max_concurrency,
            rate_limit=row.webhook.rate_limit,
            ordered=row.webhook.ordered,
            skip_after=row.webhook.skip_after,
            retry=row.webhook.retry,
            in_flight=0,
            deleted=row.deleted_at is not None,
        )

    def _is_ready(self, lane: Lane) -> bool:
        webhook = self._tables.webhooks[lane.webhook_id].webhook
        rows = [one.queued(self._now) for one in self._of(lane.webhook_id)]
        return is_ready(
            lane,
            enabled=webhook.enabled,
            paused=webhook.paused_at is not None,
            due_at=next_due_at(rows, lane.ordered, self._preceded(rows, lane.webhook_id)),
            now=self._now,
        )

    def _preceded(self, rows: Iterable[QueuedDelivery], webhook_id: UUID) -> set[UUID]:
        return {row.id for row in rows if self._is_preceded(row.id, webhook_id)}

    def _due(self, webhook_id: UUID) -> list[StoredDelivery]:
        due = (d for d in self._tables.deliveries.values() if d.webhook_id == webhook_id and d.due_at <= self._now)
        return sorted(due, key=lambda delivery: (delivery.due_at, delivery.id))

    def _in_flight(self, webhook_id: UUID) -> int:
        rows = self._tables.deliveries.values()
        return sum(d.webhook_id == webhook_id and d.leased_by is not None and d.due_at > self._now for d in rows)

    def _held(self, leases: Sequence[tuple[UUID, int]]) -> list[StoredDelivery]:
        rows = ((self._tables.deliveries.get(id_), fencing_token) for id_, fencing_token in leases)
        return [
            d
            for d, fencing_token in rows
            if d is not None and d.leased_by is not None and d.fencing_token == fencing_token
        ]

    def _claimed(self, delivery: StoredDelivery) -> ClaimedDelivery:
        event = self._tables.events[delivery.event_id].event
        return ClaimedDelivery(
            id=delivery.id,
            event_id=delivery.event_id,
            webhook_id=delivery.webhook_id,
            fencing_token=delivery.fencing_token,
            attempts=delivery.attempts,
            event_type=event.type,
            payload=event.payload,
            schedule_from=delivery.schedule_from,
            traceparent=event.traceparent,
        )
