"""The request that carries an event to a webhook: a signed POST, or an e-mail."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.request import OutboundRequest
from monitor.domain.webhooks.destination import Destination
from monitor.domain.webhooks.mail_request import mail_request
from monitor.domain.webhooks.mail_url import is_mail_url
from monitor.domain.webhooks.signed_request import AsymmetricSigner, signed_request


def outbound_request(
    destination: Destination,
    *,
    webhook_id: UUID,
    message_id: str,
    event_type: str,
    payload: bytes,
    at: datetime,
    sign_v1a: AsymmetricSigner,
    traceparent: str | None = None,
) -> OutboundRequest:
    """
    Return the request that carries an event to *destination*, the one of the webhook with *webhook_id*.

    Args:
        message_id: the same for every attempt of a delivery.
        at: start of this attempt.
        traceparent: goes along as a header, but for e-mail.
    """
    if is_mail_url(destination.url):
        return mail_request(
            destination, webhook_id=webhook_id, message_id=message_id, event_type=event_type, payload=payload, at=at
        )
    body = render_body(destination.body_format, event_type, payload, destination.routing_key)
    return signed_request(
        destination,
        message_id=message_id,
        event_type=event_type,
        body=body,
        at=at,
        sign_v1a=sign_v1a,
        traceparent=traceparent,
    )
