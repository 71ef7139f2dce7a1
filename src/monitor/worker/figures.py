"""What a worker reports of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from uuid import UUID

from monitor.domain.services.settle import SentDelivery
from monitor.worker.attempt_log import LogAttempts


class WorkerFigures:
    """
    Figures of the delivery worker of this process.

    Args:
        concurrency: how many attempts it makes at once.
        log_attempts: takes each settled batch after it was counted.
    """

    def __init__(self, concurrency: int, log_attempts: LogAttempts) -> None:
        self.concurrency = concurrency
        self.seconds = 0.0
        self._log_attempts = log_attempts
        self._attempts: Counter[str] = Counter()
        self._held: Callable[[], int] = lambda: 0
        self._in_flight: Callable[[], int] = lambda: 0

    def watch(self, *, held: Callable[[], int], in_flight: Callable[[], int]) -> None:
        """Read the gauges from here on by these."""
        self._held, self._in_flight = held, in_flight

    @property
    def in_flight(self) -> int:
        return self._in_flight()

    @property
    def held(self) -> int:
        return self._held()

    @property
    def attempts(self) -> Mapping[str, int]:
        return self._attempts

    def settled(self, batch: Sequence[SentDelivery], lost: Collection[UUID]) -> None:
        """Count a settled batch, and pass it on to the attempt log."""
        for sent in batch:
            self._attempts[sent.outcome.label] += 1
            self.seconds += sent.outcome.latency_ms / 1000
        self._log_attempts(batch, lost)
