"""Standard Webhooks signatures: HMAC-SHA256 (``v1``) and the secrets that sign."""

from __future__ import annotations

import base64
import hashlib
import hmac

from monitor.domain.errors import FieldError, Invalid
from monitor.domain.vocab import SignatureScheme

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix is no secret

ED25519_BYTES = 32
"""Of a seed and of a public key (RFC 8032)."""

_FORMS = {
    SignatureScheme.V1: (SECRET_PREFIX, range(24, 65), "24 to 64 bytes in base64"),
    SignatureScheme.V1A: (
        "whsk_",
        (ED25519_BYTES, 2 * ED25519_BYTES),
        "an Ed25519 seed in base64, with or without its public key",
    ),
}
"""Prefix, sizes in bytes and words for each scheme. Source: Standard Webhooks, "Signature scheme"."""


def encode_secret(key: bytes) -> str:
    """Return a symmetric signing key in the form of Standard Webhooks: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def decode_secret(secret: str, scheme: SignatureScheme) -> bytes:
    """
    Return the key of a secret that a user brings along, in the form of Standard Webhooks.

    Raises:
        Invalid: it has another prefix, is not base64, or is too short or too long for *scheme*.
    """
    prefix, sizes, what = _FORMS[scheme]
    try:
        key = base64.b64decode(secret.removeprefix(prefix), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(prefix) or len(key) not in sizes:
        raise Invalid("The secret cannot be used.", errors=(FieldError("/secret", f"Give {prefix} and {what}."),))
    return key


def check_public_half(key: bytes, public: str, scheme: SignatureScheme) -> None:
    """Raise ``Invalid`` if *key* ends in another public key than *public*, the one that its seed has."""
    if scheme is SignatureScheme.V1A and len(key) == 2 * ED25519_BYTES:
        half = base64.b64encode(key[ED25519_BYTES:]).decode()
        if not public.endswith(half):
            raise Invalid(
                "The secret cannot be used.", errors=(FieldError("/secret", "Its two halves are of different keys."),)
            )


def signed_content(message_id: str, timestamp_s: int, body: bytes) -> bytes:
    """Return the bytes that a Standard Webhooks signature covers: ``id.timestamp.body``."""
    return b"%b.%d.%b" % (message_id.encode(), timestamp_s, body)


def sign_v1(key: bytes, content: bytes) -> str:
    """Return one ``v1`` signature part: HMAC-SHA256 in base64."""
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
