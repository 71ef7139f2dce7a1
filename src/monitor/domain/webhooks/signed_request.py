"""Build the signed request of one message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from monitor.domain.delivery.rendered import RenderedBody
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.delivery.trace_context import TRACEPARENT
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.signatures import sign_v1, signed_content

AsymmetricSigner = Callable[[bytes, bytes], str]
"""Takes an Ed25519 key and the content, returns one ``v1a`` signature part."""


def signed_request(
    destination: Destination,
    *,
    message_id: str,
    event_type: str,
    body: RenderedBody,
    at: datetime,
    sign_v1a: AsymmetricSigner,
    traceparent: str | None = None,
) -> OutboundRequest:
    """
    Return the POST that carries *body*, signed with every live key of *destination*.

    Args:
        message_id: the same for every attempt of a delivery; receivers drop repeats by it.
        at: start of this attempt; receivers refuse messages more than five minutes old.
        traceparent: takes the place of a header of that name that the webhook has of its own.
    """
    timestamp_s = int(at.timestamp())
    content = signed_content(message_id, timestamp_s, body.body)
    sign = sign_v1 if destination.signature is SignatureScheme.V1 else sign_v1a
    return OutboundRequest(
        url=body.url(destination.url),
        headers=(
            ("content-type", body.content_type),
            ("webhook-id", message_id),
            ("webhook-timestamp", str(timestamp_s)),
            ("webhook-signature", " ".join(sign(key, content) for key in destination.keys)),
            ("monitor-event-type", event_type),
            *_own_headers(destination, traceparent),
        ),
        body=body.body,
        timeout_s=destination.timeout_s,
    )


def _own_headers(destination: Destination, traceparent: str | None) -> tuple[tuple[str, str], ...]:
    own = destination.sent_headers
    if traceparent is None:
        return own
    # Versions before traces let a webhook have one of its own.
    return (*((name, value) for name, value in own if name.lower() != TRACEPARENT), (TRACEPARENT, traceparent))
