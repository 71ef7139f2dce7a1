"""Outbound HTTP requests to webhooks."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.delivery.outcome import Outcome
from monitor.domain.delivery.request import OutboundRequest


class WebhookSender(Protocol):
    """Sends HTTP requests. Fails closed: no byte is sent to a URL or address that the egress rules refuse."""

    async def send(self, request: OutboundRequest) -> Outcome:
        """
        Send *request* once and return the outcome; every failure is an :class:`Outcome`, not an exception.

        Not safe to repeat: every call may reach the receiver.
        """
        ...
