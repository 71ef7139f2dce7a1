"""Signing keys of webhooks."""

from __future__ import annotations

from typing import Protocol

from monitor.domain.vocab import SignatureScheme


class KeyFactory(Protocol):
    """Generates signing keys. Never fails."""

    def new_key(self, scheme: SignatureScheme) -> tuple[bytes, str]:
        """Return a new key, and what its receiver needs: the shared secret, or the public key for ``v1a``."""
        ...

    def shown(self, scheme: SignatureScheme, key: bytes) -> str:
        """Return what the receiver of *key* needs, as of :meth:`new_key`."""
        ...
