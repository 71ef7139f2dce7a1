"""Deliver: claim and commit, send with no transaction open, settle in a second one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from monitor.domain.delivery.chat_formats import render
from monitor.domain.delivery.lane import (
    Lane,
    LanePolicy,
    capacity,
    refill_s,
    reserve,
)
from monitor.domain.ports.clock import Clock
from monitor.domain.ports.queries.resources import Queries
from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.sender import PendingSend, WebhookSender
from monitor.domain.ports.unit_of_work import UnitOfWorkFactory
from monitor.domain.services.settle import SentDelivery, Settlement, settle
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.secret_mask import SecretMask
from monitor.domain.webhooks.signed_request import AsymmetricSigner, signed_request

DESTINATION_FRESH_S = 30.0
"""A rotated key stops signing at most this long after its overlap ended."""


class DeliverConfig(msgspec.Struct, frozen=True):
    """``lanes_per_claim`` bounds how many webhooks one claim locks; ``undecided_s`` postpones a delivery when
    :func:`decide` raised for its outcome, or its destination cannot be read."""

    worker: str
    lease_s: float = 30.0
    lanes_per_claim: int = 200
    undecided_s: float = 60.0
    policy: LanePolicy = LanePolicy()


class ClaimResult(msgspec.Struct, frozen=True):
    """Result of one claim. ``exhausted`` are webhooks without capacity for all that is due, ``refill_s`` those whose
    rate limit is the reason, with the seconds until its next token."""

    deliveries: list[ClaimedDelivery]
    exhausted: set[UUID]
    refill_s: dict[UUID, float]


class _CachedDestination(msgspec.Struct, frozen=True):
    """``loaded_at`` is a monotonic time."""

    version: int
    loaded_at: float
    destination: Destination
    secrets: SecretMask


class Deliverer:
    """The three steps of a delivery, for one worker."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        queries: Queries,
        sender: WebhookSender,
        clock: Clock,
        sign_v1a: AsymmetricSigner,
        config: DeliverConfig,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queries = queries
        self._sender = sender
        self._clock = clock
        self._sign_v1a = sign_v1a
        self._config = config
        self._destinations: dict[UUID, _CachedDestination] = {}

    async def claim(self, hints: Collection[UUID] | None, limit: int) -> ClaimResult:
        """
        Lease up to *limit* due deliveries, webhooks with the oldest last attempt first.

        Args:
            hints: restricts the search to these webhooks; ``None`` searches all.
        """
        async with self._unit_of_work() as uow:
            lanes = await uow.queue.lock_ready_lanes(hints, self._config.lanes_per_claim)
            capacities = allot(lanes.values(), limit, uow.now)
            ordered = {id_ for id_ in capacities if lanes[id_].ordered}
            leased = await uow.queue.lease(
                capacities, ordered, worker=self._config.worker, lease_s=self._config.lease_s
            )
            counts = Counter(delivery.webhook_id for delivery in leased)
            reserved = {id_: reserve(lane, counts[id_], uow.now, self._config.policy) for id_, lane in lanes.items()}
            if changed := [lane for id_, lane in reserved.items() if lane is not lanes[id_]]:
                await uow.queue.save_lanes(changed)
            refills = {id_: wait_s for id_, lane in reserved.items() if (wait_s := refill_s(lane, uow.now))}
            # Before the commit: when destinations cannot be read, nothing stays leased without being sent.
            await self._load_destinations({id_: lanes[id_].version for id_ in counts})
            if unsendable := [d for d in leased if d.webhook_id not in self._destinations]:
                # The secrets do not open, or the webhook was deleted just now: an expired lease would count as a crash.
                leases = [(d.id, d.fencing_token) for d in unsendable]
                await uow.queue.release(leases, after_s=self._config.undecided_s)
                leased = [d for d in leased if d.webhook_id in self._destinations]
            await uow.commit()
        return ClaimResult(leased, {id_ for id_ in lanes if counts[id_] >= capacities.get(id_, 0)}, refills)

    def start(self, delivery: ClaimedDelivery, on_sent: Callable[[SentDelivery], object]) -> PendingSend | None:
        """
        Make one attempt, and call *on_sent* once, after this has returned.

        Returns:
            ``None`` if nothing is sent, because the webhook is deleted.
        """
        cached = self._destinations.get(delivery.webhook_id)
        if cached is None:
            return None
        destination, secrets, version = cached.destination, cached.secrets, cached.version
        at = self._clock.now()
        request = signed_request(
            destination,
            message_id=str(delivery.event_id),
            event_type=delivery.event_type,
            body=render(destination.body_format, delivery.event_type, delivery.payload),
            at=at,
            sign_v1a=self._sign_v1a,
        )
        attempt_id = self._clock.new_id(at)
        return self._sender.start(
            request, lambda outcome: on_sent(SentDelivery(delivery, attempt_id, at, outcome, secrets, version))
        )

    async def settle(self, batch: Sequence[SentDelivery]) -> Settlement:
        """Write *batch* in one transaction; see :func:`settle`. Safe to repeat."""
        async with self._unit_of_work() as uow:
            settlement = await settle(
                uow, batch, clock=self._clock, policy=self._config.policy, undecided_s=self._config.undecided_s
            )
            await uow.commit()
        return settlement

    async def renew(self, deliveries: Sequence[ClaimedDelivery]) -> None:
        """Extend the leases of deliveries that are still being sent. Those held by another worker are left out."""
        async with self._unit_of_work() as uow:
            await uow.queue.renew([(d.id, d.fencing_token) for d in deliveries], lease_s=self._config.lease_s)
            await uow.commit()

    async def release(self, deliveries: Sequence[ClaimedDelivery]) -> None:
        """Return unsent deliveries to the queue, due at once."""
        async with self._unit_of_work() as uow:
            await uow.queue.release([(d.id, d.fencing_token) for d in deliveries])
            await uow.commit()

    async def _load_destinations(self, versions: Mapping[UUID, int]) -> None:
        now = self._clock.monotonic()
        stale = [id_ for id_, version in versions.items() if not self._is_fresh(id_, version, now)]
        if not stale:
            return
        found = await self._queries.destinations(stale)
        for id_ in stale:
            self._destinations.pop(id_, None)
        for id_, (version, destination) in found.items():
            self._destinations[id_] = _CachedDestination(version, now, destination, SecretMask(destination))

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
