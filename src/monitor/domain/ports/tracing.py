"""Traces of events: a span for the publishing request, and one for each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.ports.queue import ClaimedDelivery


class PublishSpan(Protocol):
    """The span of a request that publishes. ``traceparent`` is stored with its events; ``None`` without a trace."""

    @property
    def traceparent(self) -> str | None: ...

    def published(self, event_ids: Sequence[UUID]) -> None:
        """Name the events that were stored, or that an earlier call with the same key stored."""
        ...


class AttemptSpan(Protocol):
    """The span of one attempt. ``traceparent`` names it to the receiver; ``None`` while tracing is disabled."""

    @property
    def traceparent(self) -> str | None: ...

    def end(self, outcome: Outcome) -> None:
        """End it with what came of the attempt. One that is never ended is not exported."""
        ...


class Tracing(Protocol):
    """
    Makes spans. Fails open: no call raises or waits, and what cannot be exported is dropped.

    Each ``traceparent`` is in the form that ``read_traceparent`` returns.
    """

    def publish(self, traceparent: str | None) -> AbstractContextManager[PublishSpan]:
        """
        Return a span that lasts as long as its block.

        Args:
            traceparent: that of the request, to continue its trace; without it, a trace begins.
        """
        ...

    def attempt(self, delivery: ClaimedDelivery, url: str, at: datetime) -> AttemptSpan:
        """
        Begin the span of an attempt: a child of what is stored with the event, however long ago that was.

        Args:
            url: without secrets, see ``traced_url``.
            at: aware UTC, the start of the attempt.
        """
        ...
