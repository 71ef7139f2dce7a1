"""Readiness has one rule: the pure function, the fake and the SQL agree on random rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from itertools import count
from typing import NamedTuple
from uuid import UUID

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import Breaker, BreakerState
from monitor.domain.delivery.fan_out import NewDelivery
from monitor.domain.delivery.lane import Lane, capacity
from monitor.domain.delivery.order import BY_KEY, Order, QueuedDelivery, head_of, next_due_at
from monitor.domain.delivery.rate_limit import RateLimit
from monitor.domain.delivery.ready import is_ready
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queue import Postpone
from monitor.domain.ports.unit_of_work import UnitOfWork
from tests import samples
from tests.integration.contract.world import World

LEASE_S = 60.0
HELD_ORDER, EXPIRED_ORDER, LATER = timedelta(days=-2), timedelta(days=-1), timedelta(days=1)


class Gate(Enum):
    OPEN = "open"
    DISABLED = "disabled"
    PAUSED = "paused"
    DELETED = "deleted"


class Lease(Enum):
    """Not leased, leased, or leased until this very moment."""

    NONE = "none"
    HELD = "held"
    EXPIRED = "expired"


class Waiting(NamedTuple):
    lease: Lease
    due_s: float
    order_key: str | None = None
    aside: bool = False


class Case(NamedTuple):
    """One webhook; every time is seconds from now."""

    gate: Gate
    ordered: Order
    max_concurrency: int
    rate_limit: RateLimit | None
    tokens: float | None
    tokens_s: float | None
    breaker: BreakerState
    until_s: float | None
    throttled_s: float | None
    deliveries: list[Waiting]

    def lane(self, id_: UUID, now: datetime) -> Lane:
        return Lane(
            webhook_id=id_,
            breaker=Breaker(self.breaker, _at(now, self.until_s), 1),
            tokens=self.tokens,
            tokens_at=_at(now, self.tokens_s),
            throttled_until=_at(now, self.throttled_s),
            max_concurrency=self.max_concurrency,
            rate_limit=self.rate_limit,
            ordered=self.ordered,
            in_flight=sum(one.lease is Lease.HELD for one in self.deliveries),
            deleted=self.gate is Gate.DELETED,
        )

    def is_ready(self, id_: UUID, ids: list[UUID], now: datetime) -> bool:
        rows = [
            QueuedDelivery(id=d, due_at=now + _due(one), order_key=one.order_key, aside=one.aside)
            for d, one in zip(ids, self.deliveries, strict=True)
        ]
        # Of what was posted together it is known at once.
        rows = [replace(row, behind=head_of(row, rows, self.ordered) not in (None, row)) for row in rows]
        return is_ready(
            self.lane(id_, now),
            enabled=self.gate is not Gate.DISABLED,
            paused=self.gate is Gate.PAUSED,
            due_at=next_due_at(rows, self.ordered),
            now=now,
        )


USUAL = Case(Gate.OPEN, False, 1, None, None, None, BreakerState.CLOSED, None, None, [Waiting(Lease.NONE, 0.0)])
HEAD_AND_OLDER_LEASE = [Waiting(Lease.NONE, 0.0), Waiting(Lease.HELD, 0.0)]
BEHIND_A_LATER_ONE = [Waiting(Lease.NONE, 1.0, "a"), Waiting(Lease.NONE, -1.0, "a")]
BEHIND_ONE_ASIDE = [Waiting(Lease.NONE, 1.0, "a", True), Waiting(Lease.NONE, -1.0, "a")]
LIMITED = USUAL._replace(rate_limit=RateLimit(10.0, 3), tokens=1.0)

around_now_s = st.sampled_from([-1e-6, 0.0, 1e-6]) | st.floats(-5, 5)
waiting = st.builds(
    Waiting, st.just(Lease.NONE), around_now_s, st.sampled_from([None, "a", "b"]), st.booleans()
) | st.sampled_from([Waiting(Lease.HELD, 0.0), Waiting(Lease.EXPIRED, 0.0)])
cases = st.builds(
    Case,
    # Most webhooks are enabled, so that the other conditions decide.
    gate=st.sampled_from([Gate.OPEN] * 5 + [Gate.DISABLED, Gate.PAUSED, Gate.DELETED]),
    ordered=st.sampled_from([False, True, "key"]),
    max_concurrency=st.integers(1, 3),
    rate_limit=st.none() | st.builds(RateLimit, per_s=st.floats(0.1, 10), burst=st.integers(1, 3)),
    tokens=st.none() | st.sampled_from([0.0, 1.0]) | st.floats(0, 2),
    tokens_s=st.none() | around_now_s,
    breaker=st.sampled_from([BreakerState.CLOSED] * 3 + [BreakerState.OPEN, BreakerState.HALF_OPEN]),
    until_s=st.none() | around_now_s,
    throttled_s=st.none() | st.none() | around_now_s,
    deliveries=st.lists(waiting, max_size=4),
)


def _at(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _due(one: Waiting) -> timedelta:
    return timedelta(seconds={Lease.NONE: one.due_s, Lease.HELD: LEASE_S, Lease.EXPIRED: 0.0}[one.lease])


async def store(uow: UnitOfWork, clock: Clock, case: Case) -> tuple[UUID, list[UUID]]:
    """Store the webhook and lane of *case*, and its deliveries as they were posted; return their ids."""
    webhook = samples.webhook(
        clock, max_concurrency=case.max_concurrency, rate_limit=case.rate_limit, ordered=case.ordered
    )
    await uow.webhooks.add(webhook, {}, samples.KEY)
    match case.gate:
        case Gate.DISABLED:
            await uow.webhooks.disable(webhook.id, "It is gone.")
        case Gate.PAUSED:
            await uow.webhooks.set_paused(webhook.id, True)
        case Gate.DELETED:
            await uow.webhooks.remove(webhook.id)
    await uow.queue.save_lanes([case.lane(webhook.id, uow.now)])
    events = [samples.event(clock) for _ in case.deliveries]
    deliveries = [
        NewDelivery(clock.new_id(), event.id, webhook.id, one.order_key)
        for event, one in zip(events, case.deliveries, strict=True)
    ]
    await uow.events.add(events, deliveries)
    return webhook.id, [delivery.id for delivery in deliveries]


async def schedule(uow: UnitOfWork, rows: dict[UUID, tuple[Case, list[UUID]]]) -> None:
    """Make the leases of *rows*, then set the due times of the deliveries without one."""
    order = count()
    first = {Lease.HELD: HELD_ORDER, Lease.EXPIRED: EXPIRED_ORDER, Lease.NONE: LATER}
    every = [(d, one) for case, ids in rows.values() for d, one in zip(ids, case.deliveries, strict=True)]
    await uow.queue.postpone(
        [Postpone(d, uow.now + first[one.lease] + timedelta(seconds=next(order)), None, None) for d, one in every]
    )
    for lease, lease_s in ((Lease.HELD, LEASE_S), (Lease.EXPIRED, 0.0)):
        leased = {id_: sum(one.lease is lease for one in case.deliveries) for id_, (case, _) in rows.items()}
        taken = await uow.queue.lease(
            {id_: n for id_, n in leased.items() if n}, {}, worker="worker-1", lease_s=lease_s
        )
        assert len(taken) == sum(leased.values())
    await uow.queue.postpone(
        [Postpone(d, uow.now + _due(one), None, None, one.aside) for d, one in every if one.lease is Lease.NONE]
    )


@example(some=[USUAL._replace(ordered=True, max_concurrency=2, deliveries=HEAD_AND_OLDER_LEASE)])
@example(some=[USUAL._replace(breaker=BreakerState.OPEN, until_s=None)])
@example(some=[USUAL._replace(ordered=BY_KEY, deliveries=some) for some in (BEHIND_A_LATER_ONE, BEHIND_ONE_ASIDE)])
@example(some=[LIMITED._replace(tokens=0.0, tokens_s=None), LIMITED._replace(tokens_s=5.0)])
@given(some=st.lists(cases, min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_exactly_the_ready_lanes_are_locked_and_each_has_capacity(world: World, some: list[Case]) -> None:
    """A lane is locked iff ``is_ready`` holds for its row; each locked lane has ``capacity``."""
    async with world.unit_of_work() as uow:  # Never committed, so that each example begins with empty tables.
        rows = {}
        for case in some:
            id_, ids = await store(uow, world.clock, case)
            rows[id_] = case, ids
        await schedule(uow, rows)

        locked = await uow.queue.lock_ready_lanes(None, len(rows))

        assert locked.keys() == {id_ for id_, (case, ids) in rows.items() if case.is_ready(id_, ids, uow.now)}
        assert all(capacity(lane, uow.now) for lane in locked.values())
