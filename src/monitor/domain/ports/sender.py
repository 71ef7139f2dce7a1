"""One outbound HTTP exchange and the port that makes it."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest


class WebhookSender(Protocol):
    """Sends one request and tells how it went.

    Never raises but ``CancelledError``: whatever goes wrong is an :class:`Outcome`. Fails closed: a URL or an address
    that the egress rules refuse gets no byte. Not safe to repeat: every call may reach the receiver.
    """

    async def send(self, request: OutboundRequest) -> Outcome: ...
