"""Leases: claim due deliveries, keep their leases, check what waited, and release what is not sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from msgspec.structs import replace

from monitor.domain.delivery.circuit_breaker import BreakerState, Permit, permit
from monitor.domain.delivery.lane import (
    Lane,
    LanePolicy,
    after_hold,
    capacity,
    end_release,
    recharge,
    refill_s,
    releasable,
    release,
    reserve,
    unprobe,
)
from monitor.domain.delivery.order import BY_KEY
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.secret_mask import SecretMask

DESTINATION_FRESH_S = 30.0
"""A rotated key stops signing at most this long after its overlap ended."""

MARGIN = 0.7
"""Share of a lease after which an attempt that is not written yet is given up, since the lease may have run out."""

SPARE_LANES = 10
"""How many more lanes than deliveries a claim locks: a ready lane may bring none, since its rows are locked or held.
Locking all that are ready, for one free slot, costs more than the rest of a claim."""


class DeliverConfig(msgspec.Struct, frozen=True):
    """``lanes_per_claim`` bounds how many webhooks one claim locks; ``undecided_s`` postpones a delivery when
    :func:`decide` raised for its outcome."""

    worker: str
    lease_s: float = 30.0
    lanes_per_claim: int = 200
    undecided_s: float = 60.0
    policy: LanePolicy = LanePolicy()


class ClaimResult(msgspec.Struct, frozen=True):
    """
    Result of one claim. ``exhausted`` are webhooks without capacity for all that is due, ``refill_s`` those with the
    rate limit as the reason, and the seconds until its next token. ``at`` is the monotonic time when it began.
    """

    deliveries: list[ClaimedDelivery]
    exhausted: set[UUID]
    refill_s: dict[UUID, float]
    at: float


class CheckResult(msgspec.Struct, frozen=True):
    """
    Result of one check of deliveries that wait in stock.

    ``sendable`` may be sent; ``undetermined`` are to be checked again, since another transaction has their lane or
    row. All others are lost or were released. ``at`` is the monotonic time when it began.
    """

    sendable: list[ClaimedDelivery]
    undetermined: list[ClaimedDelivery]
    at: float


class CachedDestination(msgspec.Struct, frozen=True):
    """``loaded_at`` is a monotonic time."""

    version: int
    loaded_at: float
    destination: Destination
    secrets: SecretMask


class DeliveryLeases:
    """The leases of one worker, and the destinations of what it has leased."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, queries: Queries, clock: Clock, config: DeliverConfig) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._clock = clock
        self._config = config
        self._destinations: dict[UUID, CachedDestination] = {}
        self._unreadable: dict[UUID, float] = {}
        """Webhooks with secrets or headers that do not open here, with the monotonic time of reading."""
        self._renewed_at = clock.monotonic()
        self._lost: set[tuple[UUID, int]] = set()
        """Leases that the latest renewal found lost."""

    async def claim(self, hints: Collection[UUID] | None, limit: int, held: Collection[UUID] = ()) -> ClaimResult:
        """
        Lease up to *limit* due deliveries, in the order of ``lock_ready_lanes``. Webhooks whose secrets do not open
        with the keys of this process are left to workers that have their key.

        Args:
            hints: restricts the search to these webhooks; ``None`` searches all.
            held: deliveries to leave out: their attempts or results are still here, whatever became of their leases.
        """
        at = self._clock.monotonic()
        unreadable = self._known_unreadable(at)
        if hints is not None:
            hints = set(hints) - unreadable
        async with self._unit_of_work() as uow:
            limit_lanes = min(self._config.lanes_per_claim, limit + SPARE_LANES)
            lanes = await uow.queue.lock_ready_lanes(hints, limit_lanes, without=unreadable)
            lanes = await _without_releases(uow, await _after_holds(uow, lanes))
            now = await _now(uow, lanes.values())
            capacities = allot(lanes.values(), limit, now)
            # Before the lease, so that the lane stays as it is for another worker.
            if await self._load_destinations({id_: lanes[id_].version for id_ in capacities}):
                unreadable = await self._load_destinations({id_: lane.version for id_, lane in lanes.items()})
                lanes = {id_: lane for id_, lane in lanes.items() if id_ not in unreadable}
                capacities = allot(lanes.values(), limit, now)
            leased, released = await self._lease(uow, lanes, capacities, held, now)
            probed = {id_ for id_, lane in lanes.items() if permit(lane.breaker, now) is Permit.PROBE}
            leased = [replace(one, probe=True) if one.webhook_id in probed else one for one in leased]
            counts = Counter(delivery.webhook_id for delivery in leased)
            reserved = {
                id_: release(reserve(lane, counts[id_], now, self._config.policy), released[id_], now)
                for id_, lane in lanes.items()
            }
            if changed := [lane for id_, lane in reserved.items() if lane is not lanes[id_]]:
                await uow.queue.save_lanes(changed)
            refills = {id_: wait_s for id_, lane in reserved.items() if (wait_s := _next_s(lane, now))}
            await uow.commit()
        # Of a key one is in flight at a time, so each settled one may let the next go.
        more = {id_ for id_, lane in lanes.items() if lane.ordered is BY_KEY or _is_releasing(reserved[id_], now)}
        exhausted = {id_ for id_ in lanes if counts[id_] >= capacities.get(id_, 0)}
        return ClaimResult(leased, exhausted | more, refills, at)

    async def _lease(
        self,
        uow: UnitOfWork,
        lanes: Mapping[UUID, Lane],
        capacities: Mapping[UUID, int],
        held: Collection[UUID],
        now: datetime,
    ) -> tuple[list[ClaimedDelivery], Counter[UUID]]:
        """
        Lease what is due. In a resumed lane, what fell due since the pause goes before what the pause held, which is
        released at a bounded rate; an ordered lane keeps its order, so all of it is.

        Returns:
            The deliveries, and how many of each lane count as held by the pause.
        """
        lease = partial(uow.queue.lease, worker=self._config.worker, lease_s=self._config.lease_s, held=held)
        ordered = {id_: lanes[id_].ordered for id_ in capacities if lanes[id_].ordered is not False}
        resumed = {id_: at for id_ in capacities if (at := lanes[id_].resumed_at) is not None}
        rooms = {id_: releasable(lanes[id_], now) for id_ in resumed}
        open_ = {id_: min(n, rooms[id_]) if id_ in ordered and id_ in resumed else n for id_, n in capacities.items()}
        since = {id_: at for id_, at in resumed.items() if id_ not in ordered}
        leased = await lease({id_: n for id_, n in open_.items() if n > 0}, ordered, since=since)
        counts = Counter(delivery.webhook_id for delivery in leased)
        released = Counter({id_: counts[id_] for id_ in resumed if id_ in ordered})
        rooms = {id_: min(capacities[id_] - counts[id_], rooms[id_]) for id_ in since}
        if rooms := {id_: room for id_, room in rooms.items() if room > 0}:
            from_pause = await lease(rooms, {})
            released.update(delivery.webhook_id for delivery in from_pause)
            leased += from_pause
        return leased, released

    async def check(self, stock: Sequence[ClaimedDelivery]) -> CheckResult:
        """
        Determine which of *stock*, leased some time ago, may be sent now: those with the lease still held and
        the webhook as it was then. Extends their leases, loads destinations that changed, and charges rate limits anew;
        what may not be sent is released.
        """
        at = self._clock.monotonic()
        async with self._unit_of_work() as uow:
            lanes = await uow.queue.lock_lanes({delivery.webhook_id for delivery in stock}, wait=False)
            known = [delivery for delivery in stock if delivery.webhook_id in lanes]
            states = await uow.queue.renew(_leases(known), lease_s=self._config.lease_s)
            held = [delivery for delivery in known if _lease(delivery) in states]
            locked = {delivery.id for delivery in held if not states[_lease(delivery)].renewed}
            held = [delivery for delivery in held if delivery.id not in locked]
            allowed = [
                delivery
                for delivery in held
                if states[_lease(delivery)].allowed
                and lanes[delivery.webhook_id].breaker.state is not BreakerState.OPEN
                and (lanes[delivery.webhook_id].throttled_until or uow.now) <= uow.now
            ]
            sendable = await self._recharge(uow, lanes, held, allowed)
            kept = {delivery.id for delivery in sendable}
            if unsent := [delivery for delivery in held if delivery.id not in kept]:
                await _release(uow, unsent)
            await self._load_destinations({id_: lanes[id_].version for id_ in {d.webhook_id for d in sendable}})
            sendable = await self._without_unreadable(uow, sendable)
            await uow.commit()
        undetermined = [d for d in stock if d.webhook_id not in lanes or d.id in locked]
        return CheckResult(sendable, undetermined, at)

    async def _recharge(
        self,
        uow: UnitOfWork,
        lanes: Mapping[UUID, Lane],
        held: Sequence[ClaimedDelivery],
        allowed: Sequence[ClaimedDelivery],
    ) -> list[ClaimedDelivery]:
        """Return those of *allowed* that the rate limits allow now; *held* were charged when leased."""
        now = await _now(uow, lanes.values())
        charged, wanted = Counter(d.webhook_id for d in held), Counter(d.webhook_id for d in allowed)
        left: dict[UUID, int] = {}
        changed = []
        for id_, lane in lanes.items():
            after, left[id_] = recharge(lane, charged[id_], wanted[id_], now)
            if after is not lane:
                changed.append(after)
        if changed:
            await uow.queue.save_lanes(changed)
        sendable = []
        for delivery in allowed:
            if left[delivery.webhook_id] > 0:
                left[delivery.webhook_id] -= 1
                sendable.append(delivery)
        return sendable

    async def _without_unreadable(self, uow: UnitOfWork, leased: Sequence[ClaimedDelivery]) -> list[ClaimedDelivery]:
        """Release those with secrets that no longer open here, for other workers: an expired lease would count as a
        crash."""
        if unsendable := [d for d in leased if d.webhook_id not in self._destinations]:
            await _release(uow, unsendable)
        return [d for d in leased if d.webhook_id in self._destinations]

    async def renew(self, deliveries: Sequence[ClaimedDelivery]) -> list[ClaimedDelivery]:
        """Extend the leases of *deliveries*; return those with a lost lease: another worker has it, or none."""
        at = self._clock.monotonic()
        async with self._unit_of_work() as uow:
            states = await uow.queue.renew(_leases(deliveries), lease_s=self._config.lease_s)
            await uow.commit()
        lost = [delivery for delivery in deliveries if _lease(delivery) not in states]
        self._renewed_at, self._lost = at, {_lease(delivery) for delivery in lost}
        return lost

    def _is_leased(self, delivery: ClaimedDelivery, since: float) -> bool:
        """Whether *delivery*, which was leased at the monotonic time *since*, is so for certain."""
        age_s = self._clock.monotonic() - max(since, self._renewed_at)
        # What was claimed up to a second before counts as leased at that time.
        return age_s < self._config.lease_s * MARGIN and _lease(delivery) not in self._lost

    async def release(self, deliveries: Sequence[ClaimedDelivery], *, after_s: float = 0.0) -> None:
        """Return unsent deliveries to the queue, due in *after_s*; a probe among these makes the next one due now."""
        async with self._unit_of_work() as uow:
            await _release(uow, deliveries, after_s=after_s)
            await uow.commit()

    async def _load_destinations(self, versions: Mapping[UUID, int]) -> set[UUID]:
        """Have the destinations of these webhooks, by their versions, in memory; return those that cannot be read."""
        now = self._clock.monotonic()
        stale = [id_ for id_, version in versions.items() if not self._is_fresh(id_, version, now)]
        if not stale:
            return set()
        found = await self._queries.destinations(stale)
        for id_ in stale:
            self._destinations.pop(id_, None)
        for id_, (version, destination) in found.items():
            self._destinations[id_] = CachedDestination(version, now, destination, SecretMask(destination))
        unreadable = set(stale) - found.keys()
        self._unreadable |= dict.fromkeys(unreadable, now)
        return unreadable

    def _known_unreadable(self, now: float) -> set[UUID]:
        """Return the webhooks that could not be read within the last ``DESTINATION_FRESH_S``."""
        self._unreadable = {id_: at for id_, at in self._unreadable.items() if now - at < DESTINATION_FRESH_S}
        return set(self._unreadable)

    def _is_fresh(self, webhook_id: UUID, version: int, now: float) -> bool:
        cached = self._destinations.get(webhook_id)
        return cached is not None and cached.version >= version and now - cached.loaded_at < DESTINATION_FRESH_S


