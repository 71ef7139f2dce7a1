"""Outbound HTTP requests to webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest


class PendingSend(Protocol):
    """A request under way."""

    def abandon(self) -> None:
        """Close its connection; the outcome callback is not called any more. Safe to repeat."""
        ...


class WebhookSender(Protocol):
    """
    Sends HTTP requests; every failure is an :class:`Outcome`, not an exception.

    Fails closed: no byte is sent to a URL or address that the egress rules refuse. Not safe to repeat: every call may
    reach the receiver.
    """

    def start(
        self,
        request: OutboundRequest,
        on_outcome: Callable[[Outcome], object],
        *,
        may_write: Callable[[], bool] | None = None,
    ) -> PendingSend:
        """
        Send *request* once and call *on_outcome* exactly once, after this has returned.

        Args:
            may_write: called, if given, when a connection has been opened for the request, which may take a while.
                If it returns false, nothing is written, and the outcome is a lack of this process.
        """
        ...

    async def send(self, request: OutboundRequest) -> Outcome:
        """Send *request* once and return the outcome."""
        ...
