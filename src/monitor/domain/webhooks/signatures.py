"""Standard Webhooks signatures: HMAC-SHA256 (``v1``) and the secrets that sign."""

from __future__ import annotations

import base64
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix is no secret


def encode_secret(key: bytes) -> str:
    """Return a symmetric signing key in the form of Standard Webhooks: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signed_content(message_id: str, timestamp_s: int, body: bytes) -> bytes:
    """Return the bytes that a Standard Webhooks signature covers: ``id.timestamp.body``."""
    return b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)


def sign_v1(key: bytes, content: bytes) -> str:
    """Return one ``v1`` signature part: HMAC-SHA256 in base64."""
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
