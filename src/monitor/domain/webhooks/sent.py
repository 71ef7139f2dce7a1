"""What an attempt sent, made again from what is stored: its body, and the secret that signed it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from itertools import product

from monitor.domain.delivery.body_formats import render_body
from monitor.domain.delivery.exchange import RequestBody, StoredExchange
from monitor.domain.delivery.formats.pagerduty import with_routing_key
from monitor.domain.delivery.lateness import as_sent
from monitor.domain.vocab import BodyFormat, SignatureScheme, SigningSecret
from monitor.domain.webhooks.signatures import sign_v1, signed_content
from monitor.domain.webhooks.signed_request import AsymmetricSigner
from monitor.domain.webhooks.webhook import MASK


def sent_body(
    event_type: str,
    payload: bytes,
    body_format: BodyFormat,
    exchange: StoredExchange | None,
    at: datetime,
    routing_key: str = "",
) -> RequestBody:
    """
    Return the body of an attempt: the one with the hash in *exchange*, in whichever format it was sent.

    Args:
        body_format: the webhook's one now; it may have been another at the time.
        at: when the attempt began.
        routing_key: that of the webhook now. The body holds it, see :func:`without_key`.
    """
    told = as_sent(event_type, payload, at)
    if exchange is not None:
        # Versions before lateness sent the payload as it is.
        for sent, format_ in product(dict.fromkeys((told, payload)), dict.fromkeys((body_format, *BodyFormat))):
            body = render_body(format_, event_type, sent, routing_key).body
            if sha256(body).hexdigest() == exchange.body_sha256:
                return RequestBody(body, rebuilt=False)
    return RequestBody(render_body(body_format, event_type, told).body, rebuilt=True)


def without_key(body: RequestBody, routing_key: str) -> RequestBody:
    """Return *body* as it is shown, with ``***`` in place of the routing key."""
    secret = with_routing_key(b"{", routing_key)
    if not routing_key or not body.base64.startswith(secret):
        return body
    return RequestBody(with_routing_key(b"{" + body.base64[len(secret) :], MASK), body.rebuilt)


def signing_secret(
    exchange: StoredExchange,
    body: bytes,
    keys: Sequence[bytes],
    scheme: SignatureScheme,
    sign_v1a: AsymmetricSigner,
) -> SigningSecret | None:
    """
    Return which of *keys*, newest first, made a signature that *exchange* sent with *body*.

    Returns:
        ``None`` if the exchange has no signature of Standard Webhooks.
    """
    fields = {field.name.lower(): field.value for field in exchange.request_headers}
    timestamp = fields.get("webhook-timestamp", "")
    if "webhook-id" not in fields or "webhook-signature" not in fields or not timestamp.isdecimal():
        return None
    content = signed_content(fields["webhook-id"], int(timestamp), body)
    sign = sign_v1 if scheme is SignatureScheme.V1 else sign_v1a
    parts = fields["webhook-signature"].split()
    made_by = next((n for n, key in enumerate(keys) if sign(key, content) in parts), None)
    if made_by is None:
        return SigningSecret.NONE
    return SigningSecret.PREVIOUS if made_by else SigningSecret.CURRENT
