"""One outbound HTTP request."""

from __future__ import annotations

import msgspec


class OutboundRequest(msgspec.Struct, frozen=True):
    """A POST exactly as it goes out: ``body`` is sent byte for byte, ``headers`` in their order.

    ``timeout_s`` bounds the whole exchange: DNS, connect, TLS, head and body.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float
