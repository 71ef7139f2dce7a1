"""What a worker counts of itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.services.settle import SentDelivery
from monitor.domain.vocab import ErrorKind
from monitor.worker.figures import WorkerFigures
from tests.unit.worker.test_attempt_log import sent


def test_settled_attempts_are_counted_by_outcome_and_passed_on() -> None:
    logged: list[tuple[Sequence[SentDelivery], Collection[UUID]]] = []
    figures = WorkerFigures(8, lambda batch, lost: logged.append((batch, lost)))
    batch = [
        sent(1, Outcome(250.0, 200)),
        sent(2, Outcome(500.0, 503, error=ErrorKind.STATUS)),
        sent(3, Outcome(250.0, error=ErrorKind.TIMEOUT)),
    ]
    figures.settled(batch, {UUID(int=2)})
    figures.settled(batch[:1], ())
    assert figures.attempts == {"ok": 2, "503": 1, "timeout": 1}
    assert figures.seconds == 1.25
    assert logged == [(batch, {UUID(int=2)}), (batch[:1], ())]


def test_gauges_are_zero_until_a_worker_is_watched() -> None:
    figures = WorkerFigures(8, lambda _batch, _lost: None)
    assert (figures.concurrency, figures.held, figures.in_flight) == (8, 0, 0)
    figures.watch(held=lambda: 5, in_flight=lambda: 3)
    assert (figures.held, figures.in_flight) == (5, 3)
