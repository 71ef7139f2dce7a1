"""The slots of a worker: how many attempts may run at once, and for which webhooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.ports.sender import PendingSend

QUICK_S = 0.5
"""A webhook answers quickly if one of its two latest attempts took less: a single hitch, which may be this machine's,
must not put it in line behind all slow ones."""

KEPT_SHARE = 0.25
"""Share of the slots that only such webhooks get: hundreds of slow receivers would take all slots otherwise."""

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
        self._quick: dict[UUID, bool] = {}
        """With whether the latest attempt was slow; the least recent first."""
        self._others = 0

    @property
    def is_full(self) -> bool:
        """Whether webhooks that are not quick have all of their slots."""
        return self._others >= self._limit

    def defer(self, hints: set[UUID] | None) -> set[UUID]:
        """Return the quick ones of *hints*, ``None`` for all webhooks; keep the others until there are slots."""
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

    def end(self, flight: Flight, now: float, *, made: bool = True) -> None:
        """Free the slot of *flight*, and learn from how long it took; one that was not made does not count as quick."""
        self._others -= not flight.is_quick
        webhook_id = flight.delivery.webhook_id
        was_slow = self._quick.pop(webhook_id, True)
        is_slow = now - flight.since >= QUICK_S
        if made and not (was_slow and is_slow):
            self._quick[webhook_id] = is_slow
            if len(self._quick) > KNOWN:
                del self._quick[next(iter(self._quick))]

    def watch(self, flights: Iterable[Flight], now: float) -> None:
        """Stop counting webhooks as quick that have two hanging attempts, or one after a slow one."""
        hanging = Counter(f.delivery.webhook_id for f in flights if now - f.since >= QUICK_S)
        for webhook_id, count in hanging.items():
            if count + self._quick.get(webhook_id, False) >= 2:
                self._quick.pop(webhook_id, None)
