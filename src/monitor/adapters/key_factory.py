"""Signing keys of webhooks: secrets for ``v1``, Ed25519 key pairs for ``v1a``."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from monitor.domain.ports.clock import Clock
from monitor.domain.vocab import SignatureScheme
from monitor.domain.webhooks.signatures import encode_secret

SEED_BYTES = 32
PUBLIC_PREFIX = "whpk_"


class WebhookKeyFactory:
    """See :class:`monitor.domain.ports.key_factory.KeyFactory`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new_key(self, scheme: SignatureScheme) -> tuple[bytes, str]:
        key = self._clock.token_bytes(SEED_BYTES)
        return key, self.shown(scheme, key)

    def shown(self, scheme: SignatureScheme, key: bytes) -> str:
        return encode_secret(key) if scheme is SignatureScheme.V1 else encode_public_key(key)


def sign_v1a(key: bytes, content: bytes) -> str:
    """Return one ``v1a`` part: Ed25519 over *content*. *key* is a 32-byte seed, with or without its public half."""
    signature = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES]).sign(content)
    return "v1a," + base64.b64encode(signature).decode()


def encode_public_key(key: bytes) -> str:
    """Return what a receiver needs to verify ``v1a``: ``whpk_`` and base64."""
    public = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES]).public_key()
    return PUBLIC_PREFIX + base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
