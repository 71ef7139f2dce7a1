"""What an attempt sent, made again from what is stored: its body, and the secret that signed it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from monitor.domain.delivery.chat_formats import render
from monitor.domain.delivery.exchange import RequestBody, StoredExchange
from monitor.domain.vocab import BodyFormat, SignatureScheme, SigningSecret
from monitor.domain.webhooks.signatures import sign_v1, signed_content
from monitor.domain.webhooks.signed_request import AsymmetricSigner


def sent_body(event_type: str, payload: bytes, body_format: BodyFormat, exchange: StoredExchange | None) -> RequestBody:
    """
    Return the body of an attempt: the one whose hash *exchange* has, in whichever format it was sent.

    Args:
        body_format: the webhook's one now; it may have been another at the time.
    """
    if exchange is not None:
        for format_ in dict.fromkeys((body_format, *BodyFormat)):
            body = render(format_, event_type, payload)
            if sha256(body).hexdigest() == exchange.body_sha256:
                return RequestBody(body, rebuilt=False)
    return RequestBody(render(body_format, event_type, payload), rebuilt=True)


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
