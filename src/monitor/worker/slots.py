"""The slots of a worker: how many attempts may run at once, and for whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.sender import PendingSend

QUICK_S = 0.5
"""A webhook whose latest attempt took less answers quickly."""

KEPT_SHARE = 0.25
"""Share of the slots that only such webhooks get: hundreds of slow receivers would take all of them otherwise."""

SMALL = 20
"""A worker with fewer slots keeps none."""

KNOWN = 10_000
"""Webhooks that are remembered as quick, the latest."""


class Flight(NamedTuple):
    """An attempt under way; ``since`` is monotonic seconds."""

    delivery: ClaimedDelivery
    pending: PendingSend
    is_quick: bool
    since: float


class Slots:
    """Webhooks that answer quickly, and how many slots the others have."""

    def __init__(self, concurrency: int) -> None:
        self._limit = concurrency - int(concurrency * KEPT_SHARE) if concurrency >= SMALL else concurrency
        self._deferred: set[UUID] | None = set()
        self._quick: dict[UUID, None] = {}
        self._others = 0

    @property
    def is_full(self) -> bool:
        """Whether webhooks that are not quick have all the slots that they may have."""
        return self._others >= self._limit

    def defer(self, hints: set[UUID] | None) -> set[UUID]:
        """Return the quick ones of *hints*, ``None`` for all webhooks; keep the others for when they have slots."""
        if hints is None:
            self._deferred = None
            return {*self._quick}
        if self._deferred is not None:
            self._deferred |= hints - self._quick.keys()
        return hints & self._quick.keys()

    def end_deferral(self) -> list[UUID] | None:
        """Return what was deferred if there is a slot for it now, ``None`` for all webhooks."""
        if self.is_full:
            return []
        deferred, self._deferred = self._deferred, set()
        return None if deferred is None else [*deferred]

    def is_quick(self, delivery: ClaimedDelivery) -> bool:
        return delivery.webhook_id in self._quick

    def begin(self, delivery: ClaimedDelivery) -> bool:
        """Take a slot; return whether it is one of a quick webhook."""
        is_quick = self.is_quick(delivery)
        self._others += not is_quick
        return is_quick

    def end(self, flight: Flight, now: float) -> None:
        """Free the slot of *flight*, and learn from how long it took."""
        self._others -= not flight.is_quick
        self._quick.pop(flight.delivery.webhook_id, None)
        if now - flight.since < QUICK_S:
            self._quick[flight.delivery.webhook_id] = None
            if len(self._quick) > KNOWN:
                del self._quick[next(iter(self._quick))]

    def watch(self, flights: Iterable[Flight], now: float) -> None:
        """Forget webhooks as quick whose attempt hangs."""
        for flight in flights:
            if now - flight.since >= QUICK_S:
                self._quick.pop(flight.delivery.webhook_id, None)
