"""``FakeTracing``: keeps its spans, and names them one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.queue import ClaimedDelivery


class FakeSpan:
    """A span of either kind."""

    def __init__(self, number: int, parent: str | None, url: str = "") -> None:
        trace = f"{number:032x}" if parent is None else parent.split("-")[1]
        self.traceparent: str | None = f"00-{trace}-{number:016x}-01"
        self.parent = parent
        self.url = url
        self.at: datetime | None = None
        self.event_ids: list[UUID] = []
        self.outcome: Outcome | None = None
        self.is_ended = False

    def published(self, event_ids: Sequence[UUID]) -> None:
        self.event_ids += event_ids

    def end(self, outcome: Outcome) -> None:
        self.outcome, self.is_ended = outcome, True


class FakeTracing:
    """See :class:`monitor.domain.ports.tracing.Tracing`. ``spans`` are in the order in which they began."""

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []

    @contextmanager
    def publish(self, traceparent: str | None) -> Iterator[FakeSpan]:
        span = self._begin(traceparent)
        try:
            yield span
        finally:
            span.is_ended = True

    def attempt(self, delivery: ClaimedDelivery, url: str, at: datetime) -> FakeSpan:
        span = self._begin(delivery.traceparent, url)
        span.at = at
        return span

    def _begin(self, parent: str | None, url: str = "") -> FakeSpan:
        self.spans.append(FakeSpan(len(self.spans) + 1, parent, url))
        return self.spans[-1]
