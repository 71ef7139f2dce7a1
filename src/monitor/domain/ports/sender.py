"""One outbound HTTP exchange and the port that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest


class PendingSend(Protocol):
    """A request under way."""

    def abandon(self) -> None:
        """Close its connection and give no outcome any more. Safe to repeat, also after the outcome."""
        ...


class WebhookSender(Protocol):
    """Sends requests.

    Whatever goes wrong is an :class:`Outcome`. Fails closed: a URL or an address that the egress rules refuse gets no
    byte. Not safe to repeat: every call may reach the receiver.
    """

    def start(self, request: OutboundRequest, on_outcome: Callable[[Outcome], object]) -> PendingSend:
        """Send *request* and call *on_outcome* exactly once, after this has returned. Never raises."""
        ...

    async def send(self, request: OutboundRequest) -> Outcome:
        """Send *request* and wait for its outcome. Raises nothing but ``CancelledError``."""
        ...
