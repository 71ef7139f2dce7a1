"""The stock of a worker: deliveries under lease whose attempt has not begun."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

from monitor.domain.ports.queue import ClaimedDelivery

FRESH_S = 1.0
"""What waited longer is checked before it is sent: its webhook may have been paused or changed, its lease lost."""


class Pace:
    """How many deliveries to hold in stock: what is expected to be sent in the next *ahead_s* seconds, by what was sent
    lately, so that a worker whose receivers hang leases nothing ahead."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead_s = ahead_s
        self._from = 0.0
        self.wanted = 0
        self.sent = 0
        """Attempts since the last measurement."""

    def measure(self, now: float) -> None:
        """Set ``wanted`` if the last measurement is at least ``ahead_s`` ago; *now* is monotonic seconds."""
        elapsed_s = now - self._from
        if elapsed_s >= self._ahead_s:
            self.wanted = int(self.sent * self._ahead_s / elapsed_s)
            self._from, self.sent = now, 0


class Stock:
    """
    Deliveries that are ready to be sent, and stale ones that have to be checked first.

    Args:
        monotonic: seconds from an arbitrary start, of a clock that does not stop while the process does.
        lease_s: how long a claim or check leases.
    """

    def __init__(self, monotonic: Callable[[], float], lease_s: float) -> None:
        self._monotonic = monotonic
        self._fresh_s = min(FRESH_S, lease_s)
        self._ready: deque[tuple[float, ClaimedDelivery]] = deque()
        self._stale: list[ClaimedDelivery] = []

    def __len__(self) -> int:
        return len(self._ready) + len(self._stale)

    def __iter__(self) -> Iterator[ClaimedDelivery]:
        yield from self._stale
        for _, delivery in self._ready:
            yield delivery

    @property
    def stale(self) -> list[ClaimedDelivery]:
        """Deliveries to be checked, oldest first."""
        return [*self._stale]

    def add(self, deliveries: Iterable[ClaimedDelivery], at: float) -> None:
        """Add *deliveries*, claimed at the monotonic time *at*."""
        self._ready.extend((at, delivery) for delivery in deliveries)

    def take(self) -> ClaimedDelivery | None:
        """Remove and return the next one that is fresh; ``None`` without one. Those passed over are stale."""
        oldest = self._monotonic() - self._fresh_s
        while self._ready:
            at, delivery = self._ready.popleft()
            if at >= oldest:
                return delivery
            self._stale.append(delivery)
        return None

    def end_check(self, checked: Collection[ClaimedDelivery], sendable: Collection[ClaimedDelivery], at: float) -> None:
        """Remove *checked* from the stale ones, and return *sendable* to the ready ones, in front."""
        self.remove(checked)
        self._ready.extendleft((at, delivery) for delivery in reversed([*sendable]))

    def remove(self, deliveries: Iterable[ClaimedDelivery]) -> None:
        """Remove those of *deliveries* that are here."""
        leases = {(delivery.id, delivery.fencing_token) for delivery in deliveries}
        if leases:
            self._stale = [d for d in self._stale if (d.id, d.fencing_token) not in leases]
            self._ready = deque(one for one in self._ready if (one[1].id, one[1].fencing_token) not in leases)

    def clear(self) -> list[ClaimedDelivery]:
        """Remove and return all."""
        everything = [*self]
        self._ready.clear()
        self._stale.clear()
        return everything