def allot(lanes: Iterable[Lane], limit: int, now: datetime) -> dict[UUID, int]:
    """
    Split *limit* evenly over the lanes, each at most its capacity; a lane without capacity is left out.

    What some leave over goes to the others, and what does not divide evenly to the first ones: a busy worker claims
    one delivery at a time, which then belongs to the lane that waited longest.
    """
    capacities = {lane.webhook_id: n for lane in lanes if (n := capacity(lane, now))}
    shares: dict[UUID, int] = {}
    left = limit
    while left > 0 and capacities:
        fair = max(left // len(capacities), 1)
        for webhook_id, free in list(capacities.items())[:left]:
            share = min(free, fair)
            shares[webhook_id] = shares.get(webhook_id, 0) + share
            capacities[webhook_id] -= share
            left -= share
        capacities = {webhook_id: free for webhook_id, free in capacities.items() if free}
    return shares


async def _release(uow: UnitOfWork, deliveries: Sequence[ClaimedDelivery], *, after_s: float = 0.0) -> None:
    if probes := [delivery for delivery in deliveries if delivery.probe]:
        # The lane first, as everywhere. One that another transaction has keeps its probe until the lease runs out.
        lanes = await uow.queue.lock_lanes({probe.webhook_id for probe in probes}, wait=False)
        held = await uow.queue.fence(_leases(probes))
        ended = {probe.webhook_id for probe in probes if probe.id in held} & lanes.keys()
        await uow.queue.save_lanes([unprobe(lanes[id_], uow.now) for id_ in ended])
    await uow.queue.release(_leases(deliveries), after_s=after_s)


def _is_releasing(lane: Lane, now: datetime) -> bool:
    """Whether deliveries that a pause held wait for their turn."""
    return lane.resumed_at is not None and releasable(lane, now) == 0


def _next_s(lane: Lane, now: datetime) -> float | None:
    """Return the seconds until the rate limit, or the release after a pause, allows more; ``None`` if both do now."""
    if _is_releasing(lane, now) and lane.release_at is not None:
        return max(refill_s(lane, now) or 0.0, (lane.release_at - now).total_seconds())
    return refill_s(lane, now)


async def _after_holds(uow: UnitOfWork, lanes: dict[UUID, Lane]) -> dict[UUID, Lane]:
    """Return *lanes*, in their order, with the release of what a silence held that is over."""
    after = {id_: after_hold(lane) for id_, lane in lanes.items()}
    if changed := [lane for id_, lane in after.items() if lane is not lanes[id_]]:
        await uow.queue.save_lanes(changed)
    return after


async def _without_releases(uow: UnitOfWork, lanes: dict[UUID, Lane]) -> dict[UUID, Lane]:
    """Return *lanes*, in their order, without the bound of a release where that is complete."""
    resumed = [lane for lane in lanes.values() if lane.resumed_at is not None]
    if not resumed:
        return lanes
    ended = {id_: end_release(lanes[id_]) for id_ in await uow.queue.released(resumed)}
    await uow.queue.save_lanes(list(ended.values()))
    return lanes | ended


async def _now(uow: UnitOfWork, lanes: Iterable[Lane]) -> datetime:
    """Return the time by which tokens are counted: after the locks, since the wait for locks fills buckets too."""
    return await uow.queue.clock() if any(lane.rate_limit is not None for lane in lanes) else uow.now


def _lease(delivery: ClaimedDelivery) -> tuple[UUID, int]:
    return delivery.id, delivery.fencing_token


def _leases(deliveries: Iterable[ClaimedDelivery]) -> list[tuple[UUID, int]]:
    return [_lease(delivery) for delivery in deliveries]
