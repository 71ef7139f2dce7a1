"""What came of the attempts of a worker, until it is settled."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from uuid import UUID

from monitor.domain.ports.queue import ClaimedDelivery
from monitor.domain.services.settle import SentDelivery


class Results:
    """
    Outcomes in the order of arrival.

    Attributes:
        unmade: attempts of which no byte was sent, since this process lacked what it needs; to be released.
        kept: those that failed to settle for a reason that is no outage, by attempt, with the time of the first
            failure. They are not among the others, which they would hold up.
        settled_at: when the database last took a batch, or a first outcome began to wait, by the clock of the event
            loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[SentDelivery] = deque()
        self._batch: list[SentDelivery] = []
        self.unmade: list[SentDelivery] = []
        self.kept: dict[UUID, tuple[float, SentDelivery]] = {}
        self.settled_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._batch) + len(self.unmade)

    def deliveries(self) -> Iterator[ClaimedDelivery]:
        """Yield the deliveries of these results, the kept ones too."""
        for sent in (*self.unmade, *self._batch, *self._waiting):
            yield sent.delivery
        for _, sent in self.kept.values():
            yield sent.delivery

    def add(self, sent: SentDelivery, now: float) -> bool:
        """Add one; return whether the attempt was made."""
        if not len(self):
            self.settled_at = now
        if sent.outcome.local and sent.outcome.exchange is None:
            self.unmade.append(sent)
            return False
        self._waiting.append(sent)
        return True

    def batch(self, limit: int) -> list[SentDelivery]:
        """Return up to *limit* to be settled: those of the batch that did not end, then the next ones."""
        while self._waiting and len(self._batch) < limit:
            self._batch.append(self._waiting.popleft())
        return self._batch

    def postpone_batch(self) -> None:
        """Put the batch behind what else waits; nothing of it was settled."""
        self._waiting.extend(self._batch)
        self._batch = []

    def keep_batch(self, now: float) -> None:
        """Set the batch aside, as :meth:`keep` does."""
        for sent in self._batch:
            self.keep(sent, now)
        self._batch = []

    def end_batch(self, locked: Sequence[SentDelivery], now: float) -> None:
        """Remove the batch but for *locked*, which come last from now on.

        A settle that found nothing but locked lanes counts as one: no other worker could settle these results or claim
        their deliveries, and those of other webhooks must not lose their leases.
        """
        self.settled_at = now
        self._batch = []
        self._waiting.extend(locked)

    def keep(self, sent: SentDelivery, now: float) -> None:
        """Set *sent* aside, to be tried again now and then."""
        self.kept.setdefault(sent.attempt_id, (now, sent))

    def keep_longer(self, sent: SentDelivery) -> None:
        """Have *sent*, which is kept, tried after the others that are."""
        self.kept[sent.attempt_id] = self.kept.pop(sent.attempt_id)

    def end_unmade(self, released: Sequence[SentDelivery], now: float) -> None:
        """Remove *released*, the first of the unmade ones."""
        del self.unmade[: len(released)]
        self.settled_at = now
