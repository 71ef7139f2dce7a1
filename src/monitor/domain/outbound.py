"""One outbound HTTP exchange and the port that makes it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from monitor.domain.delivery import Outcome


class OutboundRequest(msgspec.Struct, frozen=True):
    """A POST exactly as it goes out: ``body`` is sent byte for byte, ``headers`` in their order.

    ``timeout_s`` bounds the whole exchange: DNS, connect, TLS, head and body.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float


class WebhookSender(Protocol):
    """Sends one request and tells how it went.

    Never raises but ``CancelledError``: whatever goes wrong is an :class:`Outcome`. Fails closed: a URL or an address
    that the egress rules refuse gets no byte. Not safe to repeat: every call may reach the receiver.
    """

    async def send(self, request: OutboundRequest) -> Outcome: ...
