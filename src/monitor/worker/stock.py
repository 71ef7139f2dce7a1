"""The stock of a worker: deliveries under lease, before their attempt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

from monitor.domain.ports.queue import ClaimedDelivery

FRESH_S = 1.0
"""What waited longer is checked before it is sent: its webhook may have been paused or changed, its lease lost."""


class Pace:
    """How many deliveries to hold in stock: what is expected to be sent in the next *ahead_s* seconds, by what was sent
    lately, so that a worker with receivers that hang leases nothing ahead."""

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
        is_quick: whether the webhook of a delivery answers quickly.
    """

    def __init__(
        self, monotonic: Callable[[], float], lease_s: float, is_quick: Callable[[ClaimedDelivery], bool]
    ) -> None:
        self._monotonic = monotonic
        self._fresh_s = min(FRESH_S, lease_s)
        self._is_quick = is_quick
        self._quick: deque[tuple[float, ClaimedDelivery]] = deque()
        self._others: deque[tuple[float, ClaimedDelivery]] = deque()
        self._stale: list[ClaimedDelivery] = []

    def __len__(self) -> int:
        return len(self._quick) + len(self._others) + len(self._stale)

    def __iter__(self) -> Iterator[ClaimedDelivery]:
        yield from self._stale
        for _, delivery in (*self._quick, *self._others):
            yield delivery

    @property
    def quick(self) -> int:
        """How many are of quick webhooks."""
        return len(self._quick)

    @property
    def stale(self) -> list[ClaimedDelivery]:
        """Deliveries to be checked, oldest first."""
        return [*self._stale]

    def add(self, deliveries: Iterable[ClaimedDelivery], at: float) -> None:
        """Add *deliveries*, claimed at the monotonic time *at*."""
        for delivery in deliveries:
            (self._quick if self._is_quick(delivery) else self._others).append((at, delivery))

    def take(self, *, others: bool) -> ClaimedDelivery | None:
        """
        Remove and return the next one that is fresh; ``None`` without one. Those passed over are stale.

        Args:
            others: also of webhooks that are not quick.
        """
        oldest = self._monotonic() - self._fresh_s
        while ready := self._next(others):
            at, delivery = ready.popleft()
            if at >= oldest:
                return delivery
            self._stale.append(delivery)
        return None

    def _next(self, others: bool) -> deque[tuple[float, ClaimedDelivery]]:
        """Return the queue of which the first delivery has waited longest."""
        if not others or not self._others:
            return self._quick
        return self._quick if self._quick and self._quick[0][0] <= self._others[0][0] else self._others

    def end_check(self, checked: Collection[ClaimedDelivery], sendable: Collection[ClaimedDelivery], at: float) -> None:
        """Remove *checked* from the stale ones, and return *sendable* to the ready ones, in front."""
        self.remove(checked)
        for delivery in reversed([*sendable]):
            (self._quick if self._is_quick(delivery) else self._others).appendleft((at, delivery))

    def remove(self, deliveries: Iterable[ClaimedDelivery]) -> None:
        """Remove those of *deliveries* that are here."""
        leases = {(delivery.id, delivery.fencing_token) for delivery in deliveries}
        if leases:
            self._stale = [d for d in self._stale if (d.id, d.fencing_token) not in leases]
            for ready in (self._quick, self._others):
                kept = [one for one in ready if (one[1].id, one[1].fencing_token) not in leases]
                ready.clear()
                ready.extend(kept)

    def clear(self) -> list[ClaimedDelivery]:
        """Remove and return all."""
        everything = [*self]
        for waiting in (self._quick, self._others, self._stale):
            waiting.clear()
        return everything
